// npm `socket.io-client` 0.9.17, 0.9.0 and 0.8.7 in Node against the Socket.IO services (README.md says which):
//
//     node socketio09_client.mjs SOCKETIO [PROGRAM]        (HOST:PORT; the testbed, for checks that restart it)

import { createRequire } from 'node:module';
import { address, check, run } from './check.mjs';
import { restartable } from './restartable.mjs';
import { checks, comesBack } from './socketio09_checks.mjs';

const base = `http://${address(0, 'the Socket.IO server').text}`;
const program = process.argv[3];
const require = createRequire(import.meta.url);

// WebSockets of the older two need what Node has no longer.
const clients = [['0.9.17', 'websocket'], ['0.9.17', 'xhr-polling'], ['0.9.0', 'xhr-polling'], ['0.8.7', 'xhr-polling']];

for (const [version, transport] of clients) {
  const io = require(`socket.io-client-${version}`);
  const lane = `${version} ${transport}`;
  for (const { name, run: body } of checks) check(`${lane}: ${name}`, () => body(io, base, transport), 20, lane);
}

if (program) {
  for (const [version, transport] of clients) {
    const io = require(`socket.io-client-${version}`);
    for (const signal of ['SIGKILL', 'SIGTERM']) {
      check(`${version} ${transport}: comes back after ${signal}`, async (after) => {
        const { url, restart } = await restartable(program, after);
        await comesBack(io, url, transport, () => restart(signal));
      }, 25, `${version} ${transport} restart ${signal}`);
    }
  }
}

await run();
