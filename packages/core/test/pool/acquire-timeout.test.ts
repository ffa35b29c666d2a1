import { describe, expect, it } from 'vitest';
import { AcquireTimeoutError, createPool } from '../../src/index.ts';
import { fakeDriver } from '../../src/testing/index.ts';
import { errorOf, fakePool, follow } from './support.ts';

const MS = 100;

describe('an AcquireTimeoutError', () => {
  it('says "wait" when every connection was in use, and counts the holders and the waiters', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 2, acquireTimeoutMs: MS });
    await Promise.all([pool.acquire(), pool.acquire()]);
    const first = follow(pool.acquire());
    const second = follow(pool.acquire({ timeoutMs: 2 * MS }));
    await clock.advance(MS);
    const error = errorOf(first);
    expect(error).toBeInstanceOf(AcquireTimeoutError);
    expect(error).toMatchObject({
      phase: 'wait',
      counts: { poolSize: 2, leased: 2, idle: 0, opening: 0, waiting: 2 },
      statusCode: 503,
    });
    expect(second.now.state).toBe('pending');
    expect(pool.stats()).toMatchObject({ acquireTimeouts: 1, waiting: 1 });
  });

  it('says "open" when its connection was being opened', async () => {
    const { pool, clock } = fakePool({ open: { 1: 'hang' } }, { poolSize: 2 });
    const refused = follow(pool.acquire({ timeoutMs: MS }));
    await clock.advance(MS);
    expect(errorOf(refused)).toMatchObject({ phase: 'open', counts: { leased: 0, opening: 1, waiting: 1 } });
  });

  it('says "validate" when its connection was under a health check', async () => {
    const { pool, clock } = fakePool({ execute: { 2: 'hang' } }, { poolSize: 1 });
    await pool.get('SELECT 2');
    await clock.advance(500);
    const refused = follow(pool.acquire({ timeoutMs: MS }));
    await clock.advance(MS);
    expect(errorOf(refused)).toMatchObject({
      phase: 'validate',
      counts: { leased: 0, idle: 0, opening: 0, waiting: 1 },
    });
  });

  it('says "wait" to the second in line, although a connection is being opened: it is for the first', async () => {
    const { pool, clock } = fakePool({ open: { 2: 'hang' } }, { poolSize: 2 });
    await pool.acquire();
    const first = follow(pool.acquire({ timeoutMs: 2 * MS }));
    const second = follow(pool.acquire({ timeoutMs: MS }));
    await clock.advance(2 * MS);
    expect(errorOf(second)).toMatchObject({ phase: 'wait', counts: { leased: 1, opening: 1, waiting: 2 } });
    expect(errorOf(first)).toMatchObject({ phase: 'open', counts: { leased: 1, opening: 1, waiting: 1 } });
  });

  it('says "write" when another write held the database', async () => {
    const { pool, clock } = fakePool({ execute: { 1: 'hang' } }, { poolSize: 4, acquireTimeoutMs: MS });
    follow(pool.run('DELETE FROM t'));
    await clock.settle();
    const withConnection = follow(pool.run('DELETE FROM t'));
    const without = follow(pool.run('DELETE FROM t'));
    await clock.advance(MS);
    expect(errorOf(withConnection)).toMatchObject({ phase: 'write' });
    expect(errorOf(without)).toMatchObject({ phase: 'write' });
  });

  it('is never early, whatever the timers of the machine do', async () => {
    const real = createPool({ driver: fakeDriver(), poolSize: 1 });
    const lease = await real.acquire();
    const early: number[] = [];
    await Promise.all(
      Array.from({ length: 200 }, async (_, at) => {
        const timeoutMs = 1 + (at % 40) / 4;
        const since = performance.now();
        await expect(real.acquire({ timeoutMs })).rejects.toBeInstanceOf(AcquireTimeoutError);
        const took = performance.now() - since;
        if (took < timeoutMs) early.push(took - timeoutMs);
      }),
    );
    expect(early).toEqual([]);
    await lease.release();
    await real.close();
  });
});
