/** The server that is measured, in a process of its own: `node app.ts <framework> <way> <file>`. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

import { serve, type Framework, type Way } from './frameworks.ts';

/** What it says: first its port, then what processor time it has used, whenever it is asked. */
export type Said = { readonly port: number } | { readonly cpuMs: number };

const [framework, way, filename] = process.argv.slice(2) as [Framework, Way, string];

// The program is ended by a signal, and says nothing before.
process.once('disconnect', () => process.exit());
const server = await serve(framework, way, filename);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
say({ port: (server.address() as AddressInfo).port });
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  say({ cpuMs: (user + system) / 1000 });
});

function say(what: Said): void {
  process.send?.(what);
}
