// The pages of the Socket.IO 0.9 examples in headless Chromium:
//
//     node socketio09_pages.mjs ACKPING RPCPING MULTIPLEXED ORDERED TRANSPORTS CROSSSITE STATS [FOLDER]
//
// (each HOST:PORT; screenshots go to the folder)

import { mkdirSync } from 'node:fs';
import { join as path } from 'node:path';
import { address, assert, check, run } from './check.mjs';
import { clocksAgree, launch } from './chromium.mjs';

const [ackping, rpcping, multiplexed, ordered, transports, crosssite, stats] =
  ['ackping', 'rpcping', 'multiplexed', 'ordered', 'transports', 'crosssite', 'stats'].map((name, at) => address(at, name));
const folder = process.argv[9] ?? 'screenshots';
mkdirSync(folder, { recursive: true });

const browser = await launch();
const complaints = [];
const WIDE = { width: 900, height: 640 };
const NARROW = { width: 420, height: 740 };

/**
 * A page in a context of its own. `hosts`: those besides the server that it may ask; `fails`: it may fail to load
 * something, as it does if something is `blocked`.
 */
async function visit(server, { size = WIDE, at = '/', blocked, fails = Boolean(blocked), init, hosts = [] } = {}) {
  const context = await browser.newContext({ viewport: size });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  if (init) await page.addInitScript(init);
  if (blocked) await page.route(blocked, (route) => route.abort());
  if (!fails) page.on('console', (line) => line.type() === 'error' && complaints.push(`${server.text}: ${line.text()}`));
  page.on('pageerror', (error) => complaints.push(`${server.text}: ${error.message}`));
  page.on('request', (asked) => {
    const { protocol, host } = new URL(asked.url());
    if (/^https?:/.test(protocol) && ![server.text, ...hosts].includes(host)) complaints.push(`${server.text}: asked for ${asked.url()}`);
  });
  await page.goto(`http://${server.text}${at}`);
  return page;
}

const shot = async (page, name) => {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  await page.screenshot({ path: path(folder, `${name}.png`) });
  assert.ok(!wide, `${name} is wider than its window`);
};
const state = (page, text) => page.locator('#state', { hasText: text }).waitFor();
const line = (page, text, log = '#log') => page.locator(`${log} li`, { hasText: text }).first().waitFor();

async function say(page, text, form = '#say') {
  await page.fill(`${form} input[type=text]`, text);
  await page.click(`${form} button`);
}

check('ackping: pings are acknowledged', async (after) => {
  const page = await visit(ackping);
  after(() => page.context().close());
  await state(page, 'connected by websocket');
  await page.click('#ping');
  await page.locator('#last', { hasText: / ms$/ }).waitFor();
  await page.click('#auto');
  await page.waitForFunction(() => document.querySelectorAll('#log li').length >= 3);
  for (const figure of ['mean', 'best', 'ahead']) assert.match(await page.textContent(`#${figure}`), /^-?[\d.]+ ms$/);
  await clocksAgree(page);
  await shot(page, 'ackping');
  await page.click('#auto');
  await page.setViewportSize(NARROW);
  await shot(page, 'ackping-narrow');
}, 40, 'ackping');

check('ackping: without the client it says how to get it', async (after) => {
  const page = await visit(ackping, { size: NARROW, blocked: '**/socket.io.js' });
  after(() => page.context().close());
  await page.locator('.notice code', { hasText: 'npm ci --ignore-scripts --prefix tests/clients' }).waitFor();
  await state(page, 'not connected');
  assert.ok(await page.locator('#ping').isDisabled());
  await shot(page, 'ackping-without-client');
}, 40, 'ackping');

check('rpcping: by position and by name', async (after) => {
  const page = await visit(rpcping);
  after(() => page.context().close());
  await state(page, 'connected by');
  await page.click('#position button');
  await page.locator('#position .hint', { hasText: 'there and back' }).waitFor();
  await page.click('#name button');
  await page.locator('#name .hint', { hasText: 'there and back' }).waitFor();
  await line(page, /^pong \[\d+\.?\d*,\d+\.?\d*\]/);
  await line(page, /^pong \[\{"client":\d+\.?\d*,"server":\d+\.?\d*\}\]/);
  await shot(page, 'rpcping');
  await page.setViewportSize(NARROW);
  await shot(page, 'rpcping-narrow');
}, 40, 'rpcping');

check('multiplexed: root, chat and ping over one connection', async (after) => {
  const page = await visit(multiplexed);
  const other = await visit(multiplexed, { size: NARROW });
  after(() => page.context().close());
  after(() => other.context().close());
  for (const [each, name] of [[page, 'Ann'], [other, 'Bob <b>']]) {
    await state(each, 'connected by');
    await line(each, 'connected', '#chat');
    await say(each, name, '#chat form');
    await line(each, `${name} joined`, '#chat');
  }
  await line(page, 'Bob <b> joined', '#chat');
  await say(page, 'hello <i>you</i> 😀', '#chat form');
  await line(other, 'Ann: hello <i>you</i> 😀', '#chat');
  await page.click('#ping form button');
  await line(page, 'there and back', '#ping');
  await say(page, 'only mine', '#root form');
  await page.locator('#root li:not(.own)', { hasText: 'only mine' }).waitFor();
  const sessions = await page.locator('.pane .hint').allTextContents();
  assert.match(sessions[0], /^session ./);
  assert.ok(sessions.every((text) => text === sessions[0]), `one session: ${sessions}`);
  await shot(page, 'multiplexed');
  await shot(other, 'multiplexed-narrow');
  // One endpoint is left and entered again; the others stay.
  await page.click('#chat .quiet');
  await line(other, 'Ann left', '#chat');
  await page.locator('#chat .quiet', { hasText: 'Enter' }).click();
  await page.locator('#chat .quiet', { hasText: 'Leave' }).waitFor();
  await say(page, 'Ann again', '#chat form');
  await line(other, 'Ann again joined', '#chat');
  await page.click('#ping form button');
  const handshakes = await page.evaluate(() => performance.getEntriesByType('resource').filter(({ name }) => name.includes('/socket.io/1/')).length);
  assert.equal(handshakes, 1, 'handshakes');
  await other.goto('about:blank');
  await line(page, 'Bob <b> left', '#chat');
}, 60, 'multiplexed');

check('ordered: one after the other, or all at once, and the loop goes on', async (after) => {
  const page = await visit(ordered);
  after(() => page.context().close());
  await state(page, 'connected by');
  await page.locator('#trip', { hasText: ' ms' }).waitFor();
  await page.click('#held button');
  await page.click('#free button');
  await page.waitForTimeout(4200);
  await shot(page, 'ordered-midway');
  const took = async (pane) => {
    const text = await page.locator(`#${pane} .lanes + .hint`, { hasText: 'all answered after' }).textContent();
    return parseFloat(/after ([\d.]+) s/.exec(text)[1]);
  };
  const [free, held] = [await took('free'), await took('held')];
  assert.ok(free >= 3 && free < 6, `without: ${free} s`);
  assert.ok(held >= 9 && held < 15, `with: ${held} s`);
  const slowest = parseFloat(await page.textContent('#slowest'));
  assert.ok(slowest < 2500, `the slowest ping on the other connection took ${slowest} ms`);
  await shot(page, 'ordered');
  await page.setViewportSize(NARROW);
  await shot(page, 'ordered-narrow');
}, 60, 'ordered');

check('transports: a chat over each', async (after) => {
  const explorer = () => {
    window.ActiveXObject = function ActiveXObject(what) {
      if (what !== 'htmlfile') throw new Error(`no control ${what}`);
      const frame = document.createElement('iframe');
      frame.hidden = true;
      document.body.append(frame);
      frame.contentDocument.parentWindow = frame.contentWindow;
      return frame.contentDocument;
    };
    window.CollectGarbage = () => {};
  };
  const other = await visit(transports, { size: NARROW });
  after(() => other.context().close());
  assert.ok(await other.locator('input[value=htmlfile]').isDisabled());
  await other.click('#connect');
  await state(other, 'connected by websocket');
  const page = await visit(transports, { init: explorer });
  after(() => page.context().close());
  for (const transport of ['websocket', 'xhr-polling', 'jsonp-polling', 'htmlfile']) {
    for (const box of await page.locator('#transports input').all()) {
      await box.setChecked((await box.inputValue()) === transport);
    }
    await page.click('#connect');
    await state(page, `connected by ${transport}`);
    await line(page, `The server says: ${transport}`);
    await say(page, `by ${transport}: <b>&</b> "two" 😀`);
    for (const each of [page, other]) await line(each, `by ${transport}: <b>&</b> "two" 😀`);
    await say(other, `heard by ${transport}`);
    await line(page, `heard by ${transport}`);
    if (transport === 'jsonp-polling') await shot(page, 'transports');
    await page.click('#connect');
    await state(page, 'disconnected');
  }
  for (const box of await page.locator('#transports input').all()) await box.setChecked(false);
  await page.click('#connect');
  await state(page, 'choose at least one transport');
  await shot(other, 'transports-narrow');
}, 60, 'transports');

check('crosssite: from one port to another', async (after) => {
  const hosts = [];
  const page = await visit(crosssite, { hosts });
  after(() => page.context().close());
  const there = page.locator('#there', { hasText: 'http://' });
  await there.waitFor();
  const sockets = new URL(await there.textContent()).host;
  assert.notEqual(sockets, crosssite.text);
  hosts.push(sockets);
  for (const transport of ['websocket', 'xhr-polling', 'jsonp-polling']) {
    await page.check(`input[value=${transport}]`);
    await page.click('#connect');
    await state(page, `connected by ${transport}`);
    await line(page, `The server says: ${transport}`);
    await say(page, `by ${transport} 😀`);
    await page.locator('#log li:not(.own):not(.note)', { hasText: `by ${transport} 😀` }).waitFor();
    if (transport === 'jsonp-polling') {
      await shot(page, 'crosssite');
      await page.setViewportSize(NARROW);
      await shot(page, 'crosssite-narrow');
    }
    await page.click('#connect');
    await state(page, 'disconnected');
  }
  // A page of any other origin is not let in.
  const stranger = await visit(stats, { hosts: [sockets], fails: true });
  after(() => stranger.context().close());
  const refused = await stranger.evaluate((url) => new Promise((resolve) => {
    window.io.transports = ['xhr-polling'];
    const socket = window.io.connect(url, { 'force new connection': true });
    socket.on('connect', () => resolve('connected'));
    socket.on('error', () => resolve('refused'));
  }), `http://${sockets}`);
  assert.equal(refused, 'refused');
}, 60, 'crosssite');

check('stats: pings move the counters', async (after) => {
  const page = await visit(stats, { at: '/stats' });
  after(() => page.context().close());
  await state(page, 'connected by');
  await page.locator('#packets_recv_ps output').waitFor();
  const maker = await visit(stats);
  after(() => maker.context().close());
  await state(maker, 'connected by');
  await maker.fill('#connections', '4');
  await maker.locator('#connected', { hasText: '4' }).waitFor();
  await maker.fill('#rate', '10');
  await page.waitForFunction(() => Number(document.querySelector('#packets_recv_ps output').textContent) > 10);
  await page.waitForFunction(() => Number(document.querySelector('#sessions_active output').textContent) >= 5);
  await shot(maker, 'stats-pings');
  await maker.setViewportSize(NARROW);
  await shot(maker, 'stats-pings-narrow');
  await maker.fill('#connections', '1');
  await maker.locator('#connected', { hasText: '1' }).waitFor();
  await page.waitForTimeout(3000);
  await shot(page, 'stats');
  const drawn = await page.evaluate(() => {
    const canvas = document.querySelector('#packets_recv_ps canvas');
    return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean);
  });
  assert.ok(drawn, 'something is drawn');
  await page.setViewportSize(NARROW);
  await page.waitForTimeout(1200);
  await shot(page, 'stats-narrow');
}, 60, 'stats');

check('no page complained', () => assert.deepEqual(complaints, []));

await run(() => browser.close());
