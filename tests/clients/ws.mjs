// npm `ws` and Node's own HTTP client against testbed and chatroom:
//
//     node ws.mjs TESTBED [CHATROOM]        (each HOST:PORT)

import http from 'node:http';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { address, assert, check, raw, request, run } from './check.mjs';

const server = address(0, 'testbed');
const url = `ws://${server.text}/ws`;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

/** An open client that collects what comes; `next()` waits for one message. */
async function open(target, after, options = {}) {
  const ws = new WebSocket(target, options);
  const came = [];
  const waiting = [];
  ws.on('message', (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    waiting.length ? waiting.shift()(message) : came.push(message);
  });
  ws.on('error', () => {});
  ws.next = () => (came.length ? Promise.resolve(came.shift()) : new Promise((resolve) => waiting.push(resolve)));
  ws.pending = came;
  after(() => ws.terminate());
  await new Promise((resolve, reject) => {
    ws.once('open', resolve);
    ws.once('error', reject);
    ws.once('unexpected-response', (_, res) => reject(new Error(`status ${res.statusCode}`)));
  });
  return ws;
}

async function closed(ws) {
  const [code, reason] = await once(ws, 'close');
  return [code, reason.toString()];
}

/** Sends and waits for the same, with its type. */
async function echoes(ws, message) {
  ws.send(message);
  const came = await ws.next();
  if (Buffer.isBuffer(message)) {
    assert.ok(Buffer.isBuffer(came), 'binary came back as text');
    assert.ok(message.equals(came), `${message.length} bytes came back as ${came.length} others`);
  } else {
    assert.equal(typeof came, 'string', 'text came back as binary');
    assert.ok(came === message, `${message.length} characters came back as ${came.length} others`);
  }
}

/** Deterministic bytes. */
function bytes(length) {
  const all = Buffer.allocUnsafe(length);
  for (let i = 0, x = 1; i < length; i += 1) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    all[i] = x >>> 16;
  }
  return all;
}

/** A masked frame made by hand, for what `ws` refuses to send. */
function frame(first, payload, { announced = payload.length, masked = true } = {}) {
  const head = announced < 126 ? Buffer.alloc(2) : Buffer.alloc(10);
  head[0] = first;
  if (announced < 126) head[1] = announced;
  else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(announced), 2);
  }
  if (!masked) return Buffer.concat([head, payload]);
  head[1] |= 0x80;
  const key = Buffer.from([1, 2, 3, 4]);
  return Buffer.concat([head, key, Buffer.from(payload.map((byte, i) => byte ^ key[i % 4]))]);
}

// ---------------------------------------------------------------- messages
const messages = [
  ['text', 'hello'],
  ['text in many scripts', 'Grüße, Ἰλιάς, 日本語, 🌪️'],
  ['binary', Buffer.from([0, 1, 2, 253, 254, 255])],
  ['empty text', ''],
  ['empty binary', Buffer.alloc(0)],
  ['125 bytes', bytes(125)],
  ['126 bytes', bytes(126)],
  ['65,535 bytes', bytes(65535)],
  ['65,536 bytes', bytes(65536)],
  ['1 MiB text', 'abcdefghij klmno'.repeat(65536)],
  ['1 MiB binary', bytes(1 << 20)],
  ['16 MiB binary', bytes(16 << 20)],
];
for (const [name, message] of messages) {
  check(`ws: ${name}`, async (after) => echoes(await open(url, after), message), 20);
}

check('ws: 64 MiB binary, the largest', async (after) => {
  const ws = await open(url, after, { maxPayload: 65 << 20 });
  await echoes(ws, Buffer.alloc(64 << 20, 'dust'));
}, 30);

check('ws: fragments make one message', async (after) => {
  const ws = await open(url, after);
  for (const part of ['one ', '', 'two ', 'three']) ws.send(part, { fin: part === 'three' });
  assert.equal(await ws.next(), 'one two three');
  ws.send(Buffer.from([1]), { fin: false, binary: true });
  ws.send(Buffer.from([2]), { fin: true, binary: true });
  assert.deepEqual(await ws.next(), Buffer.from([1, 2]));
});

check('ws: a character cut by a fragment', async (after) => {
  const ws = await open(url, after);
  const euro = Buffer.from('€');
  ws.send(euro.subarray(0, 1), { fin: false, binary: false });
  ws.send(euro.subarray(1), { fin: true, binary: false });
  assert.equal(await ws.next(), '€');
});

check('ws: 1000 fragments', async (after) => {
  const ws = await open(url, after);
  for (let i = 0; i < 1000; i += 1) ws.send(`${i},`, { fin: i === 999 });
  assert.equal((await ws.next()).split(',').length, 1001);
});

check('ws: ping and pong', async (after) => {
  const ws = await open(url, after);
  for (const payload of ['', 'are you there?', 'x'.repeat(125)]) {
    const pong = once(ws, 'pong');
    ws.ping(payload);
    assert.equal((await pong)[0].toString(), payload);
  }
});

check('ws: a ping between fragments is answered first', async (after) => {
  const ws = await open(url, after);
  const order = [];
  ws.on('pong', () => order.push('pong'));
  ws.on('message', () => order.push('message'));
  ws.send('a', { fin: false });
  ws.ping('now');
  ws.send('b', { fin: true });
  assert.equal(await ws.next(), 'ab');
  assert.deepEqual(order, ['pong', 'message']);
});

check('ws: an unasked pong is ignored', async (after) => {
  const ws = await open(url, after);
  ws.pong('nobody asked');
  await echoes(ws, 'still here');
});

check('ws: 200 messages in order', async (after) => {
  const ws = await open(url, after);
  for (let i = 0; i < 200; i += 1) ws.send(i % 2 ? `message ${i}` : Buffer.from(`message ${i}`));
  for (let i = 0; i < 200; i += 1) {
    const came = await ws.next();
    assert.equal(came.toString(), `message ${i}`);
    assert.equal(typeof came === 'string', i % 2 === 1, `the type of message ${i}`);
  }
});

check('ws: 100 messages of 64 KiB before the first is read', async (after) => {
  const ws = await open(url, after);
  ws.pause();
  const big = bytes(65536);
  for (let i = 0; i < 100; i += 1) ws.send(big);
  await new Promise((resolve) => setTimeout(resolve, 200));
  ws.resume();
  for (let i = 0; i < 100; i += 1) assert.ok(big.equals(await ws.next()), `message ${i}`);
}, 20);

// ---------------------------------------------------------------- closing
for (const [code, reason] of [[1000, 'bye'], [1001, ''], [3000, 'mine'], [4999, 'ü'.repeat(61)]]) {
  check(`ws: close with ${code} is answered with it`, async (after) => {
    const ws = await open(url, after);
    const end = closed(ws);
    ws.close(code, reason);
    assert.equal((await end)[0], code);
  });
}

check('ws: close without a code', async (after) => {
  const ws = await open(url, after);
  const end = closed(ws);
  ws.close();
  assert.equal((await end)[0], 1005);
});

check('ws: replies sent before the close frame still come', async (after) => {
  const ws = await open(url, after);
  const end = closed(ws);
  for (let i = 0; i < 50; i += 1) ws.send(`last words ${i}`);
  ws.close(1000);
  assert.equal((await end)[0], 1000);
  assert.equal(ws.pending.length, 50);
});

const faults = [
  ['a reserved opcode', frame(0x83, Buffer.from('x')), 1002],
  ['a reserved bit', frame(0xc1, Buffer.from('x')), 1002],
  ['a frame without a mask', frame(0x81, Buffer.from('x'), { masked: false }), 1002],
  ['a continuation of nothing', frame(0x80, Buffer.from('x')), 1002],
  ['a fragmented ping', frame(0x09, Buffer.from('x')), 1002],
  ['text that is not UTF-8', frame(0x81, Buffer.from([0xc0, 0xaf])), 1007],
  ['a close frame of one byte', frame(0x88, Buffer.from([3])), 1002],
  ['a close code that may not be sent', frame(0x88, Buffer.from([0x03, 0xed])), 1002],
  ['more than 64 MiB announced', frame(0x82, Buffer.alloc(0), { announced: (64 << 20) + 1 }), 1009],
];
for (const [name, wire, code] of faults) {
  check(`ws: ${name} closes with ${code}`, async (after) => {
    const ws = await open(url, after);
    const other = await open(url, after);
    const end = closed(ws);
    ws._socket.write(wire);
    assert.equal((await end)[0], code);
    await echoes(other, 'not disturbed');
  });
}

// ---------------------------------------------------------------- many
check('ws: 200 connections', async (after) => {
  const all = await Promise.all(Array.from({ length: 200 }, () => open(url, after)));
  await Promise.all(all.map((ws, i) => echoes(ws, `I am ${i}`)));
  await Promise.all(all.map((ws) => {
    const end = closed(ws);
    ws.close(1000);
    return end;
  }));
}, 30);

check('ws: half of 100 connections cut off, the others go on', async (after) => {
  const all = await Promise.all(Array.from({ length: 100 }, () => open(url, after)));
  all.forEach((ws, i) => {
    ws.send('x'.repeat(10000));
    if (i % 2) ws.terminate();
  });
  const stay = all.filter((_, i) => i % 2 === 0);
  await Promise.all(stay.map((ws) => ws.next()));
  await Promise.all(stay.map((ws, i) => echoes(ws, `I am ${i}`)));
}, 20);

check('ws: reset in the middle of a message', async (after) => {
  const ws = await open(url, after);
  ws._socket.write(frame(0x82, bytes(10), { announced: 1000 }));
  ws._socket.resetAndDestroy();
  await echoes(await open(url, after), 'next');
});

// ---------------------------------------------------------------- the opening handshake
const handshake = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};
const upgrade = (headers, first = 'GET /ws HTTP/1.1') =>
  `${first}\r\nHost: ${server.text}\r\n${Object.entries({ ...handshake, ...headers })
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;
const headDone = (text) => text.includes('\r\n\r\n');

check('handshake: the key of RFC 6455', async (after) => {
  const head = await raw(server, upgrade({}), after, headDone);
  assert.match(head, /^HTTP\/1\.1 101 /);
  assert.match(head, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i);
  assert.doesNotMatch(head, /Content-Length|Transfer-Encoding|Sec-WebSocket-Protocol|Sec-WebSocket-Extensions/i);
});

check('handshake: no extension, no subprotocol', async (after) => {
  const ws = await open(url, after, { perMessageDeflate: true });
  assert.equal(ws.protocol, '');
  assert.equal(ws.extensions, '');
  const head = await raw(server, upgrade({ 'Sec-WebSocket-Protocol': 'chat, superchat' }), after, headDone);
  assert.match(head, /^HTTP\/1\.1 101 /);
  assert.doesNotMatch(head, /Sec-WebSocket-Protocol/i);
});

check('handshake: a frame in the same segment', async (after) => {
  const wire = Buffer.concat([Buffer.from(upgrade({})), frame(0x81, Buffer.from('early'))]);
  const text = await raw(server, wire, after, (text) => text.endsWith('\x81\x05early'));
  assert.ok(text.endsWith('\x81\x05early'), 'no echo');
});

const refusals = [
  ['a version we do not speak', upgrade({ 'Sec-WebSocket-Version': '99' }), 426],
  ['no key', upgrade({ 'Sec-WebSocket-Key': null }), 400],
  ['a short key', upgrade({ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZQ==' }), 400],
  ['a POST', upgrade({ 'Content-Length': '0' }, 'POST /ws HTTP/1.1'), 405],
  ['a path without a route', upgrade({}, 'GET /nowhere HTTP/1.1'), 404],
];
for (const [name, bytes, status] of refusals) {
  check(`handshake: ${name} is refused with ${status}`, async (after) => {
    const head = await raw(server, bytes, after, headDone);
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
  });
}

check('handshake: a plain GET is told to upgrade', async () => {
  const answer = await request(server, { path: '/ws', agent: false });
  assert.equal(answer.status, 426);
  assert.match(answer.headers.upgrade ?? '', /websocket/i);
});

// ---------------------------------------------------------------- HTTP through Node's agent
check('http: a page, on a connection that is kept', async () => {
  const first = await request(server, { agent });
  assert.equal(first.status, 200);
  assert.match(first.headers['content-type'] ?? '', /^text\/html/);
  assert.ok(first.headers.date, 'no Date');
  const second = await request(server, { agent });
  assert.ok(second.reused && second.socket === first.socket, 'another connection');
  assert.deepEqual(second.body, first.body);
});

check('http: HEAD has the fields of GET and no body', async () => {
  const get = await request(server, { agent });
  const head = await request(server, { agent, method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.headers['content-length'], String(get.body.length));
  assert.equal(head.body.length, 0);
  assert.equal((await request(server, { agent })).body.length, get.body.length);
});

for (const method of ['POST', 'PUT']) {
  for (const length of [0, 1, 1000, 500_000]) {
    check(`http: ${method} echoes ${length} bytes`, async () => {
      const body = bytes(length);
      const answer = await request(server, { agent, method, headers: { 'Content-Length': length } }, body);
      assert.equal(answer.status, 200);
      assert.ok(body.equals(answer.body), `${answer.body.length} other bytes`);
    });
  }
}

check('http: a chunked upload', async () => {
  const parts = Array.from({ length: 100 }, (_, i) => bytes(i * 37 + 1));
  const answer = await request(server, { agent, method: 'POST', headers: { 'Transfer-Encoding': 'chunked' } }, parts);
  assert.equal(answer.status, 200);
  assert.ok(Buffer.concat(parts).equals(answer.body), `${answer.body.length} other bytes`);
  assert.equal((await request(server, { agent })).status, 200);
});

for (const method of ['DELETE', 'OPTIONS']) {
  check(`http: ${method} is answered with 200`, async () => {
    assert.equal((await request(server, { agent, method })).status, 200);
  });
}

check('http: 404 for a path without a route, and the connection is kept', async () => {
  assert.equal((await request(server, { agent, path: '/nowhere' })).status, 404);
  const next = await request(server, { agent });
  assert.equal(next.status, 200);
  assert.ok(next.reused, 'another connection');
});

check('http: 16 pipelined requests are answered in order', async (after) => {
  let wire = '';
  for (let i = 0; i < 16; i += 1) {
    wire += `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n${i === 15 ? 'Connection: close\r\n' : ''}\r\nnumber ${String(i).padStart(2, '0')}`;
  }
  const text = await raw(server, wire, after);
  assert.deepEqual(text.match(/number \d\d/g), Array.from({ length: 16 }, (_, i) => `number ${String(i).padStart(2, '0')}`));
  assert.equal(text.match(/HTTP\/1\.1 200 /g).length, 16);
});

check('http: Connection: close is kept to', async (after) => {
  const text = await raw(server, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', after);
  assert.match(text, /^HTTP\/1\.1 200 [^]*\r\nConnection: close\r\n/i);
});

check('http: HTTP/1.0 is answered and closed', async (after) => {
  const text = await raw(server, 'GET / HTTP/1.0\r\n\r\n', after);
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(text, /Transfer-Encoding/i);
});

check('http: a request a byte at a time', async (after) => {
  const socket = (await import('node:net')).connect({ port: server.port, host: server.host, noDelay: true });
  after(() => socket.destroy());
  await once(socket, 'connect');
  const answer = once(socket, 'data');
  for (const byte of 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n') {
    socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.match(String((await answer)[0]), /^HTTP\/1\.1 200 [^]*abc/);
});

check('http: what is not HTTP gets 400 and is closed', async (after) => {
  assert.match(await raw(server, 'GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n', after), /^HTTP\/1\.1 400 /);
  assert.match(await raw(server, 'GET / HTTP/1.1\r\n\r\n', after), /^HTTP\/1\.1 400 /);
});

check('http: 100 connections at once', async () => {
  const many = new http.Agent({ keepAlive: true, maxSockets: 100 });
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) =>
    request(server, { agent: many, method: 'POST' }, `request ${i}`)));
  answers.forEach((answer, i) => assert.equal(answer.body.toString(), `request ${i}`));
  many.destroy();
}, 20);

// ---------------------------------------------------------------- the chat room
if (process.argv[3]) {
  const chatroom = address(1, 'chatroom');
  const chat = `ws://${chatroom.text}/chat`;
  /** Joins; the first line that a client sends is its name. */
  const join = async (name, after) => {
    const ws = await open(chat, after);
    ws.send(name);
    ws.hear = async (...parts) => {
      for (;;) {
        const line = await ws.next();
        if (parts.every((part) => line.includes(part))) return line;
      }
    };
    return ws;
  };

  check('chat: joined, said, left', async (after) => {
    const ann = await join('Ann', after);
    await ann.hear('Ann', 'joined');
    const bob = await join('Bob', after);
    await Promise.all([ann.hear('Bob', 'joined'), bob.hear('Bob', 'joined')]);
    ann.send('Is anybody here?');
    await Promise.all([ann.hear('Ann', 'Is anybody here?'), bob.hear('Ann', 'Is anybody here?')]);
    bob.send('Grüße 🌪️');
    await ann.hear('Bob', 'Grüße 🌪️');
    bob.close(1000);
    await ann.hear('Bob', 'left');
  });

  check('chat: one who is cut off has left', async (after) => {
    const cleo = await join('Cleo', after);
    const dan = await join('Dan', after);
    await cleo.hear('Dan', 'joined');
    dan.terminate();
    await cleo.hear('Dan', 'left');
  });

  check('chat: 100 lines reach 20 others in order', async (after) => {
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => join(`Guest${i}`, after)));
    await Promise.all(all.map((ws, i) => ws.hear(`Guest${i}`, 'joined')));
    const eve = await join('Eve', after);
    await eve.hear('Eve', 'joined');
    for (let i = 0; i < 100; i += 1) eve.send(`line ${i};`);
    await Promise.all(all.map(async (ws) => {
      for (let i = 0; i < 100; i += 1) {
        const line = await ws.hear('Eve: ', 'line ');
        assert.ok(line.includes(`line ${i};`), `"${line}" instead of line ${i}`);
      }
    }));
  }, 20);
}

await run();
