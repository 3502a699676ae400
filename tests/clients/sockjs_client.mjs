// npm `sockjs-client` in Node against the SockJS services (README.md says which):
//
//     node sockjs_client.mjs SOCKJS        (HOST:PORT)

import SockJS from 'sockjs-client';
import { address, check, run } from './check.mjs';
import { atOnce, checks, fallsBack } from './sockjs_checks.mjs';

const base = `http://${address(0, 'the SockJS server').text}`;

for (const transport of ['websocket', 'xhr-streaming', 'eventsource', 'xhr-polling']) {
  for (const [name, body] of Object.entries(checks)) {
    check(`${transport}: ${name}`, () => body(SockJS, base, transport), 20, transport);
  }
  check(`${transport}: 20 sessions at once`, () => atOnce(SockJS, base, transport, 20), 20, transport);
}

check('any transport: without WebSocket it falls back', () => fallsBack(SockJS, base, undefined), 20);
check('websocket and xhr-streaming: without WebSocket it falls back', () => fallsBack(SockJS, base, ['websocket', 'xhr-streaming']), 20);

await run();
