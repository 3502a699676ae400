// What every transport of the client of Socket.IO 0.6 must do: each check gets the client's `io`, the server as
// `{ host, port }` and the name of a transport, and fails by throwing. Imports nothing, since pages load it. README.md
// says what the server must offer.

function fail(text) {
  throw new Error(text);
}

const short = (what) => {
  const text = JSON.stringify(what) ?? String(what);
  return text.length > 60 ? `${text.slice(0, 60)}... (${text.length} characters)` : text;
};

function same(came, expected, what) {
  if (JSON.stringify(came) !== JSON.stringify(expected)) fail(`${what}: ${short(came)} instead of ${short(expected)}`);
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A client, whose events are waited for in the order in which they come. */
class Client {
  constructor(io, { host, port }, transport, { resource = 'socket.io', timeout = 15_000, ...options } = {}) {
    this.socket = new io.Socket(host, {
      port,
      resource,
      transports: [transport],
      // A cookie would have the last word on the transport.
      rememberTransport: false,
      transportOptions: { [transport]: { timeout } },
      reconnect: false,
      reconnectionDelay: 50,
      // Chromium opens WebSockets one after the other.
      connectTimeout: 20_000,
      ...options,
    });
    this.came = [];
    this.waiting = [];
    for (const type of ['connect', 'disconnect', 'message', 'connect_failed', 'reconnect']) {
      this.socket.on(type, (...args) => {
        const event = { type, args };
        this.waiting.length ? this.waiting.shift()(event) : this.came.push(event);
      });
    }
    this.socket.connect();
  }

  next() {
    return this.came.length ? Promise.resolve(this.came.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }

  async expect(type, what = type) {
    const event = await this.next();
    if (event.type !== type) fail(`${event.type} ${short(event.args)} came before ${what}`);
    return event.args;
  }

  async gets(message) {
    same(await this.expect('message', short(message)), [message], short(message));
  }

  async echoes(message) {
    this.socket.send(message);
    await this.gets(message);
  }

  get session() {
    return this.socket.transport.sessionid;
  }

  /** The end that the server made: who only hears of it by what it gets sends something. */
  async ended() {
    if (this.socket.transport.type === 'htmlfile') this.socket.send('are you there?');
    await this.expect('disconnect');
    // A client that hears of the end before the answer to its POST drops that, and would wait for it in its next session.
    this.socket.transport.posting = false;
  }

  async close() {
    this.socket.disconnect();
    await this.expect('disconnect');
  }
}

async function connected(io, server, transport, options) {
  const client = new Client(io, server, transport, options);
  await client.expect('connect');
  same(client.socket.transport.type, transport, 'transport');
  if (!/^[0-9A-Za-z]{16,}$/.test(client.session)) fail(`the session is called ${client.session}`);
  await client.gets('Welcome!');
  return client;
}

const texts = [
  'hello', '', ' ', '  x  ', 'Gr\u00fc\u00dfe, \u1f38\u03bb\u03b9\u03ac\u03c2, \u65e5\u672c\u8a9e', '~', '~m~', '~m~3~m~abc', 'a~j~{}', '5', '~x~',
  '\n', 'a\nb\n\nc\n', '\t"\\/\'', '</script>', '<!--', '&amp;', '%', '%E4', '+', 'a+b c&d=e;f', '\u2028\u2029', '\u00e9', '\u007f\u0080\u009f',
  '\ufeff', '\uffff', 'a\ufffdb',
  '\u{10000}', '\u{1f600}', '\u{1f32a}\ufe0f', '\u{10ffff}', 'a\u{1d11e}b', '\u{1f600}\u{1f600}', 'h\u00e9\u{1f600}llo',
];
const values = [
  {}, { a: 1, b: [true, null, 'x'] }, { '': '', '\u00e9': '\u{1f600}', n: { o: { p: ['"\\/'] } } }, { t: '\u2028</script>' }, { m: '~m~1~m~' },
];

/** Each has a name and `run(io, server, transport)`; `slow`: it mostly waits; `only`: for these transports. */
export const checks = [
  {
    name: 'connects and disconnects, twice',
    async run(io, server, transport) {
      const sessions = [];
      for (const text of ['first', 'second']) {
        const client = await connected(io, server, transport);
        sessions.push(client.session);
        await client.echoes(text);
        await client.close();
        same(client.socket.connected, false, 'connected');
      }
      if (sessions[0] === sessions[1]) fail('the second session is the first');
    },
  },
  {
    name: 'messages',
    async run(io, server, transport) {
      const client = await connected(io, server, transport);
      for (const text of texts) await client.echoes(text);
      await client.close();
    },
  },
  {
    name: 'carriage returns',
    async run(io, server, transport) {
      const client = await connected(io, server, transport);
      await client.echoes('a\r\nb\r\n');
      // A form makes a line end of it, before the client can do anything about it.
      if (transport !== 'jsonp-polling') await client.echoes('a\rb\nc\r\nd');
      await client.close();
    },
  },
  {
    name: 'JSON',
    async run(io, server, transport) {
      const client = await connected(io, server, transport);
      for (const value of values) await client.echoes(value);
      await client.close();
    },
  },
  {
    name: 'lengths are those of scripts',
    async run(io, server, transport) {
      const client = await connected(io, server, transport);
      const all = ['\u00e9\u{1f600}', { k: 'v' }, 'plain', { '\u{1f600}': '\u00e9' }, '\u{1f600}\u00e9\n', '', 'the last'];
      client.socket.send(all);
      for (const message of all) await client.gets(message);
      await client.close();
    },
  },
  {
    name: 'many messages in one payload',
    async run(io, server, transport) {
      const client = await connected(io, server, transport);
      const all = [...texts, ...values, ...texts.map((text) => `${text}\u{1f600}`), 'the last'];
      client.socket.send(all);
      for (const message of all) await client.gets(message);
      // A polling client keeps all but the first until that is answered.
      for (const message of all) client.socket.send(message);
      for (const message of all) await client.gets(message);
      await client.close();
    },
  },
  {
    name: 'messages sent before it is connected',
    async run(io, server, transport) {
      const client = new Client(io, server, transport);
      for (const message of ['one', '\u{1f600}', { three: 3 }]) client.socket.send(message);
      await client.expect('connect');
      for (const message of ['Welcome!', 'one', '\u{1f600}', { three: 3 }]) await client.gets(message);
      await client.close();
    },
  },
  {
    name: 'a message of 128 KiB',
    async run(io, server, transport) {
      const client = await connected(io, server, transport);
      await client.echoes('0123456789abcdef'.repeat(8192));
      await client.echoes('\u00e4b\u2028\u{1f600}%"<'.repeat(2048));
      await client.echoes('after it');
      await client.close();
    },
  },
  {
    name: 'several messages of the server in one payload',
    async run(io, server, transport) {
      const client = await connected(io, server, transport, { resource: 'tornadio/socket.io' });
      client.socket.send('three');
      for (const message of ['a', '\u00e9\u{1f600}', { k: 'v' }]) await client.gets(message);
      await client.close();
    },
  },
  {
    name: 'data in the path',
    async run(io, server, transport) {
      const client = await connected(io, server, transport, { resource: 'chat/123' });
      client.socket.send('what did I ask for?');
      await client.gets({ room: '123', text: '/123' });
      await client.close();
      const other = new Client(io, server, transport, { resource: 'chat/abc', connectTimeout: 500 });
      await other.expect('connect_failed');
    },
  },
  {
    name: 'the server ends the session',
    async run(io, server, transport) {
      const client = await connected(io, server, transport, { resource: 'tornadio/socket.io' });
      client.socket.send('bye');
      if (transport === 'htmlfile') await wait(300);
      await client.ended();
    },
  },
  {
    name: 'the server ends the session, and the client comes back with another',
    async run(io, server, transport) {
      const client = await connected(io, server, transport, { resource: 'tornadio/socket.io', reconnect: true });
      const { session } = client;
      client.socket.send('bye');
      if (transport === 'htmlfile') await wait(300);
      await client.ended();
      await client.back(session);
      await client.close();
    },
  },
  {
    name: 'heartbeats, and polls that end',
    slow: true,
    async run(io, server, transport) {
      // After 4 s without a sign of life the client would give up.
      const client = await connected(io, server, transport, { resource: 'fast/socket.io', timeout: 4000 });
      await client.echoes('hello');
      await wait(7500);
      await client.echoes('still here');
      await client.close();
    },
  },
  {
    name: 'a session that nobody asks for is no more',
    slow: true,
    // That of a WebSocket ends with it.
    only: ['xhr-polling', 'jsonp-polling', 'htmlfile'],
    async run(io, server, transport) {
      const client = await connected(io, server, transport, { resource: 'fast/socket.io', reconnect: true });
      const { session, socket: { transport: its } } = client;
      if (transport === 'htmlfile') {
        its.iframe.src = 'about:blank';
        await wait(5000);
      } else {
        // The next poll waits until there is nothing more to be had.
        const { get } = Object.getPrototypeOf(its);
        await new Promise((resolve) => { its.get = resolve; });
        await wait(5000);
        delete its.get;
        get.call(its);
      }
      await client.ended();
      await client.back(session);
      await client.close();
    },
  },
  {
    name: '20 clients at once',
    // A browser opens six connections to a server, and each of the others polls or streams on one.
    only: ['websocket'],
    async run(io, server, transport) {
      const clients = await Promise.all(Array.from({ length: 20 }, () => connected(io, server, transport)));
      await Promise.all(clients.map(async (client, number) => {
        for (let turn = 0; turn < 5; turn += 1) await client.echoes(`${number}.${turn}`);
        await client.close();
      }));
    },
  },
];

/** Waits until it has another session, and uses that. */
Client.prototype.back = async function back(session) {
  const events = [];
  do events.push(await this.next()); while (events.at(-1).type !== 'message');
  const types = events.map(({ type }) => type);
  // The timer of an attempt runs on after its success, and may find the client between two sessions (`connect_failed`).
  if (!types.includes('connect') || !types.includes('reconnect')) fail(`after the end came ${types}`);
  same(events.at(-1).args, ['Welcome!'], 'the first message');
  if (this.session === session) fail('the session is still the old one');
  // Over jsonp-polling the client goes on posting to its first session.
  if (this.socket.transport.type !== 'jsonp-polling') await this.echoes('after');
};

/** A client whose server ends and begins again on the same port. `restart()` does that and waits for it. */
export async function comesBack(io, server, transport, restart) {
  const client = await connected(io, server, transport, { reconnect: true });
  await client.echoes('before');
  const { session } = client;
  await restart();
  await client.ended();
  await client.back(session);
  await client.close();
}
