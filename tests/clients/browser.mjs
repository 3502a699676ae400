// Two pages in headless Chromium chat with each other:
//
//     node browser.mjs CHATROOM [FOLDER]        (HOST:PORT; screenshots go to the folder)
//
// What the page must have: `#name` and `#join`; `#text` and `#send`; `#log` and `#people`, both
// lists of `li`; `#state`, a text that changes when the connection opens and when it closes. A page that has `#protocol`
// and `#transport`, lists to choose from, and `#leave` is tried with all that there is.

import { mkdirSync } from 'node:fs';
import { join as path } from 'node:path';
import { address, assert, check, run } from './check.mjs';
import { launch } from './chromium.mjs';

const chatroom = address(0, 'chatroom');
const folder = process.argv[3] ?? 'screenshots';
mkdirSync(folder, { recursive: true });

const browser = await launch();

const complaints = [];
async function visit(who, { size = { width: 900, height: 640 }, blocked, init } = {}) {
  const context = await browser.newContext({ viewport: size });
  const page = await context.newPage();
  if (init) await page.addInitScript(init);
  // As if it were not installed.
  if (blocked) await page.route(blocked, (route) => route.fulfill({ contentType: 'text/javascript', body: '' }));
  page.setDefaultTimeout(15_000);
  page.on('console', (line) => line.type() === 'error' && complaints.push(`${who}: ${line.text()}`));
  // A poll that SockJS has given up may still be answered.
  page.on('pageerror', (error) => /^_jp\.\w+ is not a function$/.test(error.message) || complaints.push(`${who}: ${error.message}`));
  page.on('response', (answer) => answer.status() >= 400 && complaints.push(`${who}: ${answer.status()} for ${answer.url()}`));
  page.on('request', (asked) => {
    if (!asked.url().startsWith('data:') && new URL(asked.url()).host !== chatroom.text) complaints.push(`${who}: asked for ${asked.url()}`);
  });
  await page.goto(`http://${chatroom.text}/`);
  return page;
}

async function join(page, name) {
  await page.fill('#name', name);
  await page.click('#join');
  await person(page, name);
}

async function say(page, text) {
  await page.fill('#text', text);
  await page.click('#send');
}

/** Waits for a line of the log that has all of these. */
async function line(page, ...parts) {
  let lines = page.locator('#log li');
  for (const part of parts) lines = lines.filter({ hasText: part });
  await lines.first().waitFor().catch(async () => {
    throw new Error(`no line with ${parts.join(', ')} in: ${(await page.locator('#log li').allTextContents()).slice(-5).join(' | ')}`);
  });
}

const person = (page, name) => page.locator('#people li').filter({ hasText: name }).first().waitFor();

async function nobody(page, name) {
  await page.locator('#people li').filter({ hasText: name }).first().waitFor({ state: 'detached' });
}

let ann;
let bob;

check('browser: the page opens and names nobody', async () => {
  ann = await visit('Ann');
  assert.equal(await ann.locator('#people li').count(), 0);
  assert.ok((await ann.title()).length > 0, 'no title');
}, 30);

check('browser: the state changes when one joins', async () => {
  const before = await ann.textContent('#state');
  await join(ann, 'Ann');
  await line(ann, 'Ann', 'joined');
  assert.notEqual(await ann.textContent('#state'), before);
}, 40);

check('browser: a second one joins, and both see it', async () => {
  bob = await visit('Bob');
  await join(bob, 'Bob');
  await Promise.all([line(ann, 'Bob', 'joined'), person(ann, 'Bob'), person(bob, 'Ann')]);
}, 40);

check('browser: they chat', async () => {
  await say(ann, 'Is anybody here?');
  await Promise.all([line(bob, 'Ann', 'Is anybody here?'), line(ann, 'Ann', 'Is anybody here?')]);
  await say(bob, 'I am. Grüße 🌪️');
  await Promise.all([line(ann, 'Bob', 'Grüße 🌪️'), line(bob, 'Bob', 'Grüße 🌪️')]);
  assert.equal(await ann.inputValue('#text'), '', 'the field is empty after sending');
}, 40);

check('browser: markup is shown, not run', async () => {
  await say(bob, '<img src=x onerror="document.title=1"><b>bold</b>');
  await line(ann, '<b>bold</b>');
  assert.equal(await ann.locator('#log b, #log img').count(), 0);
}, 40);

check('browser: no name is taken for a list, a notice or several people', async () => {
  const url = `ws://${chatroom.text}/chat`;
  const evil = ['# evil', '* evil', '#evil: Ann', 'evil, Bob, Cleo', '\n# evil'];
  await ann.evaluate(([url, names]) => Promise.all(names.map((name) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.onopen = () => [name, '# I am the list', '* I am a notice', 'bye'].forEach((text) => socket.send(text));
    socket.onmessage = ({ data }) => data.endsWith(': bye') && socket.close();
    socket.onclose = resolve;
    socket.onerror = () => reject(new Error('the WebSocket failed'));
  }))), [url, evil]);
  for (const name of ['evil', 'evil Ann', 'evil Bob Cleo']) await line(ann, `${name}: bye`);
  await nobody(ann, 'evil');
  const lines = await ann.locator('#log li').evaluateAll((all) => all.map((item) => [item.className, item.textContent]));
  const by = (name) => lines.filter(([, text]) => text.startsWith(`${name}: `)).length;
  assert.deepEqual(['evil', 'evil Ann', 'evil Bob Cleo'].map(by), [9, 3, 3]);
  for (const [kind, text] of lines.filter(([, text]) => text.includes('evil'))) {
    assert.equal(kind === 'note', /^evil( \w+)* (joined, by plain WebSocket|left)$/.test(text), text);
  }
  assert.deepEqual((await ann.locator('#people li').allTextContents()).sort(), ['Ann', 'Bob']);
  // The page says what a name may be.
  const eve = await visit('Eve');
  await eve.fill('#name', '# evil');
  await eve.click('#join');
  assert.ok(await eve.locator('#name:invalid').count());
  assert.equal(await eve.textContent('#state'), 'not connected');
  await eve.context().close();
}, 30);

check('browser: 50 lines in order', async () => {
  for (let i = 0; i < 50; i += 1) await say(ann, `line ${i};`);
  await line(bob, 'line 49;');
  const lines = (await bob.locator('#log li').allTextContents()).filter((text) => /line \d+;/.test(text));
  assert.deepEqual(lines.map((text) => Number(/line (\d+);/.exec(text)[1])), Array.from({ length: 50 }, (_, i) => i));
}, 30);

check('browser: screenshots', async () => {
  await ann.screenshot({ path: path(folder, 'chatroom-ann.png') });
  await bob.screenshot({ path: path(folder, 'chatroom-bob.png') });
});

check('browser: a reload leaves, and one can join again', async () => {
  await bob.reload();
  await Promise.all([line(ann, 'Bob', 'left'), nobody(ann, 'Bob')]);
  await join(bob, 'Bobby');
  await line(ann, 'Bobby', 'joined');
  await say(ann, 'Welcome back');
  await line(bob, 'Ann', 'Welcome back');
}, 40);

check('browser: a closed page leaves', async () => {
  await bob.close();
  await Promise.all([line(ann, 'Bobby', 'left'), nobody(ann, 'Bobby')]);
}, 40);

const shot = async (page, name) => {
  await page.screenshot({ path: path(folder, `${name}.png`) });
  const fits = await page.evaluate(() => {
    const { scrollWidth, clientWidth, scrollHeight, clientHeight } = document.documentElement;
    return scrollWidth <= clientWidth && scrollHeight <= clientHeight;
  });
  assert.ok(fits, `${name} is larger than its window`);
};

/** What of Internet Explorer the transport htmlfile wants: a document that no window shows. */
function internetExplorer() {
  window.ActiveXObject = function ActiveXObject(what) {
    if (what !== 'htmlfile') throw new Error(`no control ${what}`);
    const frame = document.createElement('iframe');
    frame.hidden = true;
    document.body.append(frame);
    frame.contentDocument.parentWindow = frame.contentWindow;
    return frame.contentDocument;
  };
  window.attachEvent = (name, f) => window.addEventListener(name.slice(2), f);
  window.CollectGarbage = () => {};
}

/** What Ann does goes one after the other, and the rest at once. */
let before = Promise.resolve();
function inTurn(f) {
  before = before.then(f, f);
  return before;
}

const ways = {
  websocket: ['websocket'],
  sockjs: ['any transport', 'websocket', 'xhr-streaming', 'eventsource', 'xhr-polling', 'jsonp-polling'],
  socketio06: ['any transport', 'websocket', 'htmlfile', 'xhr-polling', 'jsonp-polling'],
  socketio09: ['any transport', 'websocket', 'htmlfile', 'xhr-polling', 'jsonp-polling'],
};
for (const [protocol, transports] of Object.entries(ways)) {
  for (const transport of transports) {
    check(`browser: ${protocol}, ${transport}`, async (after) => {
      const size = { width: 380, height: 700 };
      const page = await visit(`${protocol} ${transport}`, { size, init: transport === 'htmlfile' ? internetExplorer : undefined });
      after(() => page.context().close());
      await page.selectOption('#protocol', protocol);
      assert.deepEqual(
        (await page.locator('#transport option').allTextContents()).filter((name) => name !== 'htmlfile'),
        transports.filter((name) => name !== 'htmlfile'),
      );
      await page.selectOption('#transport', transport);
      const name = `${protocol} ${transport}`;
      const family = { websocket: 'plain WebSocket', sockjs: 'SockJS', socketio06: 'Socket.IO 0.6', socketio09: 'Socket.IO 0.9' }[protocol];
      await join(page, name);
      await Promise.all([line(ann, name, 'joined, by', family), line(page, name, 'joined, by', family), person(page, 'Ann')]);
      if (transport !== 'any transport') assert.match(await page.textContent('#state'), new RegExp(`by ${transport}`));
      await say(page, 'é😀 <b>&</b>');
      await Promise.all([line(ann, name, 'é😀 <b>&</b>'), line(page, name, 'é😀 <b>&</b>')]);
      await inTurn(() => say(ann, `Hello, ${name}`));
      await line(page, 'Ann', `Hello, ${name}`);
      if (transport === transports.at(-1)) await shot(page, `chatroom-${protocol}`);
      await page.click('#leave');
      await page.locator('#state', { hasText: 'disconnected' }).waitFor();
      await Promise.all([line(ann, name, 'left'), nobody(ann, name)]);
      // One can come again, by the same way or another.
      await page.selectOption('#protocol', 'websocket');
      await join(page, `${name} again`);
      await line(ann, `${name} again`, 'joined, by plain WebSocket');
    }, 40, `${protocol} ${transport}`);
  }
}

check('browser: without the clients there is WebSocket, and how to get them', async (after) => {
  const page = await visit('bare', { size: { width: 380, height: 700 }, blocked: '**/clients/*' });
  after(() => page.context().close());
  await page.locator('#missing code', { hasText: 'npm ci --ignore-scripts --prefix tests/clients' }).waitFor();
  assert.deepEqual(await page.locator('#protocol option:not([disabled])').allTextContents(), ['WebSocket']);
  await shot(page, 'chatroom-bare');
  await join(page, 'Bare');
  await line(ann, 'Bare', 'joined');
}, 30);

check('browser: the page before one joins', async (after) => {
  const page = await visit('choices');
  after(() => page.context().close());
  await page.selectOption('#protocol', 'socketio06');
  await shot(page, 'chatroom-choices');
}, 30);

check('browser: no errors, and nothing asked for elsewhere', async () => {
  assert.deepEqual(complaints, []);
});

await run(() => browser.close());
