import { describe, expect, it } from 'vitest';
import {
  LeaseEndedError,
  OutcomeUnknownError,
  PoolClosedError,
  TransactionLostError,
  type Queryable,
} from '../../src/index.ts';
import { errorOf, fakePool, follow, type Outcome } from './support.ts';

interface Followed {
  now: Outcome<unknown>;
}

const threeCalls = (db: Queryable): Followed[] => [1, 2, 3].map((n) => follow(db.get('SELECT ?', [n])));

/** Expects that all have failed with an error of a class, each with another one. */
function expectOwnErrors(calls: readonly Followed[], type: new (...args: never) => Error): void {
  const errors = calls.map(errorOf);
  for (const error of errors) expect(error).toBeInstanceOf(type);
  expect(new Set(errors).size).toBe(calls.length);
}

describe('callers that fail together each get an error object of their own', () => {
  it('F88 when the pool closes: acquires, writers, calls on a lease, and what comes after it', async () => {
    const { pool, driver, clock } = fakePool(
      ({ sql }) => (sql.includes('slow') ? 'interruptible' : undefined),
      { poolSize: 2, groupCommit: false, closeTimeoutMs: 1000 },
    );
    const leases = [await pool.acquire(), await pool.acquire()];
    const calls = leases.flatMap((lease) => [follow(lease.get('SELECT slow')), ...threeCalls(lease)]);
    const waiting = [1, 2, 3].flatMap((n) => [
      follow(pool.acquire()),
      follow(pool.run('DELETE FROM t WHERE a = ?', [n])),
    ]);
    await clock.settle();
    const closed = pool.close();
    await clock.settle();
    expectOwnErrors(waiting, PoolClosedError);
    await clock.advance(1000);
    expectOwnErrors(calls, PoolClosedError);
    const late = [1, 2].map(() => follow(pool.acquire()));
    await closed;
    await clock.settle();
    expectOwnErrors(late, PoolClosedError);
    expect(driver.violations).toEqual([]);
  });

  it('F88 when the pool closes: writes that wait to share a COMMIT, with a connection and without', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 2, closeTimeoutMs: 1000 });
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    const writes = Array.from({ length: 250 }, (_, n) => follow(pool.run('DELETE FROM t WHERE a = ?', [n])));
    await clock.settle();
    const closed = pool.close();
    await clock.advance(1000);
    expectOwnErrors(writes, PoolClosedError);
    await closed;
  });

  it('F88 when they share a COMMIT of which the outcome is unknown', async () => {
    const { pool, clock } = fakePool(({ sql }) => (sql === 'COMMIT' ? 'hang' : undefined), {
      operationTimeoutMs: 500,
    });
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    const writes = [1, 2, 3].map((n) => follow(pool.run('DELETE FROM t WHERE a = ?', [n])));
    await clock.settle();
    await lease.run('ROLLBACK');
    await clock.advance(2000);
    expectOwnErrors(writes, OutcomeUnknownError);
  });

  it('F88 when a lease is revoked, unless its owner says why: then all get that', async () => {
    const { pool, clock } = fakePool(({ sql }) => (sql.includes('slow') ? 'interruptible' : undefined));
    for (const reason of [undefined, new Error('The owner says so.')]) {
      const lease = await pool.acquire();
      const calls = [follow(lease.get('SELECT slow')), ...threeCalls(lease)];
      await clock.settle();
      await lease.revoke(reason);
      await clock.settle();
      if (reason === undefined) expectOwnErrors(calls, LeaseEndedError);
      else expect(new Set(calls.map(errorOf))).toEqual(new Set([reason]));
    }
    await pool.close();
  });

  it('F88 when their transaction ends before them', async () => {
    const { pool, clock } = fakePool(({ sql }) => (sql.includes('slow') ? 'interruptible' : undefined));
    let calls: Followed[] = [];
    const transaction = follow(
      pool.transaction((tx) => {
        calls = [follow(tx.get('SELECT slow')), ...threeCalls(tx)];
        throw new Error('given up');
      }),
    );
    await clock.settle();
    expect(errorOf(transaction)).toMatchObject({ message: 'given up' });
    expectOwnErrors(calls, LeaseEndedError);
    await pool.close();
  });

  it('F88 when a connection cannot roll back and takes no more calls', async () => {
    const { pool, clock } = fakePool({ rollback: { 1: { reject: new Error('disk') } } });
    const lease = await pool.acquire();
    await expect(lease.transaction(() => Promise.reject(new Error('given up')))).rejects.toThrow('given up');
    const later = threeCalls(lease);
    await clock.settle();
    expectOwnErrors(later, TransactionLostError);
    await lease.release();
    await pool.close();
  });
});
