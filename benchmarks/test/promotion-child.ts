/**
 * Counts how much of what a call leaves behind is moved to the old generation of the heap, where only a collection of the whole
 * heap finds it, which stops the event loop for milliseconds.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getHeapSpaceStatistics } from 'node:v8';

import { createPool } from '@sqlite-pool/core';
import { RequestLease } from '@sqlite-pool/core/plugin';

const AT_ONCE = 4;
const ROUNDS = 1000;

const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-promotion-'));
const pool = createPool({ filename: join(directory, 'test.db'), poolSize: AT_ONCE });
await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER) STRICT; INSERT INTO t VALUES (1, 1);');

const read = 'SELECT n FROM t WHERE id = ?';
const write = 'UPDATE t SET n = n + 1 WHERE id = ?';
const calls: Record<string, () => Promise<unknown>> = {
  get: () => pool.get(read, [1]),
  run: () => pool.run(write, [1]),
  transaction: () => pool.transaction((tx) => tx.run(write, [1])),
  'two reads of a request': async () => {
    const request = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'GET' });
    await request.get(read, [1]);
    await request.get(read, [1]);
    request.respond();
  },
};

const promoted: Record<string, number> = {};
for (const [name, call] of Object.entries(calls)) {
  await rounds(ROUNDS / 10, call);
  // All that is there has now lived long enough to be old, as in a process that has served for a while.
  for (let i = 0; i < 4; i++) globalThis.gc?.({ type: 'minor', execution: 'sync' });
  const before = old();
  await rounds(ROUNDS, call);
  promoted[name] = Math.round((old() - before) / (ROUNDS * AT_ONCE));
}
await pool.close();
await rm(directory, { recursive: true });
process.send?.(promoted);

async function rounds(count: number, call: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.all(Array.from({ length: AT_ONCE }, call));
}

function old(): number {
  return (
    getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? NaN
  );
}
