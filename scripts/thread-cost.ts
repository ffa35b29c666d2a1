/**
 * What a thread of the default driver costs, and a connection on it: the time until the first statement has been answered, and
 * memory. Each pool has one thread, with one connection or with ten. `npx pnpm build && npx pnpm exec node scripts/thread-cost.ts`.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as core from '../packages/core/dist/index.js';

const MIB = 1024 * 1024;
const built = new URL('../packages/core/dist/index.js', import.meta.url).href;

if (process.send === undefined) {
  const rows: Record<string, object> = {};
  for (const threads of [1, 2, 4]) {
    for (const connections of [1, 10]) {
      const title = `${String(threads)} thread${threads === 1 ? '' : 's'}, ${String(connections)} connections each`;
      const child = fork(import.meta.filename, [String(threads), String(connections)]);
      const [row] = (await once(child, 'message')) as [object];
      rows[title] = row;
      await once(child, 'exit');
    }
  }
  console.table(rows);
} else {
  const [threads = 1, connections = 1] = process.argv.slice(2).map(Number);
  const { createPool } = (await import(built)) as typeof core;
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-cost-'));
  const before = process.memoryUsage.rss();
  const began = performance.now();
  const pools = Array.from({ length: threads }, (_, index) =>
    createPool({ filename: join(folder, `${String(index)}.db`), poolSize: connections, threads: 1 }),
  );
  await Promise.all(pools.map((pool) => pool.get('SELECT 1')));
  const startMs = performance.now() - began;
  const leases = await Promise.all(
    pools.flatMap((pool) => Array.from({ length: connections }, () => pool.acquire())),
  );
  for (const lease of leases) await lease.get('SELECT count(*) FROM sqlite_schema');
  const memory = (process.memoryUsage.rss() - before) / MIB;
  for (const lease of leases) await lease.release();
  for (const pool of pools) await pool.close();
  await rm(folder, { recursive: true });
  process.send({ 'start, ms': Math.round(startMs), 'memory, MiB': Math.round(memory) });
  process.disconnect();
}
