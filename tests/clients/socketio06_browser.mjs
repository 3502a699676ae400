// The client 0.6.3 of npm `socket.io` 0.6.18 in headless Chromium against the services of Socket.IO 0.6 (README.md says
// which), over every transport that it has for this browser: on a page of the server's own origin, and on one of another.
//
//     node socketio06_browser.mjs SOCKETIO [PROGRAM] [TRANSPORT...]        (HOST:PORT; the testbed, for checks that restart it)

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { address, assert, check, run } from './check.mjs';
import { launch } from './chromium.mjs';
import { restartable } from './restartable.mjs';
import { checks } from './socketio06_checks.mjs';

const server = address(0, 'the Socket.IO server');
const rest = process.argv.slice(3);
const program = rest[0]?.includes('/') ? rest.shift() : undefined;

const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
const client = read('node_modules/socket.io-0.6.18/support/socket.io-client/socket.io.js');
const module = `${read('socketio06_checks.mjs')}\nwindow.all = { checks, comesBack };`;

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
  window.attachEvent = (name, f) => window.addEventListener(name.slice(2), f);
  window.CollectGarbage = () => {};
}

/** A page with the client on it, in a context of its own. */
async function visit(origin, transport, who, after, at = server) {
  const context = await browser.newContext();
  after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => complaints.push(`${who}: ${error.message}`));
  if (transport === 'htmlfile') await page.addInitScript(internetExplorer);
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
const base = { host: server.host, port: server.port };
const seconds = 30;

for (const origin of ['same', 'another']) {
  for (const transport of ['websocket', 'xhr-polling', 'jsonp-polling', 'htmlfile']) {
    if (rest.length && !rest.includes(transport)) continue;
    // The client does not offer it to other origins.
    if (origin === 'another' && transport === 'htmlfile') continue;
    const title = `${origin} origin, ${transport}`;
    const made = [];
    const undo = (what) => made.push(what);
    let shared;
    let failed = 0;
    for (const { name, only, slow } of checks) {
      if (only && !only.includes(transport)) continue;
      check(`${title}: ${name}`, async (after) => {
        assert.ok(failed < 3, 'not tried, since three checks of this transport have failed');
        let good = false;
        after(() => { failed += good ? 0 : 1; });
        // What polls by scripts goes on with that after the client has disconnected; the slow ones run beside the others.
        const own = slow || transport === 'jsonp-polling';
        const page = own ? await visit(origin, transport, title, after) : shared ?? await visit(origin, transport, title, undo);
        // A check that has failed leaves connections behind.
        if (!own) shared = undefined;
        await inPage(page, ([name, ...rest]) => window.all.checks.find((one) => one.name === name).run(window.io, ...rest),
          [name, base, transport]);
        good = true;
        if (!own) shared = page;
      }, seconds, slow ? `${title} ${name}` : title);
    }
    check(`${title}: on a page that is left and opened anew`, async (after) => {
      for (const what of made) await what();
      const page = await visit(origin, transport, title, after);
      await inPage(page, ([{ host, port }, transport]) => new Promise((resolve) => {
        const socket = new window.io.Socket(host, { port, transports: [transport] });
        socket.on('connect', resolve);
        socket.connect();
      }), [base, transport]);
      await page.reload();
    }, seconds, title);
    if (program) {
      for (const signal of ['SIGKILL', 'SIGTERM']) {
        check(`${title}: comes back after ${signal}`, async (after) => {
          const own = await restartable(program, after);
          const page = await visit(origin, transport, title, after, own);
          await page.exposeFunction('restart', () => own.restart(signal));
          const [host, port] = own.text.split(':');
          await inPage(page, ([at, transport]) => window.all.comesBack(window.io, at, transport, window.restart), [{ host, port }, transport]);
        }, seconds, `${title} ${signal}`);
      }
    }
  }
}

check('a transport that never opens: another one makes a session of its own', async (after) => {
  const page = await visit('same', 'websocket', 'fallback', after);
  const came = await inPage(page, ({ host, port }) => new Promise((resolve, reject) => {
    const socket = new window.io.Socket(host, { port, transports: ['websocket', 'xhr-polling'], connectTimeout: 3000, rememberTransport: false });
    // It never gets its name.
    socket.transport.onData = () => {};
    const tried = [];
    socket.on('connecting', (name) => tried.push(name));
    socket.on('connect_failed', () => reject(new Error('no transport was left')));
    socket.on('connect', () => socket.send('over the other one'));
    socket.on('message', (text) => {
      if (text === 'over the other one') resolve(tried);
    });
    socket.connect();
  }), base);
  assert.deepEqual(came, ['websocket', 'xhr-polling']);
}, seconds);

check('no script failed', () => assert.deepEqual(complaints, []));

await run(async () => {
  elsewhere.close();
  await browser.close();
});
