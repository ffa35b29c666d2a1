import { describe, expect, it, vi } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import type { FakeCall, FakeOutcome } from '../../src/testing/index.ts';
import { errorOf, fakePool, follow } from './support.ts';

const INSERT = 'INSERT INTO t VALUES (1)';
const FIRST_STEP = 'the first step of a cursor';
const BUSY = { reject: Object.assign(new Error('SQLITE_BUSY'), { errno: 5 }) };

/** Whether a call is a try of `sql`; of a cursor that is its first step, which has no text. */
const isTry = (call: FakeCall, sql: string): boolean =>
  sql === FIRST_STEP ? call.method === 'next' : call.sql === sql;

/** Another process that holds a lock, which keeps `sql` from being done. */
function lock(sql: string): { held: boolean; readonly script: (call: FakeCall) => FakeOutcome | undefined } {
  const lock = {
    held: true,
    script: (call: FakeCall) => (lock.held && isTry(call, sql) ? BUSY : undefined),
  };
  return lock;
}

interface Way {
  readonly what: string;
  /** The statement that meets the lock. */
  readonly sql: string;
  readonly run: (
    pool: SqlitePool,
    options?: { signal?: AbortSignal; timeoutMs?: number },
  ) => Promise<unknown>;
}

const WAYS: readonly Way[] = [
  { what: 'a read', sql: 'SELECT 1 AS n', run: (pool, options) => pool.all('SELECT 1 AS n', [], options) },
  {
    what: 'a loop over rows',
    sql: FIRST_STEP,
    run: async (pool, options) => {
      for await (const row of pool.iterate('SELECT 1 AS n', [], options)) return row;
      return undefined;
    },
  },
  { what: 'a write', sql: INSERT, run: (pool, options) => pool.run(INSERT, [], options) },
  {
    what: 'a BEGIN',
    sql: 'BEGIN IMMEDIATE',
    run: (pool, options) => pool.transaction((tx) => tx.run(INSERT), options),
  },
  {
    what: 'a COMMIT',
    sql: 'COMMIT',
    run: (pool, options) => pool.transaction((tx) => tx.run(INSERT), options),
  },
  {
    what: 'the first statement after a BEGIN by hand',
    sql: INSERT,
    run: (pool, options) =>
      pool.connection(async (lease) => {
        await lease.run('BEGIN');
        await lease.run(INSERT, [], options);
        await lease.run('COMMIT');
      }),
  },
];

describe.for(WAYS)('F35 F36 $what that another process keeps from its lock', ({ sql, run }) => {
  it('is tried again until the lock is free, and is done once', async () => {
    const other = lock(sql);
    const { pool, driver, clock } = fakePool(other.script, { poolSize: 2 });
    const done = follow(run(pool));
    await clock.advance(1000);
    expect(done.now.state).toBe('pending');
    const tries = driver.calls.filter((call) => isTry(call, sql)).length;
    // 1000 ms in steps of at most 40 ms, and not in a busy loop.
    expect(tries).toBeGreaterThan(24);
    expect(tries).toBeLessThan(100);
    other.held = false;
    await clock.advance(40);
    expect(done.now.state).toBe('resolved');
    expect(driver.calls.filter((call) => isTry(call, sql) && call.succeeded)).toHaveLength(1);
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false, opens: 1 });
    expect([driver.violations, driver.openTransactions, clock.pendingForeground]).toEqual([[], 0, 0]);
  });

  it('rejects with BusyError at acquireTimeoutMs, and not before', async () => {
    const { pool, driver, clock } = fakePool(lock(sql).script, { acquireTimeoutMs: 400 });
    const done = follow(run(pool));
    await clock.advance(399);
    expect(done.now.state).toBe('pending');
    await clock.advance(1);
    expect(errorOf(done)).toMatchObject({ name: 'BusyError', code: 'SQLITE_BUSY', errno: 5 });
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, writerHeld: false });
    expect([driver.violations, driver.openTransactions, clock.pendingForeground]).toEqual([[], 0, 0]);
  });

  it('rejects at its own timeoutMs, and its connection is good at once', async () => {
    const { pool, driver, clock } = fakePool(lock(sql).script, { poolSize: 1 });
    const done = follow(run(pool, { timeoutMs: 300 }));
    await clock.advance(299);
    expect(done.now.state).toBe('pending');
    await clock.advance(1);
    expect(errorOf(done)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    await expect(pool.get('SELECT 2')).resolves.toBeUndefined();
    expect(pool.stats()).toMatchObject({ opens: 1, idle: 1, writerHeld: false });
    // Nothing runs, so there is nothing to interrupt.
    expect(driver.count('interrupt')).toBe(0);
    expect([driver.violations, driver.openTransactions, clock.pendingForeground]).toEqual([[], 0, 0]);
  });

  it('rejects with the reason of its signal, and with that of a pool that closes', async () => {
    const { pool, driver, clock } = fakePool(lock(sql).script, { poolSize: 1, closeTimeoutMs: 100 });
    const controller = new AbortController();
    const cancelled = follow(run(pool, { signal: controller.signal }));
    await clock.advance(100);
    controller.abort(new Error('enough'));
    await clock.settle();
    expect(errorOf(cancelled)).toMatchObject({ message: 'enough' });
    const closed = follow(run(pool));
    await clock.settle();
    const closing = follow(pool.close());
    await clock.advance(100);
    expect(errorOf(closed)).toMatchObject({ code: 'POOL_CLOSED' });
    expect(closing.now.state).toBe('resolved');
    expect([driver.violations, driver.openConnections, clock.pendingForeground]).toEqual([[], 0, 0]);
  });
});

it('F35 the pauses between two tries grow, differ from one wait to the next, and are 40 ms at most', async () => {
  const { pool, driver, clock } = fakePool(lock(INSERT).script, { acquireTimeoutMs: 2000 });
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  const triedAt: number[] = [];
  const done = follow(pool.run(INSERT));
  for (let seen = 0; clock.now() < 200;) {
    await clock.settle();
    const tries = driver.calls.filter(({ sql }) => sql === INSERT).length;
    if (tries > seen) triedAt.push(clock.now());
    seen = tries;
    await clock.advance(1);
  }
  expect(triedAt).toEqual([0, 1, 3, 8, 18, 33, 53, 78, 103, 128, 153, 178]);
  vi.mocked(Math.random).mockReturnValue(0.999);
  await clock.advance(1800);
  expect(driver.calls.filter(({ sql }) => sql === INSERT).length).toBeGreaterThan(12 + 1800 / 41);
  expect(errorOf(done)).toMatchObject({ code: 'SQLITE_BUSY' });
});

it('F36 the wait for the write lock and the wait for the lock of another process have one limit together', async () => {
  const { pool, clock } = fakePool(lock(INSERT).script, { acquireTimeoutMs: 1000 });
  const first = await pool.acquire();
  const second = await pool.acquire();
  await first.run('BEGIN IMMEDIATE');
  const write = follow(second.run(INSERT));
  await clock.advance(700);
  await first.run('ROLLBACK');
  await clock.advance(299);
  expect(write.now.state).toBe('pending');
  await clock.advance(1);
  expect(errorOf(write)).toMatchObject({ code: 'SQLITE_BUSY' });
});

it.for([
  { what: 'that is out of date', errno: 517, before: [] },
  { what: 'after another one in its transaction', errno: 5, before: ['BEGIN', 'SELECT 1'] },
  { what: 'after a savepoint', errno: 5, before: ['SAVEPOINT a'] },
])('F37 a statement $what fails at once because the database is busy', async ({ errno, before }) => {
  const busy = { reject: Object.assign(new Error('busy'), { errno }) };
  const { pool, driver, clock } = fakePool(({ sql }) => (sql === INSERT ? busy : undefined));
  const lease = await pool.acquire();
  for (const sql of before) await lease.run(sql);
  const write = follow(lease.run(INSERT));
  await clock.settle();
  expect(errorOf(write)).toMatchObject({ code: 'SQLITE_BUSY', errno });
  expect(driver.calls.filter(({ sql }) => sql === INSERT)).toHaveLength(1);
});

it('F37 a write beside an open cursor fails at once because the database is busy', async () => {
  const { pool, clock } = fakePool(lock(INSERT).script);
  const lease = await pool.acquire();
  await lease.iterate('SELECT 1').next();
  const write = follow(lease.run(INSERT));
  await clock.settle();
  expect(errorOf(write)).toMatchObject({ code: 'SQLITE_BUSY' });
});

it('F37 a loop over rows beside an open cursor fails at once because the database is busy', async () => {
  const { pool, driver, clock } = fakePool({ next: { 2: BUSY } });
  const lease = await pool.acquire();
  const outer = lease.iterate('SELECT 1');
  await outer.next();
  const inner = follow(lease.iterate('SELECT 2').next());
  await clock.settle();
  expect(errorOf(inner)).toMatchObject({ code: 'SQLITE_BUSY' });
  expect(driver.count('next')).toBe(2);
  await expect(outer.next()).resolves.toMatchObject({ done: false });
});

it('F37 a write after a loop over rows in its transaction fails at once because the database is busy', async () => {
  const { pool, clock } = fakePool(lock(INSERT).script);
  const lease = await pool.acquire();
  await lease.run('BEGIN');
  for await (const row of lease.iterate('SELECT 1')) expect(row).toBeDefined();
  const write = follow(lease.run(INSERT));
  await clock.settle();
  expect(errorOf(write)).toMatchObject({ code: 'SQLITE_BUSY' });
});

it('F35 each try of a loop over rows has a cursor of its own, and those that failed are closed', async () => {
  const { pool, driver, clock } = fakePool(({ method, nth }) =>
    method !== 'next'
      ? undefined
      : nth < 3
        ? BUSY
        : { reject: Object.assign(new Error('disk'), { errno: 10 }) },
  );
  await using lease = await pool.acquire();
  const row = follow(lease.iterate('SELECT 1').next());
  await clock.advance(100);
  expect(errorOf(row)).toMatchObject({ sqliteCode: 'SQLITE_IOERR' });
  const one = ['iterate', 'next', 'return'];
  expect(driver.calls.map(({ method }) => method).slice(-9)).toEqual([...one, ...one, ...one]);
  expect(driver.violations).toEqual([]);
});

it('F41 a loop over rows that is cancelled in a later try rejects at once, and its cursor is closed when the call has returned', async () => {
  const { pool, driver, clock } = fakePool(({ method, nth }) =>
    method !== 'next' ? undefined : nth === 1 ? BUSY : 'hang',
  );
  const lease = await pool.acquire();
  const row = follow(lease.iterate('SELECT 1', [], { timeoutMs: 300 }).next());
  await clock.advance(300);
  expect(errorOf(row)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  expect(driver.count('return')).toBe(1);
  driver.call('next', 2).resolve();
  await clock.settle();
  expect(driver.count('return')).toBe(2);
  await lease.release();
  expect(pool.stats()).toMatchObject({ opens: 1, idle: 1 });
  expect([driver.violations, clock.pendingForeground]).toEqual([[], 0]);
});

it('F22 a transaction that SQLite has rolled back while a loop over rows, its first statement, waited for a lock is lost', async () => {
  const { pool, driver, clock } = fakePool(({ method }) =>
    method === 'next' ? BUSY : method === 'inTransaction' ? { resolve: false } : undefined,
  );
  const lease = await pool.acquire();
  await lease.run('BEGIN');
  const row = follow(lease.iterate('SELECT 1').next());
  await clock.advance(100);
  expect(errorOf(row)).toMatchObject({ code: 'TRANSACTION_LOST' });
  expect(driver.count('next')).toBe(1);
});

it('F22 a transaction that SQLite has rolled back while its first statement waited for a lock does not go on alone', async () => {
  const { pool, driver, clock } = fakePool(({ method, sql, nth }) =>
    sql === INSERT && nth === 2 ? BUSY : method === 'inTransaction' ? { resolve: false } : undefined,
  );
  const lease = await pool.acquire();
  await lease.run('BEGIN');
  const write = follow(lease.run(INSERT));
  await clock.advance(100);
  expect(errorOf(write)).toMatchObject({ code: 'TRANSACTION_LOST' });
  expect(driver.calls.filter(({ sql }) => sql === INSERT)).toHaveLength(1);
});
