/**
 * Counts what calls on the hot path cost: bytes of heap, promises, and ticks of the microtask queue. None of them depends
 * on how busy the machine is, if V8 does not optimize allocations away when it sees fit; hot-path.test.ts says how.
 */
import { createHook } from 'node:async_hooks';
import { GCProfiler } from 'node:v8';

import { createPool, type Connection, type Result } from '@sqlite-pool/core';

/** What one call costs. */
export interface Cost {
  readonly bytes: number;
  readonly promises: number;
  readonly ticks: number;
}

const CALLS = 2000;
const WARM_UP = 200;

const result: Result = { rows: [{ id: 1 }], columns: ['id'], changes: 1, lastInsertRowid: 1 };
const answered = Promise.resolve(result);
const done = Promise.resolve();
/** Answers at once and allocates nothing, so that all that is counted is the pool's. */
const connection: Connection = {
  execute: () => answered,
  rollback: () => done,
  close: () => done,
  inTransaction: () => false,
};
const pool = createPool({ connectionFactory: () => connection, poolSize: 4 });
const params = [1];

const calls: Record<string, () => Promise<unknown>> = {
  get: () => pool.get('SELECT id FROM users WHERE id = ?', params),
  all: () => pool.all('SELECT id FROM users WHERE id = ?', params),
  run: () => pool.run('UPDATE users SET name = 1 WHERE id = ?', params),
  'acquire and release': async () => (await pool.acquire()).release(),
  transaction: () => pool.transaction((tx) => tx.run('UPDATE users SET name = 1 WHERE id = ?', params)),
};

const costs: Record<string, Cost> = {};
for (const [name, call] of Object.entries(calls)) {
  for (let i = 0; i < WARM_UP; i++) await call();
  costs[name] = { bytes: await bytesOf(call), promises: await promisesOf(call), ticks: await ticksOf(call) };
}
process.send?.(costs);

async function bytesOf(call: () => Promise<unknown>): Promise<number> {
  globalThis.gc?.();
  const collections = new GCProfiler();
  collections.start();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < CALLS; i++) await call();
  const allocated = process.memoryUsage().heapUsed - before;
  if (collections.stop().statistics.length !== 0)
    throw new Error('Garbage was collected while it was counted.');
  return Math.round(allocated / CALLS);
}

async function promisesOf(call: () => Promise<unknown>): Promise<number> {
  let promises = 0;
  const hook = createHook({
    init(_id, type) {
      if (type === 'PROMISE') promises++;
    },
  });
  hook.enable();
  const end = call();
  await end;
  hook.disable();
  return promises;
}

/** How many ticks of the microtask queue pass before the caller goes on. */
async function ticksOf(call: () => Promise<unknown>): Promise<number> {
  const told = new AbortController();
  void call().then(() => told.abort());
  let ticks = 0;
  for (; !told.signal.aborted; ticks++) await Promise.resolve();
  return ticks;
}
