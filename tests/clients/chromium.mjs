// Chromium: the one that CHROMIUM names, or the one that is installed.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { assert } from './check.mjs';
import { chromium } from 'playwright-core';

function program() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    if (existsSync(`/usr/bin/${name}`)) return `/usr/bin/${name}`;
    try {
      return execFileSync('which', [name]).toString().trim();
    } catch {
      // The next one.
    }
  }
  console.log('not ok browser: there is no Chromium');
  console.log('0 passed, 1 failed');
  process.exit(1);
}

/** A headless one. */
export function launch() {
  return chromium.launch({
    executablePath: program(),
    headless: true,
    // Nothing but the page: no updates, no look-ups of hosts.
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
    timeout: 60_000,
  });
}

/** On a page that shows its last round trip, and by how much the server's clock is ahead: both clocks are this machine's. */
export async function clocksAgree(page) {
  const [last, ahead] = await page.evaluate(() => ['last', 'ahead'].map((id) => parseFloat(document.getElementById(id).textContent)));
  // The server's time lies within the round trip, or near it.
  assert.ok(Math.abs(ahead) <= last / 2 + 100, `ahead by ${ahead} ms after a round trip of ${last} ms`);
}
