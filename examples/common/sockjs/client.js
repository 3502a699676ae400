// What the SockJS examples' pages share: connecting, and showing lines.

/** A SockJS connection; without the client bundle, the raw WebSocket that every mount has. */
function connect(path, transports) {
  // By itself the client gives a transport up after a few round trips: on a busy machine too early.
  if (window.SockJS) return new SockJS(path, null, { timeout: 4000, ...(transports && { transports }) });
  const scheme = location.protocol === 'https:' ? 'wss://' : 'ws://';
  const raw = new WebSocket(scheme + location.host + path + '/websocket');
  raw.transport = 'raw websocket';
  return raw;
}

function show(list, text, kind) {
  const item = document.createElement('li');
  item.textContent = text;
  if (kind) item.className = kind;
  list.append(item);
  list.scrollTop = list.scrollHeight;
}

if (!window.SockJS) {
  const notice = document.createElement('p');
  notice.className = 'notice';
  notice.append('The SockJS client is not installed, so this page speaks a raw WebSocket. To install it: ');
  const command = document.createElement('code');
  command.textContent = 'npm ci --ignore-scripts --prefix tests/clients';
  notice.append(command);
  document.querySelector('header').after(notice);
}
