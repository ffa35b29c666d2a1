import { AsyncLocalStorage } from 'node:async_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import { systemClock, type Clock } from '../../src/waiting/deadline.ts';
import { createPool, type PoolOptions, type SqlitePool } from '../../src/index.ts';
import { ENDLESS, failure, poolOf, temporaryFile } from './helpers.ts';

interface Store {
  readonly user: string;
}

const storage = new AsyncLocalStorage<Store>();

/** The clock of the machine, which notes in whose context the pool is called back. */
function notingClock(): { clock: Clock; seen: Set<Store | undefined> } {
  const seen = new Set<Store | undefined>();
  const schedule: Clock['schedule'] = (callback, delayMs, background) => {
    const fire = (): void => {
      seen.add(storage.getStore());
      callback();
    };
    return systemClock.schedule(fire, delayMs, background);
  };
  return { clock: { now: systemClock.now, schedule }, seen };
}

/** Uses a pool in every way there is. */
async function useAll(pool: SqlitePool): Promise<void> {
  await pool.script('CREATE TABLE IF NOT EXISTS t (v)');
  await Promise.all(Array.from({ length: 8 }, (_, v) => pool.run('INSERT INTO t VALUES (?)', [v])));
  await Promise.all(Array.from({ length: 8 }, () => pool.all('SELECT * FROM t')));
  await pool.batch(['DELETE FROM t', 'INSERT INTO t VALUES (1)']);
  await pool.transaction((tx) => tx.get('SELECT 1'));
  for await (const row of pool.iterate('SELECT * FROM t')) expect(row).toEqual({ v: 1 });
  await failure(pool.get(ENDLESS, [], { timeoutMs: 20 }));
  const leases = await Promise.all([pool.acquire(), pool.acquire()]);
  await failure(pool.acquire({ timeoutMs: 5 }));
  const last = pool.get('SELECT 1');
  // Closed instead of released, and replaced for the one that waits.
  for (const lease of leases) await lease.discard();
  await last;
}

test('F87 onConnect sees the store of nobody, whose call ever made the pool open a connection', async () => {
  const seen: unknown[] = [];
  const pool = poolOf({
    filename: await temporaryFile(),
    poolSize: 2,
    minIdle: 1,
    onConnect: () => void seen.push(storage.getStore()),
  });
  await storage.run({ user: 'first' }, () => useAll(pool));
  expect(pool.stats().opens).toBeGreaterThan(2);
  expect(new Set(seen)).toEqual(new Set([undefined]));
});

test('F87 the timers of the pool, and of all who wait, run in the context of nobody', async () => {
  const { clock, seen } = notingClock();
  const pool = poolOf({ filename: await temporaryFile(), poolSize: 1, clock });
  const lease = await storage.run({ user: 'first' }, () => pool.acquire());
  await storage.run({ user: 'second' }, () => failure(pool.acquire({ timeoutMs: 30 })));
  await storage.run({ user: 'third' }, async () => {
    const running = failure(lease.get(ENDLESS));
    await lease.revoke();
    await running;
  });
  // The chores of the pool come once a second.
  await storage.run({ user: 'fourth' }, () => pool.get('SELECT 1'));
  await new Promise<void>((done) => systemClock.schedule(done, 1100));
  expect(seen).toEqual(new Set([undefined]));
});

test.for(['of the pool', 'that made the pool'])(
  'F87 the store of the first user, %s, is not kept as long as the pool lives',
  async (which) => {
    const options = { filename: await temporaryFile(), poolSize: 2, minIdle: 2 };
    const { pool, store } = await usedOnce(options, which === 'that made the pool');
    const collect = collector();
    await storage.run({ user: 'another' }, () => useAll(pool));
    await vi.waitFor(
      () => {
        collect();
        expect(store.deref() === undefined).toBe(true);
      },
      { timeout: 5000 },
    );
    expect(pool.closed).toBe(false);
    await pool.close();
  },
);

test('F87 a prepared statement that is kept keeps no row and no value of the call that prepared it', async () => {
  const pool = poolOf({ filename: await temporaryFile(), poolSize: 1 });
  const firstRow = async (): Promise<WeakRef<object>> =>
    new WeakRef((await pool.get('SELECT 1 AS one')) ?? {});
  const row = await firstRow();
  const collect = collector();
  await vi.waitFor(() => {
    collect();
    // An assertion that fails would keep what it names.
    expect(row.deref() === undefined).toBe(true);
  });
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
});

/** In a function of its own, so that nothing of the test refers to the store. */
async function usedOnce(
  options: PoolOptions,
  isMaker: boolean,
): Promise<{ pool: SqlitePool; store: WeakRef<Store> }> {
  const store: Store = { user: 'first' };
  const outside = isMaker ? undefined : createPool(options);
  const pool = await storage.run(store, async () => {
    const made = outside ?? createPool(options);
    await useAll(made);
    return made;
  });
  return { pool, store: new WeakRef(store) };
}

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
