import { expect, test, vi } from 'vitest';
import { ENDLESS, failure, moment, onSqlite3, poolWithTable, valuesOf } from './helpers.ts';

const INSERT = 'INSERT INTO t (v) VALUES (?)';

test('F29 transaction() on a lease that has begun one by hand is refused, and leaves that one as it is', async () => {
  const pool = await poolWithTable({ poolSize: 2 });
  const lease = await pool.acquire();
  for (const [begin, end] of [
    ['BEGIN', 'ROLLBACK'],
    ['SAVEPOINT mine', 'ROLLBACK TO mine'],
    ['BEGIN IMMEDIATE', 'COMMIT'],
  ] as const) {
    await lease.run(begin);
    await lease.run(INSERT, [begin]);
    for (const mode of ['immediate', 'deferred'] as const) {
      const refused = lease.transaction((tx) => tx.run(INSERT, ['never']), { mode });
      expect(await failure(refused)).toMatchObject({ code: 'TRANSACTION_ACTIVE' });
    }
    await lease.run(INSERT, ['after']);
    expect(await lease.get('SELECT count(*) AS n FROM t')).toEqual({ n: 2 });
    expect(await valuesOf(pool)).toEqual([]);
    await lease.run(end);
    if (begin === 'SAVEPOINT mine') await lease.run('RELEASE mine');
    expect(pool.stats().writerHeld).toBe(false);
  }
  await lease.transaction((tx) => tx.run(INSERT, ['transaction']));
  await lease.release();
  expect(await valuesOf(pool)).toEqual(['BEGIN IMMEDIATE', 'after', 'transaction']);
});

test('F29 a call made in the tick of a BEGIN by hand is refused too, whichever of them comes first', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const lease = await pool.acquire();
  const [begun, refused] = await Promise.allSettled([
    lease.run('BEGIN'),
    lease.transaction((tx) => tx.run(INSERT, [1])),
  ]);
  expect([begun.status, refused]).toMatchObject(['fulfilled', { reason: { code: 'TRANSACTION_ACTIVE' } }]);
  await lease.run(INSERT, [2]);
  await lease.run('COMMIT');
  const ends = await Promise.allSettled([lease.transaction((tx) => tx.run(INSERT, [3])), lease.run('BEGIN')]);
  expect(ends).toMatchObject([{ status: 'fulfilled' }, { reason: { code: 'TRANSACTION_ACTIVE' } }]);
  await lease.release();
  expect(await valuesOf(pool)).toEqual([2, 3]);
});

test('F29 a SAVEPOINT by hand, whatever its name, does not change what a nested transaction undoes', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.transaction(async (tx) => {
    await tx.run('SAVEPOINT sqlite_pool_1');
    await tx.run(INSERT, ['kept']);
    const inner = tx.transaction(async (nested) => {
      await nested.run(INSERT, ['undone']);
      await nested.run('SAVEPOINT sqlite_pool_1');
      await nested.run(INSERT, ['undone']);
      throw new Error('inner');
    });
    expect(await failure(inner)).toMatchObject({ message: 'inner' });
    await tx.run(INSERT, ['after']);
  });
  expect(await valuesOf(pool)).toEqual(['kept', 'after']);
});

test('F29 a RELEASE by hand that ends a nested transaction early fails the whole, instead of losing a part unseen', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const whole = pool.transaction(async (tx) => {
    await tx.run('SAVEPOINT sqlite_pool_1');
    await tx.run(INSERT, [1]);
    const inner = tx.transaction(async (nested) => {
      await nested.run(INSERT, [2]);
      await nested.run('RELEASE sqlite_pool_1');
      throw new Error('inner');
    });
    await failure(inner);
  });
  expect(await failure(whole)).toBeInstanceOf(Error);
  expect(await valuesOf(pool)).toEqual([]);
  expect(pool.stats().writerHeld).toBe(false);
});

// On worker threads the other connection may be on the thread that the script keeps.
test.runIf(onSqlite3)(
  'F23 F40 a script that is cancelled after its own COMMIT leaves its lease without a transaction',
  async () => {
    const pool = await poolWithTable({ poolSize: 2 });
    const lease = await pool.acquire();
    const controller = new AbortController();
    const script = failure(
      lease.script(`BEGIN; INSERT INTO t (v) VALUES (1); COMMIT; ${ENDLESS}`, { signal: controller.signal }),
    );
    await vi.waitFor(async () => {
      expect(await valuesOf(pool)).toEqual([1]);
    });
    controller.abort(new Error('enough'));
    expect(await script).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { message: 'enough' } });
    expect(await lease.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 });
    await lease.run(INSERT, [2]);
    expect(await valuesOf(pool)).toEqual([1, 2]);
    expect(pool.stats().writerHeld).toBe(false);
    await lease.transaction((tx) => tx.run(INSERT, [3]));
    await lease.release();
    expect(await valuesOf(pool)).toEqual([1, 2, 3]);
    expect(pool.stats().evictions.dirty).toBe(0);
  },
);

test.for(['BEGIN', 'BEGIN IMMEDIATE', 'SAVEPOINT mine'])(
  'F23 F40 a script that is cancelled after its own %s leaves its lease without a transaction',
  async (begin) => {
    const pool = await poolWithTable({ poolSize: 2 });
    const lease = await pool.acquire();
    const script = `${begin}; INSERT INTO t (v) VALUES (1); ${ENDLESS}; COMMIT`;
    expect(await failure(lease.script(script, { timeoutMs: 100 }))).toMatchObject({
      code: 'STATEMENT_TIMEOUT',
    });
    await lease.run(INSERT, [2]);
    expect(await valuesOf(pool)).toEqual([2]);
    await lease.release();
    expect(await valuesOf(pool)).toEqual([2]);
  },
);

test('F22 a cursor is refused in a transaction that SQLite has rolled back, like any other statement', async () => {
  const pool = await poolWithTable();
  await pool.run('INSERT INTO t VALUES (1, 1)');
  const seen: unknown[] = [];
  const transaction = pool.transaction(async (tx) => {
    await tx.run(INSERT, ['in it']);
    await failure(tx.run('INSERT OR ROLLBACK INTO t VALUES (1, 2)'));
    for await (const row of tx.iterate('SELECT v FROM t')) seen.push(row);
  });
  expect(await failure(transaction)).toMatchObject({ code: 'TRANSACTION_LOST' });
  const lease = await pool.acquire();
  await lease.run('BEGIN');
  await failure(lease.run('INSERT OR ROLLBACK INTO t VALUES (1, 2)'));
  expect(await failure(lease.iterate('SELECT v FROM t').next())).toMatchObject({ code: 'TRANSACTION_LOST' });
  await lease.run('ROLLBACK');
  for await (const row of lease.iterate('SELECT v FROM t')) expect(row).toEqual({ v: 1 });
  await lease.release();
  expect(seen).toEqual([]);
  expect(await valuesOf(pool)).toEqual([1]);
});

test.for(['a time limit', 'a statement beside it', 'nobody who awaits it'])(
  'F29 a transaction that ends by %s while one inside it runs leaves no row and no lock, and its lease goes on',
  async (how) => {
    const pool = await poolWithTable({ poolSize: 2 });
    const lease = await pool.acquire();
    const end = moment();
    const inners: Promise<unknown>[] = [];
    const outer = lease.transaction(
      async (tx) => {
        await tx.run(INSERT, ['outer']);
        const inner = tx.transaction(async (nested) => {
          await nested.run(INSERT, ['inner']);
          await end.reached;
          await nested.run(INSERT, ['late']);
        });
        inners.push(inner);
        inner.catch(() => undefined);
        if (how === 'a time limit') await inner;
        else if (how === 'a statement beside it') await Promise.all([inner, tx.run(INSERT, ['beside'])]);
      },
      how === 'a time limit' ? { timeoutMs: 50 } : {},
    );
    expect(await failure(outer)).toMatchObject({
      code: how === 'a time limit' ? 'STATEMENT_TIMEOUT' : 'TRANSACTION_ACTIVE',
    });
    expect(await lease.get('SELECT count(*) AS n FROM t')).toEqual({ n: 0 });
    await pool.run(INSERT, ['another']);
    await lease.transaction((tx) => tx.run(INSERT, ['again']));
    end.reach();
    expect(await failure(inners[0]!)).toMatchObject({ code: 'LEASE_ENDED' });
    await lease.run(INSERT, ['last']);
    await lease.release();
    expect(await valuesOf(pool)).toEqual(['another', 'again', 'last']);
    expect(pool.stats()).toMatchObject({ writerHeld: false, leased: 0, opens: 2 });
  },
);

test('F22 a script that ends its transaction by an error is followed by nothing', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.script('CREATE TABLE unique_values (v UNIQUE); INSERT INTO unique_values VALUES (1)');
  const transaction = pool.transaction(async (tx) => {
    await tx.run(INSERT, ['before']);
    const script = 'SAVEPOINT mine; INSERT OR ROLLBACK INTO unique_values VALUES (1); RELEASE mine';
    expect(await failure(tx.script(script))).toMatchObject({ code: 'SQLITE_ERROR' });
    expect(await failure(tx.run(INSERT, ['alone']))).toMatchObject({ code: 'TRANSACTION_LOST' });
  });
  expect(await failure(transaction)).toMatchObject({ code: 'TRANSACTION_LOST' });
  expect(await valuesOf(pool)).toEqual([]);
});
