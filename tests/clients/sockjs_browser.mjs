// npm `sockjs-client` in headless Chromium against the SockJS services (README.md says which), over every transport
// that it has for a browser of today: on a page of the server's own origin, and on one of another.
//
//     node sockjs_browser.mjs SOCKJS --page-port N [TRANSPORT...]        (HOST:PORT)
//
// The script serves its page, the client and the checks at http://127.0.0.1:N/. The iframe page of the server under
// test must name the client there: the setting `sockjs_url` is http://127.0.0.1:N/sockjs.js.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { address, assert, check, request, run } from './check.mjs';
import { launch } from './chromium.mjs';
import { checks } from './sockjs_checks.mjs';

const server = address(0, 'the SockJS server');
const rest = process.argv.slice(3);
const at = rest.indexOf('--page-port');
const port = Number(at >= 0 ? rest.splice(at, 2)[1] : NaN);
if (!Number.isInteger(port)) {
  console.error('--page-port N is missing: the port that the sockjs_url of the server names');
  process.exit(2);
}

// ---------------------------------------------------------------- what pages load
const script = 'text/javascript; charset=utf-8';
const files = {
  '/': ['text/html; charset=utf-8', '<!doctype html><title>SockJS</title><link rel="icon" href="data:,"><body></body>'],
  '/sockjs.js': [script, readFileSync(new URL('node_modules/sockjs-client/dist/sockjs.js', import.meta.url))],
  '/sockjs_checks.mjs': [script, readFileSync(new URL('sockjs_checks.mjs', import.meta.url))],
};
const pages = http.createServer((asked, answer) => {
  const file = files[asked.url.split('?')[0]];
  // Any origin: the server's page imports the checks from here.
  answer.writeHead(file ? 200 : 404, { 'Content-Type': file?.[0] ?? 'text/plain', 'Access-Control-Allow-Origin': '*' });
  answer.end(file?.[1] ?? '');
});
pages.listen(port, '127.0.0.1');
await once(pages, 'listening');
const elsewhere = `http://127.0.0.1:${port}`;

const browser = await launch();

// ---------------------------------------------------------------- pages
const complaints = [];

/** A page with the client on it, in a context of its own. */
async function visit(origin, who) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => {
    // The client removes the callback when it is closed, whoever answers the last poll.
    if (!/^_jp\.\w+ is not a function$/.test(error.message)) complaints.push(`${who}: ${error.message}`);
  });
  await load(page, origin);
  return page;
}

/** Opens the page, anew if it was open: its connections end. */
async function load(page, origin) {
  // On the server there is no page of ours, but its greeting is a document like any other.
  await page.goto(origin === 'same' ? `http://${server.text}/echo` : `${elsewhere}/`);
  await page.addScriptTag({ url: `${elsewhere}/sockjs.js` });
}

/** Runs a function of sockjs_checks.mjs, named by a path into the module, on the page. */
function inPage(page, path, ...parameters) {
  return page.evaluate(async ([from, steps, rest]) => {
    const found = steps.reduce((value, name) => value[name], await import(from));
    await found(window.SockJS, ...rest);
  }, [`${elsewhere}/sockjs_checks.mjs`, path, parameters]).catch((error) => {
    throw new Error(error.message.replace(/^page\.evaluate: (Error: )?/, '').split('\n')[0]);
  });
}

// ---------------------------------------------------------------- checks
const transports = [
  'websocket', 'xhr-streaming', 'eventsource', 'htmlfile', 'iframe-eventsource', 'iframe-htmlfile', 'xhr-polling',
  'iframe-xhr-polling', 'jsonp-polling',
];
const base = `http://${server.text}`;
const seconds = 30;

check('sockjs browser: the iframe page names the client that is served here', async () => {
  const page = await request(server, { path: '/echo/iframe.html' });
  assert.equal(page.status, 200);
  const source = /<script src="([^"]*)">/.exec(page.body.toString())?.[1];
  assert.equal(source, `${elsewhere}/sockjs.js`, 'the server must be started with this sockjs_url');
});

for (const origin of ['same', 'another']) {
  for (const transport of transports) {
    if (rest.length && !rest.includes(transport)) continue;
    // Of these the client offers all but one from another origin.
    if (origin === 'another' && transport === 'htmlfile') continue;
    const title = `${origin} origin, ${transport}`;
    let page;
    let failed = 0;
    for (const name of Object.keys(checks)) {
      check(`${title}: ${name}`, async (after) => {
        assert.ok(failed < 3, 'not tried, since three checks of this transport have failed');
        // A check that has failed leaves connections behind, and jsonp-polling its last poll, which goes on when the
        // client closes. A browser opens six to a server, and then waits.
        let good = false;
        after(async () => {
          if (good) return;
          failed += 1;
          const left = page;
          page = undefined;
          await left?.context().close();
        });
        if (!page) page = await visit(origin, title);
        else if (transport === 'jsonp-polling') await load(page, origin);
        await inPage(page, ['checks', name], base, transport);
        good = true;
      }, seconds, title);
    }
    check(`${title}: on the page opened anew`, async (after) => {
      after(() => page?.context().close());
      assert.ok(failed < 3, 'not tried, since three checks of this transport have failed');
      if (!page) page = await visit(origin, title);
      else await load(page, origin);
      await inPage(page, ['checks', 'opens and echoes'], base, transport);
    }, seconds, title);
  }
  check(`${origin} origin: without WebSocket it falls back`, async (after) => {
    const page = await visit(origin, `${origin} origin`);
    after(() => page.context().close());
    await inPage(page, ['fallsBack'], base, ['websocket', 'xhr-streaming', 'xhr-polling']);
  }, seconds, `${origin} origin`);
}

check('sockjs browser: no script failed', () => assert.deepEqual(complaints, []));

await run(async () => {
  pages.close();
  await browser.close();
});
