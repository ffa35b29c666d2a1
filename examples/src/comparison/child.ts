/** The program of one contestant: a small server on 127.0.0.1, whose event loop sends a beat to its parent. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { machineTime } from './machine-time.ts';
import { OWN_HEADER } from './own-header.ts';
import type { Beat, Way } from './state.ts';
import { isBusy, type StatementName } from './statements.ts';
import { ways } from './ways.ts';

const BEAT_MS = 10;

// From here on: the parent may end at any moment.
process.once('disconnect', () => process.exit());
const [way, file] = process.argv.slice(2) as [Way, string];
const database = ways[way](file);

/** `/read/7` asks the statement `read` with 7. */
const server = createServer((request, response) => {
  if (request.headers[OWN_HEADER] === undefined) {
    response.writeHead(403).end();
    return;
  }
  const [, name, value] = (request.url ?? '').split('/') as [string, StatementName, string];
  database.ask(name, Number(value)).then(
    () => response.end(),
    (error: unknown) => {
      const busy = isBusy(error);
      if (!busy) console.error(error);
      response.writeHead(busy ? 503 : 500).end();
    },
  );
});
// The first calls open connections and compile code, which is not what is compared.
await Promise.all([database.ask('read', 1), database.ask('read', 2), database.ask('query', 1000)]).catch(
  () => undefined,
);
server.listen(0, '127.0.0.1');
await once(server, 'listening');

/** The channel to the parent is no part of the load. If the event loop stands still, nothing comes, and that is the signal. */
const send = (message: object): void => void process.send?.(message, undefined, undefined, () => undefined);
send({ port: (server.address() as AddressInfo).port, driver: database.driver });
let before = process.threadCpuUsage();
setInterval(() => {
  // What the thread computed tells its own work from a machine on which it got no core.
  const { user, system } = process.threadCpuUsage(before);
  before = process.threadCpuUsage();
  send({ at: machineTime(), busyMs: (user + system) / 1000 } satisfies Beat);
}, BEAT_MS);
