// What the Socket.IO examples' pages share: connecting, saying how it stands, and showing lines.

const at = id => document.getElementById(id);

/** A connection of its own. `transports`: those that may be used, in place of all. */
function connect(url, transports) {
  // As an option the list would be mixed, place by place, into the one that all connections share.
  if (transports) io.transports = transports;
  const socket = io.connect(url, {
    'force new connection': true,
    'max reconnection attempts': Infinity,
    'reconnection limit': 4000,
  });
  // A connection that is only lost may come back, so the server would keep the session of a page that was left.
  addEventListener('pagehide', () => socket.disconnect());
  return socket;
}

/** Says in `#state` how a connection stands; `ready` is told whether it can be used. */
function follow(socket, ready = () => {}) {
  const say = (text, is) => { at('state').textContent = text; ready(is); };
  socket.on('connect', () => say('connected by ' + socket.socket.transport.name, true));
  // The client comes back by itself, unless one of the two has closed on purpose.
  socket.on('disconnect', why => say(why === 'booted' ? 'disconnected' : 'disconnected; trying again…', false));
  socket.on('connect_failed', () => say('no transport works here', false));
  socket.on('error', why => { if (!socket.socket.connected) say(why ? 'refused: ' + why : 'no answer', false); });
}

function show(list, text, kind) {
  const item = document.createElement('li');
  item.textContent = text;
  if (kind) item.className = kind;
  list.append(item);
  list.scrollTop = list.scrollHeight;
}

/** Milliseconds since 1970 on a clock that does not jump, to a tenth. */
const now = () => Math.round((performance.timeOrigin + performance.now()) * 10) / 10;

const ms = time => (Math.round(time * 10) / 10 + 0).toFixed(1) + ' ms';

if (!window.io) {
  at('state').textContent = 'not connected';
  const notice = document.createElement('p');
  notice.className = 'notice';
  const command = document.createElement('code');
  command.textContent = 'npm ci --ignore-scripts --prefix tests/clients';
  notice.append('The Socket.IO client is not installed, and this page can do nothing without it. Install it with ', command,
    ', and load the page again.');
  document.querySelector('header').after(notice);
}
