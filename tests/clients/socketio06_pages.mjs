// The page of the Socket.IO 0.6 example in headless Chromium:
//
//     node socketio06_pages.mjs PING [FOLDER]        (HOST:PORT; screenshots go to the folder)

import { mkdirSync } from 'node:fs';
import { join as path } from 'node:path';
import { address, assert, check, run } from './check.mjs';
import { clocksAgree, launch } from './chromium.mjs';

const ping = address(0, 'ping');
const folder = process.argv[3] ?? 'screenshots';
mkdirSync(folder, { recursive: true });

const browser = await launch();
const complaints = [];
const NARROW = { width: 420, height: 740 };

/** A page in a context of its own. */
async function visit(after, { size = { width: 900, height: 640 }, blocked } = {}) {
  const context = await browser.newContext({ viewport: size });
  after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  if (blocked) await page.route(blocked, (route) => route.abort());
  else page.on('console', (line) => line.type() === 'error' && complaints.push(line.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (asked) => {
    const { protocol, host } = new URL(asked.url());
    if (/^https?:/.test(protocol) && host !== ping.text) complaints.push(`asked for ${asked.url()}`);
  });
  await page.goto(`http://${ping.text}/`);
  return page;
}

async function shot(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  await page.screenshot({ path: path(folder, `${name}.png`) });
  assert.ok(!wide, `${name} is wider than its window`);
}

check('ping: JSON comes back with the time and the address', async (after) => {
  const page = await visit(after);
  await page.locator('#state', { hasText: 'connected by websocket' }).waitFor();
  await page.click('#ping');
  await page.locator('#last', { hasText: / ms$/ }).waitFor();
  await page.click('#auto');
  await page.waitForFunction(() => document.querySelectorAll('#log li').length >= 3);
  for (const figure of ['mean', 'ahead']) assert.match(await page.textContent(`#${figure}`), /^-?[\d.]+ ms$/);
  await clocksAgree(page);
  assert.match(await page.textContent('#address'), /^127\.0\.0\.1:\d+$/);
  await shot(page, 'ping');
  await page.click('#auto');
  await page.setViewportSize(NARROW);
  await shot(page, 'ping-narrow');
}, 40);

check('ping: without the client it says how to get it', async (after) => {
  const page = await visit(after, { size: NARROW, blocked: '**/socket.io.js' });
  await page.locator('.notice code', { hasText: 'npm ci --ignore-scripts --prefix tests/clients' }).waitFor();
  await page.locator('#state', { hasText: 'not connected' }).waitFor();
  assert.ok(await page.locator('#ping').isDisabled());
  await shot(page, 'ping-without-client');
}, 40);

check('the page did not complain', () => assert.deepEqual(complaints, []));

await run(() => browser.close());
