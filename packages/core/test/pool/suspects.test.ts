import { describe, expect, it } from 'vitest';
import { RequestLease } from '../../src/plugin.ts';
import type { FakeCall, FakeOutcome } from '../../src/testing/index.ts';
import { errorOf, fakePool, follow, type FakePool } from './support.ts';

const FAILS = 'SELECT fails';
const CHECK = 'SELECT count(*) FROM sqlite_schema';
const OPTIONS = { poolSize: 1, operationTimeoutMs: 500 };

const refused = (errno: number): Error => Object.assign(new Error('refused'), { errno });

/** A pool whose statement `SELECT fails` does so; how its checks end is given one by one. */
function failing(error: unknown, ...checks: FakeOutcome[]): FakePool {
  return fakePool(({ sql }: FakeCall) => {
    if (sql === CHECK) return checks.shift();
    return sql === FAILS ? { reject: error } : undefined;
  }, OPTIONS);
}

const checksOf = ({ driver }: FakePool): number => driver.calls.filter(({ sql }) => sql === CHECK).length;

describe('a connection on which a call has failed', () => {
  it.for([
    ['MISUSE', refused(21)],
    ['IOERR', refused(10)],
    ['IOERR_SHORT_READ', refused(522)],
    ['IOERR by its name alone', Object.assign(new Error('disk'), { code: 'SQLITE_IOERR_READ' })],
    ['CORRUPT', refused(11)],
    ['CANTOPEN', refused(14)],
    ['NOTADB', refused(26)],
    ['READONLY_DBMOVED', refused(1032)],
    ['no code', new Error('The worker is gone.')],
    ['no error', undefined],
  ] as const)('F77 with %s is checked once before anyone gets it again', async ([, error]) => {
    const fake = failing(error);
    const { pool, driver } = fake;
    await expect(pool.all(FAILS)).rejects.toMatchObject({ code: 'SQLITE_ERROR' });
    expect(pool.stats()).toMatchObject({ validating: 1, idle: 0 });
    await pool.all('SELECT next');
    expect(driver.calls.slice(-2).map(({ sql }) => sql)).toEqual([CHECK, 'SELECT next']);
    await pool.all('SELECT after');
    expect([checksOf(fake), driver.count('open')]).toEqual([1, 1]);
    expect(pool.stats().evictions.invalid).toBe(0);
    await pool.close();
  });

  it.for([1, 5, 8, 9, 13, 19, 517])('with the result code %i is as good as it was', async (errno) => {
    const fake = failing(refused(errno));
    // Where another process holds a lock, it is tried again for as long as that.
    const call = follow(fake.pool.transaction((tx) => tx.all(FAILS), { mode: 'deferred' }));
    await fake.clock.advance(60_000);
    expect(call.now.state).toBe('rejected');
    expect(fake.pool.stats()).toMatchObject({ idle: 1, evictions: { invalid: 0 } });
    expect(checksOf(fake)).toBe(0);
    await fake.pool.close();
  });

  it.for<FakeOutcome>([
    { reject: refused(21) },
    { reject: new Error('no code') },
    { throw: 'anything' },
    'hang',
  ])('F77 and whose check ends like this is replaced for the waiters: %j', async (check) => {
    const fake = failing(refused(21), check);
    const { pool, driver, clock } = fake;
    const call = follow(pool.all(FAILS));
    await clock.settle();
    expect(errorOf(call)).toMatchObject({ sqliteCode: 'SQLITE_MISUSE' });
    const waiting = [1, 2, 3].map((n) => follow(pool.all('SELECT ?', [n])));
    await clock.advance(2 * OPTIONS.operationTimeoutMs);
    expect(waiting.map(({ now }) => now.state)).toEqual(['resolved', 'resolved', 'resolved']);
    expect(pool.stats()).toMatchObject({ opens: 2, evictions: { invalid: 1 } });
    expect(checksOf(fake)).toBe(1);
    expect(driver.violations).toEqual([]);
  });

  it('F77 in a call that nobody waits for any more is checked, too', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: 'hang' } }, OPTIONS);
    const cancelled = follow(pool.all('SELECT slow', [], { timeoutMs: 100 }));
    await clock.advance(100);
    expect(cancelled.now.state).toBe('rejected');
    driver.call('execute').reject(refused(10));
    await clock.settle();
    expect(driver.calls.at(-1)?.sql).toBe(CHECK);
    await pool.close();
  });

  it('F77 is checked when its lease ends, after what is open on it, and not in the middle', async () => {
    const fake = failing(refused(11));
    const { pool, driver, clock } = fake;
    const lease = await pool.acquire();
    await lease.run('BEGIN');
    for (let n = 0; n < 3; n += 1) await expect(lease.all(FAILS)).rejects.toBeDefined();
    expect(checksOf(fake)).toBe(0);
    await lease.release();
    await clock.settle();
    const last = driver.calls.slice(-3).map(({ method, sql }) => (sql === '' ? method : sql));
    expect(last).toEqual(['rollback', 'databaseId', CHECK]);
    expect(pool.stats()).toMatchObject({ idle: 1, validating: 0 });
    await pool.close();
  });

  it('F77 is not kept by its request, whose next statement gets one that is good', async () => {
    const { pool, driver } = failing(refused(21), { reject: refused(21) });
    const db = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'GET' });
    await expect(db.all(FAILS)).rejects.toMatchObject({ sqliteCode: 'SQLITE_MISUSE' });
    await db.all('SELECT next');
    await db.all('SELECT last');
    const texts = driver.calls.filter(({ method }) => method === 'execute');
    expect(texts.map(({ connection, sql }) => [connection, sql])).toEqual([
      [1, FAILS],
      [1, CHECK],
      [2, 'SELECT next'],
      [2, 'SELECT last'],
    ]);
    expect(pool.stats().leased).toBe(1);
    db.respond();
    await pool.close();
  });

  it('F77 is closed, and not checked, by a pool that is closing, or that has retired it', async () => {
    for (const end of ['close', 'evict'] as const) {
      const fake = failing(refused(21));
      const lease = await fake.pool.acquire();
      await expect(lease.all(FAILS)).rejects.toBeDefined();
      const ended = fake.pool[end]();
      await lease.release();
      await ended;
      await fake.clock.settle();
      expect([checksOf(fake), fake.driver.openConnections]).toEqual([0, 0]);
    }
  });
});

describe('validateAfterIdleMs: 0', () => {
  const ALWAYS = { ...OPTIONS, validateAfterIdleMs: 0 };

  it('F92 checks a connection that passes from hand to hand', async () => {
    const { pool, driver, clock } = fakePool({}, ALWAYS);
    const lease = await pool.acquire();
    const next = follow(pool.all('SELECT next'));
    const last = follow(pool.all('SELECT last'));
    await lease.release();
    await clock.settle();
    expect([next.now.state, last.now.state]).toEqual(['resolved', 'resolved']);
    expect(driver.calls.filter(({ method }) => method === 'execute').map(({ sql }) => sql)).toEqual([
      'SELECT 1',
      'SELECT next',
      'SELECT 1',
      'SELECT last',
    ]);
    expect(driver.count('open')).toBe(1);
    await pool.close();
  });

  it('F92 opens a new connection for the waiters of one that fails its check', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: { reject: refused(21) } } }, ALWAYS);
    const lease = await pool.acquire();
    const next = follow(pool.all('SELECT next'));
    await lease.release();
    await clock.settle();
    expect(next.now.state).toBe('resolved');
    expect(driver.calls.findLast(({ method }) => method === 'execute')).toMatchObject({ connection: 2 });
    expect(pool.stats().evictions.invalid).toBe(1);
    await pool.close();
  });

  it('retires one that is evicted meanwhile without a check', async () => {
    const { pool, driver, clock } = fakePool({}, ALWAYS);
    const lease = await pool.acquire();
    const next = follow(pool.all('SELECT next'));
    pool.evict();
    await lease.release();
    await clock.settle();
    expect(next.now.state).toBe('resolved');
    expect(driver.calls.filter(({ sql }) => sql === 'SELECT 1')).toEqual([]);
    expect(pool.stats()).toMatchObject({ opens: 2, evictions: { evicted: 1 } });
    await pool.close();
  });
});
