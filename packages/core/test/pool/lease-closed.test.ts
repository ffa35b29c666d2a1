import { describe, expect, it } from 'vitest';
import type { Lease } from '../../src/index.ts';
import { fakePool, follow } from './support.ts';

const OPTIONS = { poolSize: 1, operationTimeoutMs: 500 };

const ENDS: readonly { readonly what: string; readonly end: (lease: Lease) => Promise<void> }[] = [
  { what: 'discard()', end: (lease) => lease.discard() },
  {
    what: 'release() of a connection that was changed',
    end: async (lease) => {
      await lease.run('PRAGMA foreign_keys = OFF');
      await lease.release();
    },
  },
  {
    what: 'revoke() of a connection that was changed',
    end: async (lease) => {
      await lease.run('PRAGMA foreign_keys = OFF');
      await lease.revoke();
    },
  },
];

describe('the end of a lease whose connection is closed', () => {
  it.for(ENDS)('F93 comes when it is closed: $what', async ({ end }) => {
    const { pool, driver, clock } = fakePool({ close: { 1: 'hang' } }, OPTIONS);
    const ended = follow(end(await pool.acquire()));
    await clock.settle();
    expect([driver.count('close'), ended.now.state]).toEqual([1, 'pending']);
    driver.call('close').resolve();
    await clock.settle();
    expect(ended.now.state).toBe('resolved');
    expect(pool.stats().size).toBe(0);
  });

  it.for(ENDS)(
    'F93 comes when that takes longer than operationTimeoutMs, or fails: $what',
    async ({ end }) => {
      for (const outcome of ['hang', { reject: new Error('disk') }] as const) {
        const { pool, clock } = fakePool({ close: { 1: outcome } }, OPTIONS);
        const ended = follow(end(await pool.acquire()));
        await clock.advance(OPTIONS.operationTimeoutMs);
        expect(ended.now.state).toBe('resolved');
        expect(pool.stats()).toMatchObject({ size: 0, quarantined: outcome === 'hang' ? 1 : 0 });
      }
    },
  );
});

describe('calls that were made before a release, and not awaited', () => {
  it('F31 still run on a connection that was changed, which is closed after them', async () => {
    const { pool, driver } = fakePool({}, OPTIONS);
    const lease = await pool.acquire();
    await lease.run('PRAGMA foreign_keys = OFF');
    const call = follow(lease.run('INSERT INTO t VALUES (1)'));
    await lease.release();
    expect(call.now.state).toBe('resolved');
    expect(driver.openConnections).toBe(0);
    expect(pool.stats().evictions.dirty).toBe(1);
  });

  it('F31 and change their connection, keep it from the next user', async () => {
    const { pool, driver } = fakePool({}, OPTIONS);
    const lease = await pool.acquire();
    void lease.get('SELECT 1');
    void lease.run('CREATE TEMP TABLE mine (v)');
    await lease.release();
    expect(driver.openConnections).toBe(0);
    await pool.get('SELECT 2');
    expect(driver.calls.findLast(({ method }) => method === 'execute')).toMatchObject({ connection: 2 });
    expect(pool.stats().evictions.dirty).toBe(1);
  });
});
