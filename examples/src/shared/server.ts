import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';

import type { ClosableServer } from '@sqlite-pool/core/plugin';

/** An example that listens. */
export interface RunningServer {
  readonly url: string;
  /** Answers what has arrived, takes nothing new, then closes the pool. */
  close(): Promise<void>;
}

/** Listens on 127.0.0.1, for the frameworks that leave this to Node; port 0 is any free one. */
export async function listen(
  server: Server & ClosableServer,
  port: number,
  db: { closeWith(server: ClosableServer): () => Promise<void> },
): Promise<RunningServer> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening'); // rejects with the server's 'error': a port that is taken, say
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    // The server first: requests under way still need the pool.
    close: db.closeWith(server),
  };
}

/** Runs one example until a signal stops it; PORT and DATABASE in the environment replace the defaults. */
export async function main(
  start: (port: number, options: { filename: string }) => Promise<RunningServer>,
  defaultPort: number,
): Promise<void> {
  const { PORT = defaultPort, DATABASE = 'social.db' } = process.env;
  const server = await start(Number(PORT), { filename: DATABASE });
  console.log(`${server.url} serves ${DATABASE}. Ctrl-C stops it.`);
  await stopSignal();
  await server.close();
}

/** Resolves at Ctrl-C or SIGTERM. A second Ctrl-C ends the process at once, should closing take too long. */
export async function stopSignal(): Promise<void> {
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
}
