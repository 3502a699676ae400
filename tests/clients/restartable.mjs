// A server of a check's own, which can be ended and begun again on the same port.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

/** Runs `program` on a free port. `after` is what the check got to undo things with. */
export async function restartable(program, after) {
  const { port } = await new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const free = probe.address();
      probe.close(() => resolve(free));
    });
  });
  let child;
  async function start() {
    child = spawn(program, ['--port', String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
    // It says where it listens.
    await once(child.stdout, 'data');
  }
  after(() => child.kill('SIGKILL'));
  await start();
  /** Ends it with a signal, and begins it again. */
  async function restart(signal) {
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
    await start();
  }
  return { url: `http://127.0.0.1:${port}`, text: `127.0.0.1:${port}`, restart };
}
