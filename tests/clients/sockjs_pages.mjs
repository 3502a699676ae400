// The pages of the SockJS examples in headless Chromium:
//
//     node sockjs_pages.mjs ECHO CHAT MULTIPLEX [FOLDER]        (HOST:PORT; screenshots go to the folder)

import { mkdirSync } from 'node:fs';
import { join as path } from 'node:path';
import { address, assert, check, run } from './check.mjs';
import { launch } from './chromium.mjs';

const [echo, chat, multiplex] = ['sockjs_echo', 'sockjs_chat', 'sockjs_multiplex'].map((name, at) => address(at, name));
const folder = process.argv[5] ?? 'screenshots';
mkdirSync(folder, { recursive: true });

const browser = await launch();
const complaints = [];
async function visit(server, size = { width: 900, height: 640 }, blocked) {
  const context = await browser.newContext({ viewport: size });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  if (blocked) await page.route(blocked, (route) => route.abort());
  else {
    page.on('console', (line) => line.type() === 'error' && complaints.push(`${server.text}: ${line.text()}`));
    page.on('pageerror', (error) => complaints.push(`${server.text}: ${error.message}`));
  }
  page.on('request', (asked) => {
    if (/^https?:/.test(asked.url()) && new URL(asked.url()).host !== server.text) complaints.push(`asked for ${asked.url()}`);
  });
  await page.goto(`http://${server.text}/`);
  return page;
}

const shot = (page, name) => page.screenshot({ path: path(folder, `${name}.png`) });
const state = (page, text) => page.locator('#state', { hasText: text }).waitFor();
const line = (page, text, log = '#log') => page.locator(`${log} li`, { hasText: text }).first().waitFor();

async function say(page, text, form = '#say') {
  await page.fill(`${form} input[type=text]`, text);
  await page.click(`${form} button`);
}

for (const transport of ['websocket', 'xhr-streaming', 'eventsource', 'iframe-eventsource', 'iframe-htmlfile', 'xhr-polling', 'jsonp-polling']) {
  check(`echo: ${transport} alone`, async () => {
    const page = await visit(echo);
    for (const box of await page.locator('#transports input').all()) {
      await box.setChecked((await box.inputValue()) === transport);
    }
    await page.click('#connect');
    await state(page, `connected by ${transport}`);
    await say(page, 'one <b>&</b> "two" 😀');
    await page.locator('#log li:not(.own)', { hasText: 'one <b>&</b> "two" 😀' }).waitFor();
    if (transport === 'websocket') await shot(page, 'sockjs_echo');
    await page.click('#connect');
    await state(page, 'closed: 1000');
    await page.context().close();
  }, 40);
}

check('echo: without the client, a raw WebSocket and a notice', async () => {
  const page = await visit(echo, { width: 420, height: 740 }, '**/sockjs.min.js');
  await page.locator('.notice code', { hasText: 'npm ci --ignore-scripts --prefix tests/clients' }).waitFor();
  await page.click('#connect');
  await state(page, 'connected by raw websocket');
  await say(page, 'as it is');
  await page.locator('#log li:not(.own)', { hasText: 'as it is' }).waitFor();
  await shot(page, 'sockjs_echo-raw-narrow');
  await page.context().close();
}, 40);

check('chat: two visitors, joins and leaves', async () => {
  const first = await visit(chat);
  await state(first, 'connected by');
  const second = await visit(chat, { width: 420, height: 740 });
  await state(second, 'connected by');
  await line(first, 'Someone joined.');
  await say(first, 'hello <i>you</i>');
  await line(second, 'hello <i>you</i>');
  await say(second, 'hello back');
  await line(first, 'hello back');
  await shot(first, 'sockjs_chat');
  await shot(second, 'sockjs_chat-narrow');
  await second.context().close();
  await line(first, 'Someone left.');
  await first.context().close();
}, 60);

check('multiplex: three channels', async () => {
  const page = await visit(multiplex);
  await state(page, 'connected by');
  await line(page, 'Ann is here.', '#ann');
  await say(page, 'a, b, c', '#ann form');
  await line(page, 'Yes, a, b, c!', '#ann');
  const other = await visit(multiplex);
  await state(other, 'connected');
  await say(page, 'news', '#bob form');
  await line(other, 'Bob passes it on: news', '#bob');
  for (const n of [1, 2, 3]) {
    await say(page, `${n}`, '#carl form');
    await line(page, `That was number ${n}.`, '#carl');
  }
  await line(page, 'carl has left', '#carl');
  await page.click('#ann > button');
  await line(page, 'closed', '#ann');
  await shot(page, 'sockjs_multiplex');
  await page.click('#carl > button');
  await say(page, 'again', '#carl form');
  await page.waitForFunction(() => [...document.querySelectorAll('#carl li')].filter((li) => li.textContent === 'That was number 1.').length === 2);
  await page.context().close();
  await other.context().close();
}, 60);

check('no page complained', () => assert.deepEqual(complaints, []));

await run(() => browser.close());
