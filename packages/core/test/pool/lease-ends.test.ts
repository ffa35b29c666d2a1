import { describe, expect, it } from 'vitest';
import { LeaseEndedError } from '../../src/index.ts';
import { fakePool, follow } from './support.ts';

describe('a lease that has ended', () => {
  it('F16 and is released again changes nothing, even when its connection is in other hands', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 1 });
    const first = await pool.acquire();
    await first.release();
    const second = await pool.acquire();
    const third = follow(pool.acquire());
    await first.release();
    await first[Symbol.asyncDispose]();
    await clock.settle();
    expect(third.now.state).toBe('pending');
    expect(pool.stats()).toMatchObject({ leased: 1, idle: 0, waiting: 1 });
    await second.release();
    await clock.settle();
    expect(third.now.state).toBe('resolved');
  });

  it('F16 by two releases in one tick gives its connection to one waiter only', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 1 });
    const lease = await pool.acquire();
    const waiters = [follow(pool.acquire()), follow(pool.acquire())];
    await Promise.all([lease.release(), lease.release(), lease.discard()]);
    await clock.settle();
    expect(waiters.map(({ now }) => now.state)).toEqual(['resolved', 'pending']);
    expect(pool.stats().leased).toBe(1);
  });

  it('F17 cannot discard, revoke or break the lease that has its connection now', async () => {
    const { pool, driver } = fakePool({}, { poolSize: 1 });
    const old = await pool.acquire();
    await old.release();
    const current = await pool.acquire();
    await Promise.all([old.discard(), old.revoke(), old.release()]);
    await expect(current.get('SELECT 1')).resolves.toBeUndefined();
    expect(driver.count('close')).toBe(0);
    expect(pool.stats()).toMatchObject({ leased: 1, evictions: { discarded: 0 } });
  });

  it('F17 belongs to its own pool: another one neither knows it nor is changed by it', async () => {
    const one = fakePool({}, { poolSize: 1 });
    const other = fakePool({}, { poolSize: 1 });
    const lease = await one.pool.acquire();
    await other.pool.get('SELECT 1');
    const before = other.pool.stats();
    await lease.release();
    expect(other.pool.stats()).toEqual(before);
  });

  it.for(['release', 'discard', 'revoke'] as const)(
    'F18 by %s() refuses every call, and the driver hears of none',
    async (ending) => {
      const { pool, driver, clock } = fakePool();
      const lease = await pool.acquire();
      await lease.get('SELECT 1');
      await lease[ending]();
      await clock.settle();
      const before = driver.calls.length;
      await expect(lease.execute('SELECT 1')).rejects.toBeInstanceOf(LeaseEndedError);
      await expect(lease.get('SELECT 1')).rejects.toBeInstanceOf(LeaseEndedError);
      await expect(lease.all('SELECT 1')).rejects.toBeInstanceOf(LeaseEndedError);
      await expect(lease.run('DELETE FROM t')).rejects.toBeInstanceOf(LeaseEndedError);
      await expect(lease.script('DELETE FROM t')).rejects.toBeInstanceOf(LeaseEndedError);
      await expect(lease.transaction(() => 1)).rejects.toBeInstanceOf(LeaseEndedError);
      await expect(lease.iterate('SELECT 1').next()).rejects.toBeInstanceOf(LeaseEndedError);
      expect(() => lease.raw()).toThrow(LeaseEndedError);
      await clock.settle();
      expect(driver.calls.length).toBe(before);
    },
  );

  it('F18 while a call of it runs lets that call end before anyone else gets the connection', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: 'hang' } }, { poolSize: 1 });
    const lease = await pool.acquire();
    const running = follow(lease.get('SELECT 1'));
    const released = follow(lease.release());
    const next = follow(pool.get('SELECT 2'));
    await clock.settle();
    expect([running.now.state, released.now.state, next.now.state]).toEqual([
      'pending',
      'pending',
      'pending',
    ]);
    driver.call('execute').resolve();
    await clock.settle();
    expect([running.now.state, released.now.state, next.now.state]).toEqual([
      'resolved',
      'resolved',
      'resolved',
    ]);
    expect(driver.violations).toEqual([]);
  });

  it('F21 F12 by the time-out of a BEGIN that succeeds in the same tick leaves no transaction to the next user', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: 'hang' } }, { poolSize: 1 });
    const late = follow(pool.transaction((tx) => tx.run('INSERT INTO t VALUES (1)'), { timeoutMs: 20 }));
    await clock.settle();
    driver.call('execute', 1).resolve();
    clock.jump(20);
    await clock.settle();
    expect(late.now.state).toBe('rejected');
    expect(driver.openTransactions).toBe(0);
    expect(pool.stats()).toMatchObject({ idle: 1, writerHeld: false });
  });
});

describe('a rollback that fails', () => {
  it('F25 keeps the error of the callback, and acknowledges nothing more on its lease', async () => {
    const { pool, driver, clock } = fakePool({ rollback: { 1: { reject: new Error('disk') } } });
    const lease = await pool.acquire();
    const failure = new Error('of the callback');
    await expect(lease.transaction(() => Promise.reject(failure))).rejects.toBe(failure);
    await expect(lease.run('INSERT INTO t VALUES (1)')).rejects.toBeInstanceOf(Error);
    await lease.release();
    await clock.settle();
    expect(driver.openConnections).toBe(0);
    expect(pool.stats()).toMatchObject({ size: 0, writerHeld: false, evictions: { dirty: 1 } });
  });

  it('F25 F29 of a savepoint keeps the transaction around it from being committed', async () => {
    const { pool, driver, clock } = fakePool(({ sql }) =>
      sql.startsWith('ROLLBACK TO') ? { reject: new Error('disk') } : undefined,
    );
    const transaction = pool.transaction(async (tx) => {
      const inner = tx.transaction(async (savepoint) => {
        await savepoint.run('INSERT INTO t VALUES (1)');
        throw new Error('inside');
      });
      await inner.catch(() => undefined);
    });
    await expect(transaction).rejects.toBeInstanceOf(Error);
    await clock.settle();
    expect(driver.calls.some(({ sql }) => sql === 'COMMIT')).toBe(false);
    expect([driver.openTransactions, pool.stats().writerHeld]).toEqual([0, false]);
  });
});
