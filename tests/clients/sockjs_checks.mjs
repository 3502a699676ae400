// What every transport of sockjs-client must do, in Node and in a page alike: each check gets the constructor, the
// server's address as `http://HOST:PORT` and the name of a transport, and fails by throwing. Imports nothing, since
// pages load it too.

function fail(text) {
  throw new Error(text);
}

const short = (what) => {
  const text = JSON.stringify(what) ?? String(what);
  return text.length > 60 ? `${text.slice(0, 60)}... (${text.length} characters)` : text;
};

function same(came, expected, what) {
  if (came === expected) return;
  if (typeof came === 'string' && typeof expected === 'string' && came.length > 60) {
    let at = 0;
    while (came[at] === expected[at]) at += 1;
    fail(`${what}: from character ${at} on ${short(came.slice(at, at + 8))} instead of ${short(expected.slice(at, at + 8))}`);
  }
  fail(`${what}: ${short(came)} instead of ${short(expected)}`);
}

/** A client whose events are waited for, in the order in which they come. */
class Client {
  constructor(SockJS, url, transports) {
    this.came = [];
    this.waiting = [];
    // With its own time-out, some 600 ms here, the client would give up on a busy machine.
    this.sock = new SockJS(url, null, { transports, timeout: 8000 });
    this.sock.onopen = () => {
      this.event({ type: 'open', transport: this.sock.transport });
      // Not before: the client takes the prelude of a stream for a heartbeat.
      this.sock.onheartbeat = () => this.event({ type: 'heartbeat' });
    };
    this.sock.onmessage = (event) => this.event({ type: 'message', data: event.data });
    this.sock.onclose = (event) => this.event({ type: 'close', code: event.code, reason: event.reason, wasClean: event.wasClean });
  }

  event(event) {
    this.waiting.length ? this.waiting.shift()(event) : this.came.push(event);
  }

  next() {
    return this.came.length ? Promise.resolve(this.came.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }

  async expect(type, what = type) {
    const event = await this.next();
    if (event.type !== type) fail(`${event.type}${event.code ? ` ${event.code} ${event.reason}` : ''} came before ${what}`);
    return event;
  }

  /** The text of the next message; heartbeats may come before it. */
  async message(what) {
    for (;;) {
      const event = await this.next();
      if (event.type === 'message') return event.data;
      if (event.type !== 'heartbeat') fail(`${event.type} ${event.code} ${event.reason} came before ${what}`);
    }
  }

  async echoes(text, what = short(text)) {
    this.sock.send(text);
    same(await this.message(what), text, what);
  }

  async closes(code, reason, wasClean) {
    const event = await this.expect('close');
    same(`${event.code} ${event.reason}`, `${code} ${reason}`, 'close');
    if (wasClean !== undefined) same(event.wasClean, wasClean, 'wasClean');
  }

  /** Closes, if it is not closed, and waits for that. */
  async close() {
    if (this.sock.readyState > 1) return;
    this.sock.close();
    while ((await this.next()).type !== 'close');
  }
}

async function opened(SockJS, url, transport) {
  const client = new Client(SockJS, url, transport);
  same((await client.expect('open')).transport, transport, 'transport');
  return client;
}

const range = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => String.fromCodePoint(first + i));

// What a server must write as escapes, neighbours that it need not, and what old clients were known to lose.
const escaped = [
  ...range(0x00, 0x1f), '"', '\\', ...range(0x200c, 0x200f), ...range(0x2028, 0x202f), ...range(0x2060, 0x206f),
  ...range(0xfff0, 0xffff),
];
const plain = ['/', '\x7f', ...range(0x80, 0x9f), '\u00ad', '\u0600', '\u200b', '\u2010', '\u2027', '\u2030', '\u205f', '\u2070', '\ufeff', '\uffef'];
const astral = ['\u{10000}', '\u{1f600}', '\u{1f32a}\ufe0f', '\u{2028f}', '\u{10ffff}', 'a\u{1d11e}b'];
const percent = ['%', '%%', '%2', '%25', '%E4', '%C3%A4', '100 % "sure"', '%u2028', '+', 'a+b c&d=e;f'];
const quotes = ["'", '"]', '\\u0041', '\\\\n', '[]', '{}', '["x"]', 'o', 'h', 'c[3000,"Go away!"]', ' ', '  x  ', '\r\n', 'data: x\n\n'];

async function each(SockJS, base, transport, texts) {
  const client = await opened(SockJS, `${base}/echo`, transport);
  for (const text of texts) client.sock.send(text);
  for (const text of texts) same(await client.message(short(text)), text, 'echo');
  await client.echoes(texts.join(''), 'all of them in one');
  await client.close();
}

/** Name of a check -> what it does. */
export const checks = {
  async 'opens and echoes'(SockJS, base, transport) {
    const client = await opened(SockJS, `${base}/echo`, transport);
    same(client.sock.readyState, 1, 'readyState');
    for (const text of ['hello', 'Grüße, Ἰλιάς, 日本語', '', 'x']) await client.echoes(text);
    await client.close();
  },
  async '100 messages in order'(SockJS, base, transport) {
    const client = await opened(SockJS, `${base}/echo`, transport);
    // More than the response limit of a stream, so that it is opened anew in between.
    const texts = Array.from({ length: 100 }, (_, i) => `message ${i} ${'.'.repeat(i * 7 % 150)}`);
    for (const text of texts) client.sock.send(text);
    for (const text of texts) same(await client.message(text), text, 'echo');
    await client.close();
  },
  async '30 messages to and fro'(SockJS, base, transport) {
    const client = await opened(SockJS, `${base}/echo`, transport);
    for (let i = 0; i < 30; i += 1) await client.echoes(`turn ${i} ${'-'.repeat(300)}`);
    await client.close();
  },
  async 'characters that are escaped'(SockJS, base, transport) {
    await each(SockJS, base, transport, [...escaped, ...plain]);
  },
  async 'characters beyond U+FFFF'(SockJS, base, transport) {
    await each(SockJS, base, transport, astral);
  },
  async 'percent signs, quotes, frames as text'(SockJS, base, transport) {
    await each(SockJS, base, transport, [...percent, ...quotes]);
  },
  async 'markup'(SockJS, base, transport) {
    await each(SockJS, base, transport, ['<', '&', '&lt;', '<b>', '</script>', '</SCRIPT >', '<!--', '<script>', ']]>', '*/']);
  },
  async 'a message of 128 KiB'(SockJS, base, transport) {
    const client = await opened(SockJS, `${base}/echo`, transport);
    await client.echoes('0123456789abcdef'.repeat(8192));
    await client.echoes('äb\u2028\u{1f600}%"<'.repeat(2048));
    await client.echoes('after it');
    await client.close();
  },
  async 'heartbeats'(SockJS, base, transport) {
    const client = await opened(SockJS, `${base}/fast_echo`, transport);
    if (transport === 'websocket') {
      // Some servers send pings, of which the client says nothing.
      await new Promise((resolve) => setTimeout(resolve, 800));
    } else {
      await client.expect('heartbeat');
      await client.expect('heartbeat', 'a second heartbeat');
    }
    await client.echoes('still here');
    await client.close();
  },
  async 'the server closes'(SockJS, base, transport) {
    const client = await opened(SockJS, `${base}/close`, transport);
    await client.closes(3000, 'Go away!', true);
  },
  async 'the client closes, and another opens'(SockJS, base, transport) {
    for (const [code, reason] of [[3999, 'mine'], [1000, 'bye'], [4000, '']]) {
      const client = await opened(SockJS, `${base}/echo`, transport);
      await client.echoes(`before ${code}`);
      client.sock.close(code, reason);
      await client.closes(code, reason || 'Normal closure', true);
      same(client.sock.readyState, 3, 'readyState');
    }
    const client = await opened(SockJS, `${base}/echo`, transport);
    await client.echoes('and again');
    await client.close();
  },
  async 'closed before it is open'(SockJS, base, transport) {
    const client = new Client(SockJS, `${base}/echo`, transport);
    client.sock.close();
    await client.expect('close');
  },
  async 'with a cookie'(SockJS, base, transport) {
    const client = await opened(SockJS, `${base}/cookie_needed_echo`, transport);
    await client.echoes('hello');
    await client.close();
  },
  async 'refused on a path without a service'(SockJS, base, transport) {
    const client = new Client(SockJS, `${base}/nowhere`, transport);
    const event = await client.expect('close');
    if (![1002, 1006].includes(event.code)) fail(`close ${event.code} ${event.reason}`);
    same(event.wasClean, false, 'wasClean');
  },
};

/** Without WebSocket, the client takes the next of `transports`. */
export async function fallsBack(SockJS, base, transports) {
  const client = new Client(SockJS, `${base}/disabled_websocket_echo`, transports);
  same((await client.expect('open')).transport, 'xhr-streaming', 'transport');
  await client.echoes('hello');
  await client.close();
}

/** `count` sessions at once. */
export async function atOnce(SockJS, base, transport, count) {
  const clients = await Promise.all(Array.from({ length: count }, () => opened(SockJS, `${base}/echo`, transport)));
  await Promise.all(clients.map(async (client, number) => {
    for (let turn = 0; turn < 5; turn += 1) await client.echoes(`${number}.${turn}`);
    await client.close();
  }));
}
