import { describe, expect, it } from 'vitest';
import type { Queryable, TransactionOptions } from '../../src/index.ts';
import type { FakeCall, FakeClock } from '../../src/testing/index.ts';
import { byHand, errorOf, fakePool, follow } from './support.ts';

const INSERT = 'INSERT INTO t VALUES (1)';
const SNAPSHOT = { reject: Object.assign(new Error('snapshot'), { errno: 517 }) };

/** The inner transaction of each waits for `until`, and sees no error. */
const TOO_SOON: readonly {
  readonly what: string;
  readonly options?: TransactionOptions;
  readonly fn: (tx: Queryable, until: Promise<void>) => Promise<unknown>;
}[] = [
  {
    what: 'by its time limit',
    options: { timeoutMs: 60 },
    fn: (tx, until) => tx.transaction(() => until),
  },
  {
    what: 'by a statement beside it, which is refused',
    fn: (tx, until) => Promise.all([tx.transaction(() => until), tx.run(INSERT)]),
  },
  {
    what: 'because nobody awaits it',
    fn: async (tx, until) => {
      tx.transaction(async (inner) => {
        await inner.run(INSERT);
        await until;
        await inner.run(INSERT);
      }).catch(() => undefined);
    },
  },
  {
    what: 'by an error, two levels deep',
    fn: (tx, until) =>
      Promise.all([
        tx.transaction((inner) => inner.transaction(() => until)),
        Promise.reject(new Error('x')),
      ]),
  },
];

describe('a transaction that ends while one inside it runs', () => {
  it.for(TOO_SOON)('F27 F29 $what is rolled back, and its lease goes on', async ({ fn, options }) => {
    const { pool, driver, clock } = fakePool({}, { poolSize: 2, operationTimeoutMs: 1000 });
    const lease = await pool.acquire();
    const { promise, resolve } = byHand();
    const outer = follow(
      lease.transaction(async (tx) => {
        await tx.run(INSERT);
        await fn(tx, promise);
      }, options),
    );
    await clock.advance(60);
    expect(outer.now.state).toBe('rejected');
    expect(driver.openTransactions).toBe(0);
    expect(pool.stats().writerHeld).toBe(false);
    await expect(lease.transaction(() => 'again')).resolves.toBe('again');
    await expect(pool.run(INSERT)).resolves.toBeDefined();
    const before = driver.calls.length;
    resolve();
    await clock.settle();
    expect(driver.calls.slice(before)).toEqual([]);
    await expect(lease.run(INSERT)).resolves.toBeDefined();
    await lease.release();
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false, opens: 2, size: 2 });
    expect(driver.violations).toEqual([]);
  });
});

it('F27 a transaction of the pool that is older than maxLeaseMs is revoked, rolled back, and the write lock is free', async () => {
  const { pool, driver, clock } = fakePool({}, { poolSize: 1, maxLeaseMs: 1000 });
  const hanging = follow(
    pool.transaction(async (tx) => {
      await tx.run(INSERT);
      await new Promise(() => undefined);
    }),
  );
  await clock.advance(999);
  expect(hanging.now.state).toBe('pending');
  await clock.advance(1);
  expect(errorOf(hanging)).toMatchObject({ code: 'LEASE_ENDED' });
  expect([driver.openTransactions, driver.violations]).toEqual([0, []]);
  expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, writerHeld: false });
  await expect(pool.transaction((tx) => tx.run(INSERT))).resolves.toBeDefined();
});

describe('a transaction with retries', () => {
  it('F37 has one time limit for all of them', async () => {
    const { pool, driver, clock } = fakePool(({ sql }) => (sql === INSERT ? SNAPSHOT : undefined));
    let runs = 0;
    const transaction = follow(
      pool.transaction(
        async (tx) => {
          runs += 1;
          await passes(clock, 200);
          await tx.run(INSERT);
        },
        { mode: 'deferred', retries: 5, timeoutMs: 300 },
      ),
    );
    await clock.advance(299);
    expect(transaction.now.state).toBe('pending');
    await clock.advance(1);
    expect(errorOf(transaction)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    expect(runs).toBe(2);
    expect(driver.openTransactions).toBe(0);
  });

  it('F21 F37 whose lease is released in its callback does not run again on the connection of the next user', async () => {
    const { pool, driver, clock } = fakePool(({ sql }) => (sql === INSERT ? SNAPSHOT : undefined), {
      poolSize: 1,
    });
    const lease = await pool.acquire();
    let runs = 0;
    const transaction = follow(
      lease.transaction(
        async (tx) => {
          runs += 1;
          await tx.run(INSERT).finally(() => void lease.release());
        },
        { mode: 'deferred', retries: 3 },
      ),
    );
    const next = await pool.acquire();
    await clock.settle();
    expect(errorOf(transaction)).toMatchObject({ code: 'LEASE_ENDED' });
    expect(runs).toBe(1);
    await expect(next.run('BEGIN')).resolves.toBeDefined();
    await next.run('COMMIT');
    expect(driver.calls.filter(({ sql }) => sql === 'BEGIN')).toHaveLength(2);
  });
});

describe('a transaction that SQLite may have rolled back', () => {
  it('F22 because a step of a cursor failed is asked for, and the next statement is refused if it is gone', async () => {
    const { pool, driver } = fakePool({
      next: { 2: { reject: Object.assign(new Error('io'), { errno: 10 }) } },
      inTransaction: { 1: { resolve: false } },
    });
    const transaction = pool.transaction(async (tx) => {
      const rows = tx.iterate('SELECT n FROM t');
      await rows.next();
      await expect(rows.next()).rejects.toMatchObject({ sqliteCode: 'SQLITE_IOERR' });
      await expect(tx.run(INSERT)).rejects.toMatchObject({ code: 'TRANSACTION_LOST' });
    });
    await expect(transaction).rejects.toMatchObject({ code: 'TRANSACTION_LOST' });
    expect(driver.calls.some(({ sql }) => sql === INSERT || sql === 'COMMIT')).toBe(false);
  });

  it('F22 F43 and whose driver answers too late if it has acknowledges nothing more', async () => {
    const script = ({ sql, nth }: FakeCall) =>
      sql.endsWith('(0)') ? 'interruptible' : sql === 'BEGIN' && nth > 1 ? 'hang' : undefined;
    const { pool, driver, clock } = fakePool(
      script,
      { operationTimeoutMs: 100 },
      { without: ['inTransaction'] },
    );
    const transaction = follow(
      pool.transaction(async (tx) => {
        await tx.run(INSERT);
        // Interrupted: SQLite takes the transaction with it.
        await tx.run('INSERT INTO t VALUES (0)', [], { timeoutMs: 10 }).catch(() => undefined);
        await expect(tx.run(INSERT)).rejects.toMatchObject({ code: 'OPERATION_TIMEOUT' });
        driver.calls.findLast(({ sql }) => sql === 'BEGIN')?.resolve();
        await clock.settle();
        // A BEGIN is open now, but not the one of this transaction.
        await expect(tx.run(INSERT)).rejects.toMatchObject({ code: 'TRANSACTION_LOST' });
      }),
    );
    await clock.advance(1000);
    expect(errorOf(transaction)).toMatchObject({ code: 'TRANSACTION_LOST' });
    expect(driver.calls.filter(({ sql }) => sql === INSERT)).toHaveLength(1);
    expect(driver.calls.some(({ sql }) => sql === 'COMMIT')).toBe(false);
    expect(pool.stats()).toMatchObject({ writerHeld: false, idle: 0 });
    expect([driver.openTransactions, driver.violations]).toEqual([0, []]);
  });
});

function passes(clock: FakeClock, ms: number): Promise<void> {
  return new Promise((done) => clock.schedule(done, ms));
}
