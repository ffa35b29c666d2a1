import { describe, expect, it } from 'vitest';
import type { Row } from '../../src/index.ts';
import { errorOf, fakePool, follow } from './support.ts';

const BOTH = ['SELECT 1', 'SELECT 2'];

describe('a cursor that a transaction leaves open', () => {
  it('F30 is closed before the COMMIT, and a step that is asked for meanwhile does not look like its end', async () => {
    const { pool, driver, clock } = fakePool(({ sql }) => (sql === 'COMMIT' ? 'hang' : undefined));
    let rows: AsyncIterator<Row> | undefined;
    const transaction = follow(
      pool.transaction(async (tx) => {
        rows = tx.iterate('SELECT 1');
        await rows.next();
      }),
    );
    await clock.settle();
    const late = follow(rows!.next());
    driver.call('execute', 2).resolve();
    await clock.settle();
    expect(transaction.now.state).toBe('resolved');
    expect(errorOf(late)).toMatchObject({ code: 'LEASE_ENDED' });
    expect([driver.count('next'), driver.count('return')]).toEqual([1, 1]);
    expect(driver.violations).toEqual([]);
  });

  it('F30 is closed once, by its loop or by the end of the transaction', async () => {
    const { pool, driver, clock } = fakePool({ return: { 1: 'hang' } });
    const loops: AsyncIterator<Row>[] = [];
    const transaction = follow(
      pool.transaction(async (tx) => {
        loops.push(...BOTH.map((sql) => tx.iterate(sql)));
        for (const loop of loops) await loop.next();
      }),
    );
    await clock.settle();
    // The end of the transaction is at the first one; the loop of the second one ends by itself.
    await loops[1]?.return?.();
    driver.call('return').resolve();
    await clock.settle();
    expect(transaction.now.state).toBe('resolved');
    expect(driver.count('return')).toBe(2);
    expect(pool.stats()).toMatchObject({ idle: 1, opens: 1 });
    expect(driver.violations).toEqual([]);
  });
});

describe('a cursor that cannot be closed', () => {
  it.for(['discard', 'release', 'revoke'] as const)(
    'F47 F30 costs its connection, which is closed all the same after %s()',
    async (ending) => {
      const { pool, driver, clock } = fakePool(({ method }) =>
        method === 'return' ? { reject: new Error('disk') } : undefined,
      );
      const lease = await pool.acquire();
      await lease.iterate('SELECT 1').next();
      await lease[ending]();
      await clock.settle();
      expect(driver.openConnections).toBe(0);
      expect(pool.stats()).toMatchObject({ size: 0, leased: 0 });
      await expect(pool.get('SELECT 1')).resolves.toBeUndefined();
    },
  );
});
