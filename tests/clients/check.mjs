// A list of checks, each with a time-out, and one line for each: `ok NAME` or `not ok NAME: why`.

import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { once } from 'node:events';

const checks = [];

/**
 * Registers a check. It gets a function `after` for what must be undone, whatever happens. Neighbours with lanes run at
 * once with those of other lanes, and one after the other in their own; the others run alone.
 */
export function check(name, body, seconds = 10, lane = undefined) {
  checks.push({ name, body, seconds, lane });
}

/** Runs all of them in order, `lanes` of the lanes at once, then `last`, and ends the process. */
export async function run(last = () => {}, lanes = 4) {
  let failed = 0;
  async function one({ name, body, seconds }) {
    const undo = [];
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${seconds} s`)), seconds * 1000);
    });
    try {
      await Promise.race([body((what) => undo.push(what)), late]);
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${name}: ${String(error?.message ?? error).replace(/\x1b\[\d*m/g, '').replace(/\s+/g, ' ').slice(0, 300)}`);
    }
    clearTimeout(timer);
    for (const what of undo.reverse()) {
      try {
        await what();
      } catch {
        // The check has said what was wrong.
      }
    }
  }
  for (let at = 0; at < checks.length;) {
    const queues = new Map();
    do {
      const { lane } = checks[at];
      queues.set(lane, [...(queues.get(lane) ?? []), checks[at]]);
      at += 1;
    } while (at < checks.length && checks[at - 1].lane && checks[at].lane);
    const waiting = [...queues.values()];
    await Promise.all(Array.from({ length: lanes }, async () => {
      for (let queue; (queue = waiting.shift());) for (const each of queue) await one(each);
    }));
  }
  await Promise.race([last(), new Promise((resolve) => setTimeout(resolve, 5000))]);
  console.log(`${checks.length - failed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

// What a check did not wait for must not end the others.
process.on('unhandledRejection', () => {});

/** `HOST:PORT` from the command line. */
export function address(index, what) {
  const [host, port] = (process.argv[index + 2] ?? '').split(':');
  if (!host || !port) {
    console.error(`argument ${index + 1} is the address of ${what}, HOST:PORT`);
    process.exit(2);
  }
  return { host, port: Number(port), text: `${host}:${port}` };
}

/** One request with Node's own client. `body` is a Buffer, a string, or a list sent in chunks. */
export async function request(server, options = {}, body = undefined) {
  const req = http.request({ host: server.host, port: server.port, path: '/', ...options });
  const answer = once(req, 'response');
  if (Array.isArray(body)) {
    for (const part of body) {
      req.write(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    req.end();
  } else {
    req.end(body);
  }
  const [res] = await answer;
  const parts = [];
  for await (const part of res) parts.push(part);
  return { status: res.statusCode, headers: res.headers, body: Buffer.concat(parts), socket: req.socket, reused: req.reusedSocket };
}

/** Writes `bytes` to a new socket and answers what came when `enough(text)` holds or the server closed. */
export async function raw(server, bytes, after, enough = () => false) {
  const socket = net.connect(server.port, server.host);
  after(() => socket.destroy());
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (data) => {
    text += data.toString('latin1');
    if (enough(text)) socket.emit('enough');
  });
  const done = Promise.race([once(socket, 'enough'), once(socket, 'close')]);
  socket.write(bytes);
  await done;
  return text;
}

export { assert };
