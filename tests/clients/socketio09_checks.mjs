// What every transport of socket.io-client 0.8 and 0.9 must do, in Node and in a page alike: each check gets the
// client's `io`, the server's address as `http://HOST:PORT` and the name of a transport, and fails by throwing. Imports
// nothing, since pages load it too. README.md says what the server must offer.

function fail(text) {
  throw new Error(text);
}

const short = (what) => {
  const text = JSON.stringify(what) ?? String(what);
  return text.length > 60 ? `${text.slice(0, 60)}... (${text.length} characters)` : text;
};

// Values are compared as JSON: some of these clients bring their own.
function same(came, expected, what) {
  if (JSON.stringify(came) !== JSON.stringify(expected)) fail(`${what}: ${short(came)} instead of ${short(expected)}`);
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const EVENTS = [
  'connect', 'disconnect', 'message', 'error', 'connect_failed', 'reconnect', 'echo', 'question', 'answered', 'pong',
];

/** One endpoint of a client. Its events are waited for, in the order in which they come. */
class Endpoint {
  constructor(socket) {
    this.socket = socket;
    this.came = [];
    this.waiting = [];
    for (const type of EVENTS) this.listen(type);
  }

  listen(type) {
    this.socket.on(type, (...args) => {
      const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined;
      const event = { type, args, ack };
      this.waiting.length ? this.waiting.shift()(event) : this.came.push(event);
    });
  }

  next() {
    return this.came.length ? Promise.resolve(this.came.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }

  async expect(type, what = type) {
    const event = await this.next();
    if (event.type !== type) fail(`${event.type} ${short(event.args)} came before ${what}`);
    return event;
  }

  /** The next event must be of this type with these arguments. */
  async gets(type, args, what = type) {
    same((await this.expect(type, what)).args, args, what);
  }

  async echoes(text, what = short(text)) {
    this.socket.send(text);
    await this.gets('message', [text], what);
  }

  /** What `f` is called with after `start(f)`; no other event may come before. */
  async called(start, what) {
    const first = await new Promise((resolve) => {
      start((...args) => {
        this.waiting = this.waiting.filter((one) => one !== resolve);
        resolve(args);
      });
      this.waiting.push(resolve);
    });
    return Array.isArray(first) ? first : fail(`${first.type} ${short(first.args)} came before ${what}`);
  }

  of(name) {
    return new Endpoint(this.socket.of(name));
  }

  get transport() {
    return this.socket.socket.transport?.name;
  }

  /** Disconnects and waits until the client says so. */
  async close() {
    if (!this.socket.socket.connected) return;
    this.socket.disconnect();
    while ((await this.next()).type !== 'disconnect');
  }
}

function connect(io, url, transport, { resource = 'socket.io', reconnect = false } = {}) {
  // Given as an option it would be merged into the list of all, by index.
  io.transports = [transport];
  return new Endpoint(io.connect(url, {
    resource,
    reconnect,
    'reconnection delay': 50,
    'force new connection': true,
    'sync disconnect on unload': false,
  }));
}

async function connected(io, url, transport, options) {
  const client = connect(io, url, transport, options);
  await client.expect('connect');
  same(client.transport, transport, 'transport');
  return client;
}

const texts = [
  'hello', '', ' ', '  x  ', 'Gr\u00fc\u00dfe, \u1f38\u03bb\u03b9\u03ac\u03c2, \u65e5\u672c\u8a9e', 'a:b::c:::d', '3:::x', '0::', '1+[2]',
  '\n', 'a\nb\r\nc\rd', '\t"\\/\'', '</script>', '<!--', '&amp;', '%', '%E4', '+', 'a+b c&d=e;f', '\u2028\u2029', '\u00e9', '\u007f\u0080\u009f',
  '\ufeff', '\uffff', 'a\ufffdb', '\ufffd5\ufffd3:::x',
];
const astral = ['\u{10000}', '\u{1f600}', '\u{1f32a}\ufe0f', '\u{10ffff}', 'a\u{1d11e}b', '\u{1f600}\u{1f600}', 'h\u00e9\u{1f600}llo'];
const values = [
  { a: 1, b: [true, null, 'x'] }, [], {}, [1, [2, [3]]], 'text', 12.5, -1, { '': '', '\u00e9': '\u{1f600}', n: { o: { p: ['"\\/'] } } }, '\u2028</script>', null,
];

/** Those that the client can take: over htmlfile it reads `\/` as `/`, whatever stands before it. */
const fit = (list, transport) => (transport === 'htmlfile' ? list.filter((one) => !JSON.stringify(one).includes('\\\\/')) : list);

/** Each has a name and `run(io, url, transport)`. */
export const checks = [
  {
    name: 'connects and disconnects, twice',
    async run(io, url, transport) {
      for (const text of ['first', 'second']) {
        const client = await connected(io, url, transport);
        await client.echoes(text);
        client.socket.disconnect();
        await client.gets('disconnect', ['booted']);
        same(client.socket.socket.connected, false, 'connected');
      }
    },
  },
  {
    name: 'messages',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      for (const text of fit([...texts, ...astral], transport)) await client.echoes(text);
      await client.close();
    },
  },
  {
    name: 'many messages in one payload',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      const all = fit([...texts, ...astral, ...astral, ...texts.map((text) => `${text}\u{1f600}`), 'the last'], transport);
      // A polling client keeps all but the first until that is answered.
      for (const text of all) client.socket.send(text);
      for (const text of all) await client.gets('message', [text], short(text));
      await client.close();
    },
  },
  {
    name: 'messages sent before it is connected',
    async run(io, url, transport) {
      const client = connect(io, url, transport);
      for (const text of ['one', '\u{1f600}', 'three']) client.socket.send(text);
      await client.expect('connect');
      for (const text of ['one', '\u{1f600}', 'three']) await client.gets('message', [text]);
      await client.close();
    },
  },
  {
    name: 'a message of 128 KiB',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      await client.echoes('0123456789abcdef'.repeat(8192));
      await client.echoes('\u00e4b\u2028\u{1f600}%"<'.repeat(2048));
      await client.echoes('after it');
      await client.close();
    },
  },
  {
    name: 'JSON',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      for (const value of fit(values, transport)) {
        client.socket.json.send(value);
        await client.gets('message', [value], short(value));
      }
      await client.close();
    },
  },
  {
    name: 'events',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      const lists = [[], ['x'], [1, 2, 3], [{ a: [] }, null, false], ...astral.map((text) => [text]), fit(values, transport)];
      for (const list of lists) client.socket.emit('echo', ...list);
      for (const list of lists) await client.gets('echo', list, `echo of ${short(list)}`);
      await client.close();
    },
  },
  {
    name: 'the server acknowledges',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      for (const list of [[], ['x'], [1, { a: '\u{1f600}' }, [null]], fit(values, transport)]) {
        same(await client.called((f) => client.socket.emit('ack', ...list, f), 'the acknowledgement'), list, `acknowledgement of ${short(list)}`);
      }
      same(await client.called((f) => client.socket.emit('nobody knows', 1, f), 'the acknowledgement'), [], 'acknowledgement of an unknown event');
      const both = [['send', 'text', (f) => client.socket.send('text', f)], ['JSON', { j: 1 }, (f) => client.socket.json.send({ j: 1 }, f)]];
      for (const [what, value, start] of both) {
        // The echo and the acknowledgement may come in either order.
        let done;
        const answer = new Promise((resolve) => { done = resolve; });
        start((...args) => done(args));
        await client.gets('message', [value], what);
        same(await answer, [], `acknowledgement of ${what}`);
      }
      await client.close();
    },
  },
  {
    name: 'the client acknowledges',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      for (const list of [[], ['yes'], [1, { a: '\u{1f600}' }, [null]]]) {
        client.socket.emit('ask', 'well?');
        const question = await client.expect('question');
        same(question.args, ['well?'], 'question');
        if (!question.ack) fail('the question came without a function for its answer');
        question.ack(...list);
        await client.gets('answered', list);
      }
      // Of a message the client says that it has come, and nothing more.
      client.socket.emit('ask_message', 'are you there?');
      const message = await client.expect('message');
      same(message.args, ['are you there?'], 'message');
      message.ack?.();
      await client.gets('answered', []);
      await client.close();
    },
  },
  {
    name: 'endpoints',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      const chat = client.of('/chat');
      const ping = client.of('/ping');
      await chat.expect('connect');
      await ping.expect('connect');
      await ping.echoes('said to ping');
      await client.echoes('said to the root');
      ping.socket.json.send({ j: '\u{1f600}' });
      await ping.gets('message', [{ j: '\u{1f600}' }]);
      ping.socket.emit('echo', 1, '\u{1f600}');
      await ping.gets('echo', [1, '\u{1f600}']);
      ping.socket.emit('ping', 'x');
      await ping.gets('pong', ['x']);
      same(await ping.called((f) => ping.socket.emit('ack', 'a', 2, f), 'the acknowledgement'), ['a', 2], 'acknowledgement');
      ping.socket.emit('ask', 'ping?');
      const question = await ping.expect('question');
      question.ack('ping!');
      await ping.gets('answered', ['ping!']);
      // Everybody hears what is said there, others too.
      const mark = `said to chat ${Math.random()}`;
      chat.socket.send(mark);
      while ((await chat.expect('message')).args[0] !== mark);
      // The server ends one, the client another; the root stays.
      chat.socket.emit('close');
      while ((await chat.next()).type !== 'disconnect');
      ping.socket.disconnect();
      await ping.expect('disconnect');
      await client.echoes('still here');
      await client.close();
    },
  },
  {
    name: 'an endpoint that refuses',
    async run(io, url, transport) {
      const client = await connected(io, url, transport);
      const refused = client.of('/private');
      await refused.gets('connect_failed', ['unauthorized']);
      await client.echoes('still here');
      await client.close();
    },
  },
  {
    name: 'everyone gets a broadcast',
    async run(io, url, transport) {
      const clients = await Promise.all(Array.from({ length: 3 }, () => connected(io, url, transport)));
      const mark = `broadcast ${Math.random()}`;
      for (const client of clients) client.listen('broadcast');
      clients[0].socket.emit('broadcast', mark, { n: 1 });
      for (const client of clients) {
        // Others may be at it, too.
        for (;;) {
          const { args } = await client.expect('broadcast');
          if (args[0] === mark) {
            same(args, [mark, { n: 1 }], 'broadcast');
            break;
          }
        }
      }
      for (const client of clients) await client.close();
    },
  },
  {
    name: 'the server ends the session',
    async run(io, url, transport) {
      const client = await connected(io, url, transport, { reconnect: true });
      client.socket.emit('close');
      await client.gets('disconnect', ['booted']);
      // Who is sent away does not come back.
      await wait(300);
      same(client.socket.socket.reconnecting ?? false, false, 'reconnecting');
    },
  },
  {
    name: 'heartbeats',
    async run(io, url, transport) {
      const client = await connected(io, url, transport, { resource: 'fast/socket.io' });
      await client.echoes('hello');
      // The client would give up after 5 s without a sign of life, the server after three heartbeats of one.
      await wait(7500);
      await client.echoes('still here');
      await client.close();
    },
  },
  {
    name: 'a handshake that is refused',
    async run(io, url, transport) {
      const client = connect(io, `${url}?token=no`, transport, { resource: 'node-auth/socket.io' });
      await client.gets('error', ['handshake unauthorized']);
      const other = await connected(io, `${url}?token=ok`, transport, { resource: 'node-auth/socket.io' });
      await other.close();
    },
  },
  {
    name: '20 clients at once',
    async run(io, url, transport) {
      const clients = await Promise.all(Array.from({ length: 20 }, () => connected(io, url, transport)));
      await Promise.all(clients.map(async (client, number) => {
        for (let turn = 0; turn < 5; turn += 1) await client.echoes(`${number}.${turn}`);
        await client.close();
      }));
    },
  },
];

/**
 * A client whose server ends and begins again on the same port: it comes back, with its endpoints. `restart()` does
 * that and waits for it.
 */
export async function comesBack(io, url, transport, restart) {
  const client = await connected(io, url, transport, { reconnect: true });
  const ping = client.of('/ping');
  await ping.expect('connect');
  await client.echoes('before');
  const before = client.socket.socket.sessionid;
  // The client keeps what it sends while a POST of its own has no answer, its disconnect packet as well, and gives that
  // to the next session, which it ends.
  while (client.socket.socket.doBuffer) await wait(10);
  await restart();
  const until = async (endpoint, type) => {
    while ((await endpoint.next()).type !== type);
  };
  await until(client, 'reconnect');
  if (client.socket.socket.sessionid === before) fail('the session is still the old one');
  await until(ping, 'connect');
  await ping.echoes('after');
  client.came.length = 0;
  await client.echoes('after');
  await client.close();
}
