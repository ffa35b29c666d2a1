import { describe, expect, it } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import type { FakeCall } from '../../src/testing/index.ts';
import { fakePool } from './support.ts';

/** One connection, and no queue for it. */
const ALONE = { poolSize: 1, maxWaiting: 0 };
const LEAVES_BEHIND = 'PRAGMA foreign_keys = OFF';

/** Every use that keeps a connection for longer than a statement, and leaves something to clear up. */
const USES: Readonly<Record<string, (pool: SqlitePool) => Promise<unknown>>> = {
  'connection()': (pool) => pool.connection((lease) => lease.get('SELECT 1')),
  'connection() with an open transaction': (pool) => pool.connection((lease) => lease.run('BEGIN')),
  'connection() with a call under way': (pool) =>
    pool.connection((lease) => {
      lease.get('SELECT 1').catch(() => undefined);
    }),
  'connection() with an open cursor': (pool) => pool.connection((lease) => lease.iterate('SELECT 1').next()),
  'connection() that changed its connection': (pool) =>
    pool.connection((lease) => lease.execute(LEAVES_BEHIND)),
  'acquire() and release()': async (pool) => {
    const lease = await pool.acquire();
    await lease.run('BEGIN');
    await lease.release();
  },
  'a statement that changed its connection': (pool) => pool.execute(LEAVES_BEHIND),
  'iterate() to the end': async (pool) => {
    for await (const row of pool.iterate('SELECT 1')) expect(row).toBeDefined();
  },
  'iterate() with a break': async (pool) => {
    for await (const row of pool.iterate('SELECT 1')) if (row['n'] === 2) break;
  },
  'transaction()': (pool) => pool.transaction((tx) => tx.run('INSERT INTO t VALUES (1)')),
  'transaction() that changed its connection': (pool) => pool.transaction((tx) => tx.execute(LEAVES_BEHIND)),
  'transaction() that leaves a cursor open': (pool) =>
    pool.transaction((tx) => tx.iterate('SELECT 1').next()),
};

describe('in a pool of one connection and no queue', () => {
  it.for(Object.entries(USES))('%s has released its connection when it resolves', async ([, use]) => {
    const { pool, driver } = fakePool({}, ALONE);
    for (let round = 0; round < 3; round += 1) {
      await use(pool);
      await expect(pool.get('SELECT 1')).resolves.toBeUndefined();
      await use(pool);
    }
    await expect(pool.run('INSERT INTO t VALUES (1)')).resolves.toBeDefined();
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0, writerHeld: false });
    expect([driver.openTransactions, driver.violations]).toEqual([0, []]);
  });

  it('connection() that rejects rejects at once, also while a call that was cancelled keeps its connection', async () => {
    const script = ({ sql }: FakeCall) => (sql.startsWith('SELECT slow') ? 'hang' : undefined);
    const { pool, driver, clock } = fakePool(script, ALONE);
    const failed = pool.connection((lease) => lease.get('SELECT slow', [], { timeoutMs: 10 }));
    const seen = expect(failed).rejects.toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    await clock.advance(10);
    await seen;
    expect(pool.stats().leased).toBe(1);
    driver.call('execute').resolve();
    await clock.settle();
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });
});
