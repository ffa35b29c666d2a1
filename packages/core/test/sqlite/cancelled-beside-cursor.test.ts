import { expect, test } from 'vitest';
import type { Lease, Row } from '../../src/index.ts';
import { ENDLESS, cancelledBy, failure, poolWithTable, valuesOf } from './helpers.ts';

/** A lease with an open cursor, of which one row was read. SQLite keeps an interrupt for as long as a read is open. */
async function leaseWithCursor() {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.script('INSERT INTO t (v) VALUES (1), (2), (3)');
  const lease = await pool.acquire();
  const rows: AsyncIterator<Row> = lease.iterate('SELECT v FROM t');
  expect(await rows.next()).toMatchObject({ value: { v: 1 } });
  return { pool, lease, rows };
}

/** What is cancelled beside the cursor. */
const CANCELS: Readonly<Record<string, (lease: Lease) => Promise<unknown>>> = {
  'a query': (lease) => lease.get(ENDLESS, [], { timeoutMs: 30 }),
  'a write': (lease) => lease.run(`INSERT INTO t (v) ${ENDLESS}`, [], { timeoutMs: 30 }),
  'a script': (lease) => lease.script(ENDLESS, { timeoutMs: 30 }),
  'a transaction': (lease) => lease.transaction((tx) => tx.get(ENDLESS), { timeoutMs: 100 }),
  'a query in a transaction': (lease) =>
    lease.transaction(async (tx) => {
      await tx.run('INSERT INTO t (v) VALUES (0)');
      await tx.get(ENDLESS, [], { timeoutMs: 30 });
    }),
  'a query in a nested transaction': (lease) =>
    lease.transaction((tx) => tx.transaction((inner) => inner.get(ENDLESS, [], { timeoutMs: 30 }))),
};

/** What the lease does next. */
const NEXT: Readonly<Record<string, (lease: Lease) => Promise<unknown>>> = {
  'a query': (lease) => lease.get('SELECT 1 AS one'),
  'a write': (lease) => lease.run('INSERT INTO t (v) VALUES (4)'),
  'a cursor': (lease) => lease.iterate('SELECT 1 AS one').next(),
  'a transaction': (lease) => lease.transaction((tx) => tx.run('INSERT INTO t (v) VALUES (4)')),
};

test.for(
  Object.entries(CANCELS).flatMap(([what, cancelled]) =>
    Object.entries(NEXT).map(([after, next]) => ({ what, cancelled, after, next })),
  ),
)(
  'F40 F42 $what that is cancelled beside an open cursor ends that cursor, and $after after it works',
  async (way) => {
    const { pool, lease, rows } = await leaseWithCursor();
    expect(await cancelledBy(way.cancelled(lease))).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    await way.next(lease);
    expect(await failure(rows.next())).toMatchObject({ code: 'LEASE_ENDED' });
    await lease.release();
    const wrote = ['a write', 'a transaction'].includes(way.after);
    expect(await valuesOf(pool)).toEqual(wrote ? [1, 2, 3, 4] : [1, 2, 3]);
    expect(pool.stats()).toMatchObject({ opens: 1, writerHeld: false });
  },
);

test('F22 F42 a transaction by hand that an interrupted write took with it is not taken for one that is open', async () => {
  const { pool, lease, rows } = await leaseWithCursor();
  await lease.run('BEGIN IMMEDIATE');
  await lease.run('INSERT INTO t (v) VALUES (0)');
  await failure(lease.run(`INSERT INTO t (v) ${ENDLESS}`, [], { timeoutMs: 30 }));
  await lease.run('ROLLBACK');
  await lease.run('INSERT INTO t (v) VALUES (4)');
  expect(await failure(rows.next())).toMatchObject({ code: 'LEASE_ENDED' });
  await lease.release();
  expect(await valuesOf(pool)).toEqual([1, 2, 3, 4]);
  expect(pool.stats()).toMatchObject({ opens: 1, writerHeld: false });
});
