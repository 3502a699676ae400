// npm `socket.io-client` 0.9.17 in headless Chromium against the Socket.IO services (README.md says which), over every
// transport that it has for a browser but Flash's: on a page of the server's own origin, and on one of another.
//
//     node socketio09_browser.mjs SOCKETIO [PROGRAM] [TRANSPORT...]        (HOST:PORT; the testbed, for checks that restart it)

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { address, assert, check, run } from './check.mjs';
import { launch } from './chromium.mjs';
import { restartable } from './restartable.mjs';
import { checks } from './socketio09_checks.mjs';

const server = address(0, 'the Socket.IO server');
const rest = process.argv.slice(3);
const program = rest[0]?.includes('/') ? rest.shift() : undefined;

const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
const client = read('node_modules/socket.io-client-0.9.17/dist/socket.io.js');
const module = `${read('socketio09_checks.mjs')}\nwindow.all = { checks, comesBack };`;

const elsewhere = http.createServer((_, answer) => {
  answer.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
  answer.end('<!doctype html><title>Socket.IO</title><link rel="icon" href="data:,"><body></body>');
}).listen(0, '127.0.0.1');
await once(elsewhere, 'listening');

const browser = await launch();

// ---------------------------------------------------------------- pages
const complaints = [];

/** What of Internet Explorer the transport htmlfile wants: a document that no window shows. */
function internetExplorer() {
  window.ActiveXObject = function ActiveXObject(what) {
    if (what !== 'htmlfile') throw new Error(`no control ${what}`);
    const frame = document.createElement('iframe');
    frame.hidden = true;
    document.body.append(frame);
    const made = frame.contentDocument;
    made.parentWindow = frame.contentWindow;
    return made;
  };
  window.CollectGarbage = () => {};
}

/** A page with the client on it, in a context of its own. */
async function visit(origin, transport, who, { init, at = server } = {}) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => complaints.push(`${who}: ${error.message}`));
  if (transport === 'htmlfile') await page.addInitScript(internetExplorer);
  if (init) await page.addInitScript(init);
  // Of the server any document will do.
  await page.goto(origin === 'same' ? `http://${at.text}/hello` : `http://127.0.0.1:${elsewhere.address().port}/`);
  await page.addScriptTag({ content: client });
  await page.addScriptTag({ content: module, type: 'module' });
  await page.waitForFunction(() => window.all);
  return page;
}

/** Runs `f(parameter)` on the page. */
const inPage = (page, f, parameter) => page.evaluate(f, parameter).catch((error) => {
  throw new Error(error.message.replace(/^page\.evaluate: (Error: )?/, '').split('\n')[0]);
});

// ---------------------------------------------------------------- checks
const base = `http://${server.text}`;
const seconds = 30;
const chosen = (transport) => !rest.length || rest.includes(transport);
// A browser opens six connections to a server, and each of these polls or streams on one.
const few = ({ name }) => !/^\d+ clients/.test(name);

for (const origin of ['same', 'another']) {
  for (const transport of ['websocket', 'xhr-polling', 'jsonp-polling', 'htmlfile'].filter(chosen)) {
    // The client does not offer it to other origins.
    if (origin === 'another' && transport === 'htmlfile') continue;
    const title = `${origin} origin, ${transport}`;
    let page;
    let failed = 0;
    for (const { name } of transport === 'websocket' ? checks : checks.filter(few)) {
      check(`${title}: ${name}`, async (after) => {
        assert.ok(failed < 3, 'not tried, since three checks of this transport have failed');
        // A check that has failed leaves connections behind.
        let good = false;
        after(async () => {
          if (good) return;
          failed += 1;
          const left = page;
          page = undefined;
          await left?.context().close();
        });
        page ??= await visit(origin, transport, title);
        await inPage(page, ([name, ...rest]) => window.all.checks.find((one) => one.name === name).run(window.io, ...rest),
          [name, base, transport]);
        good = true;
      }, seconds, title);
    }
    check(`${title}: on a page that is left and opened anew`, async (after) => {
      after(() => page?.context().close());
      const again = await visit(origin, transport, title);
      after(() => again.context().close());
      await inPage(again, ([base, transport]) => new Promise((resolve, reject) => {
        window.io.transports = [transport];
        const socket = window.io.connect(base, { 'force new connection': true });
        socket.on('connect', resolve);
        socket.on('error', (why) => reject(new Error(`error ${why}`)));
      }), [base, transport]);
      await again.reload();
      await again.context().close();
    }, seconds, title);
    if (program) {
      for (const signal of ['SIGKILL', 'SIGTERM']) {
        check(`${title}: comes back after ${signal}`, async (after) => {
          const own = await restartable(program, after);
          const page = await visit(origin, transport, title, { at: own });
          after(() => page.context().close());
          await page.exposeFunction('restart', () => own.restart(signal));
          await inPage(page, ([url, transport]) => window.all.comesBack(window.io, url, transport, window.restart), [own.url, transport]);
        }, seconds, `${title} ${signal}`);
      }
    }
  }
}

check('a WebSocket that never opens: another transport takes the session over', async (after) => {
  const init = () => {
    window.WebSocket = class {
      send() {}

      close() {}
    };
  };
  const page = await visit('same', 'websocket', 'fallback', { init });
  after(() => page.context().close());
  const came = await inPage(page, (base) => new Promise((resolve, reject) => {
    window.io.transports = ['websocket', 'xhr-polling'];
    const socket = window.io.connect(base, { 'force new connection': true, 'connect timeout': 300 });
    const tried = [];
    socket.on('connecting', (name) => tried.push([name, socket.socket.sessionid]));
    socket.on('connect_failed', () => reject(new Error('no transport was left')));
    socket.on('connect', () => socket.send('over the other one'));
    socket.on('message', (text) => {
      socket.disconnect();
      resolve({ tried, text });
    });
  }), base);
  assert.deepEqual(came.tried.map(([name]) => name), ['websocket', 'xhr-polling']);
  assert.equal(came.tried[0][1], came.tried[1][1], 'the session');
  assert.equal(came.text, 'over the other one');
}, seconds);

check('no script failed', () => assert.deepEqual(complaints, []));

await run(async () => {
  elsewhere.close();
  await browser.close();
});
