import { describe, expect, it } from 'vitest';
import type { FakeCall, FakeOutcome } from '../../src/testing/index.ts';
import { fakePool, follow } from './support.ts';

const EXISTS: FakeOutcome = { resolve: { rows: [{ 1: 1 }], columns: ['1'], changes: 0, lastInsertRowid: 0 } };

/** Three writes wait together for a lease that writes; `stuck` is cancelled after 100 ms. */
async function group(script: (call: FakeCall) => FakeOutcome | undefined) {
  const fake = fakePool(script, { poolSize: 4, operationTimeoutMs: 10_000, acquireTimeoutMs: 30_000 });
  const { pool, clock } = fake;
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const writes = [
    follow(pool.run('INSERT INTO stuck VALUES (1)', [], { timeoutMs: 100 })),
    follow(pool.run('INSERT INTO t VALUES (2)', [], { timeoutMs: 60_000 })),
    follow(pool.run('INSERT INTO t VALUES (3)', [], { timeoutMs: 60_000 })),
  ];
  await clock.settle();
  await lease.run('COMMIT');
  await lease.release();
  await clock.advance(120_000);
  return { ...fake, writes };
}

describe('a native call of a group that does not return', () => {
  it.each([
    [
      'of a statement run alone',
      ({ sql }: FakeCall) =>
        sql.includes('sqlite_schema') ? EXISTS : sql.includes('stuck') ? 'hang' : undefined,
    ],
    [
      'of the look at the schema',
      ({ sql }: FakeCall) => (sql.includes('sqlite_schema') ? 'hang' : undefined),
    ],
  ] as const)('%s, keeps neither its members nor the write lock for ever', async (_, script) => {
    const { pool, clock, writes } = await group(script);
    expect(writes.map(({ now }) => now.state)).not.toContain('pending');
    expect(pool.stats()).toMatchObject({ writerHeld: false, leased: 0, writersWaiting: 0, quarantined: 1 });
    const next = follow(pool.run('INSERT INTO t VALUES (4)'));
    await clock.advance(10);
    expect(next.now.state).toBe('resolved');
  });
});
