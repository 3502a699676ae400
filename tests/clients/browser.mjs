// Two pages in headless Chromium chat with each other:
//
//     node browser.mjs CHATROOM [FOLDER]        (HOST:PORT; screenshots go to the folder)
//
// What the page must have: `#name` and `#join`; `#text` and `#send`; `#log` and `#people`, both
// lists of `li`; `#state`, a text that changes when the connection opens and when it closes.

import { mkdirSync } from 'node:fs';
import { join as path } from 'node:path';
import { address, assert, check, run } from './check.mjs';
import { launch } from './chromium.mjs';

const chatroom = address(0, 'chatroom');
const folder = process.argv[3] ?? 'screenshots';
mkdirSync(folder, { recursive: true });

const browser = await launch();

const complaints = [];
async function visit(who) {
  const context = await browser.newContext({ viewport: { width: 900, height: 640 } });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on('console', (line) => line.type() === 'error' && complaints.push(`${who}: ${line.text()}`));
  page.on('pageerror', (error) => complaints.push(`${who}: ${error.message}`));
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
}, 20);

check('browser: a second one joins, and both see it', async () => {
  bob = await visit('Bob');
  await join(bob, 'Bob');
  await Promise.all([line(ann, 'Bob', 'joined'), person(ann, 'Bob'), person(bob, 'Ann')]);
}, 20);

check('browser: they chat', async () => {
  await say(ann, 'Is anybody here?');
  await Promise.all([line(bob, 'Ann', 'Is anybody here?'), line(ann, 'Ann', 'Is anybody here?')]);
  await say(bob, 'I am. Grüße 🌪️');
  await Promise.all([line(ann, 'Bob', 'Grüße 🌪️'), line(bob, 'Bob', 'Grüße 🌪️')]);
  assert.equal(await ann.inputValue('#text'), '', 'the field is empty after sending');
}, 20);

check('browser: markup is shown, not run', async () => {
  await say(bob, '<img src=x onerror="document.title=1"><b>bold</b>');
  await line(ann, '<b>bold</b>');
  assert.equal(await ann.locator('#log b, #log img').count(), 0);
});

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
}, 20);

check('browser: a closed page leaves', async () => {
  await bob.close();
  await Promise.all([line(ann, 'Bobby', 'left'), nobody(ann, 'Bobby')]);
}, 20);

check('browser: no errors, and nothing asked for elsewhere', async () => {
  assert.deepEqual(complaints, []);
});

await run(() => browser.close());
