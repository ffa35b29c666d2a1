import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { RequestLease, RequestTransaction, type LeaseMode } from '../../src/plugin.ts';
import { failure, poolWithTable } from './helpers.ts';

interface Made {
  readonly pool: SqlitePool;
  readonly db: RequestTransaction;
  /** A cursor of the transaction that has taken its first row. */
  readonly rows: AsyncIterator<{ v: number }>;
}

/** A request whose transaction has added 4 to the values 1 to 3, and reads them. */
async function make(
  mode: LeaseMode = 'request',
  pragmas: Readonly<Record<string, string>> = {},
): Promise<Made> {
  const pool = await poolWithTable({ poolSize: 2, pragmas });
  await pool.run('INSERT INTO t (v) VALUES (1), (2), (3)');
  const db = new RequestTransaction(
    new RequestLease(pool, { mode, disconnectGraceMs: 1000, method: 'POST' }),
  );
  await db.run('INSERT INTO t (v) VALUES (4)');
  const rows = db.iterate<{ v: number }>('SELECT v FROM t ORDER BY v');
  expect(await rows.next()).toMatchObject({ value: { v: 1 } });
  return { pool, db, rows };
}

async function rest(rows: AsyncIterator<{ v: number }>): Promise<number[]> {
  const values: number[] = [];
  for (let step = await rows.next(); step.done !== true; step = await rows.next()) values.push(step.value.v);
  return values;
}

/** A cursor is closed after its last row was given. */
async function leased(pool: SqlitePool, count: number): Promise<void> {
  await expect.poll(() => pool.stats().leased).toBe(count);
}

describe.each<LeaseMode>(['request', 'statement'])(
  "a cursor of a request's transaction in mode '%s'",
  (mode) => {
    it('F71 goes on after the COMMIT with what it sees, and keeps nobody from writing', async () => {
      const { pool, db, rows } = await make(mode);
      await db.settle(200);
      db.lease.respond();
      expect(pool.stats()).toMatchObject({ leased: 1, writerHeld: false });
      await pool.run('UPDATE t SET v = -v');
      expect(await db.get('SELECT min(v) AS v FROM t')).toBeDefined();
      expect(await rest(rows)).toEqual([2, 3, 4]);
      await leased(pool, 0);
      expect(await pool.get('PRAGMA wal_checkpoint(TRUNCATE)')).toMatchObject({ busy: 0 });
    });

    it('F71 goes on after a COMMIT that overtakes its first step', async () => {
      const { pool, db, rows } = await make(mode);
      const others = [
        db.iterate<{ v: number }>('SELECT v FROM t'),
        db.iterate<{ v: number }>('SELECT v FROM t'),
      ];
      const { signal } = new AbortController();
      others.push(db.iterate<{ v: number }>('SELECT v FROM t', [], { signal }));
      const steps = others.map((other) => other.next());
      await db.settle(200);
      db.lease.respond();
      expect(await Promise.all(steps)).toMatchObject([
        { value: { v: 1 } },
        { value: { v: 1 } },
        { value: { v: 1 } },
      ]);
      for (const each of [...others, rows]) expect(await rest(each)).toEqual([2, 3, 4]);
      await leased(pool, 0);
    });

    it('F71 ends with its rollback: it may have read what never was', async () => {
      const { pool, db, rows } = await make(mode);
      await db.settle(500);
      db.lease.respond();
      expect(await failure(rest(rows))).toMatchObject({ code: 'LEASE_ENDED' });
      await leased(pool, 0);
      expect(pool.stats().writerHeld).toBe(false);
      expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 3 });
    });

    it('F71 ends when the COMMIT fails', async () => {
      const { pool, db, rows } = await make(mode);
      await db.script('CREATE TABLE child (v REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)');
      await db.run('INSERT INTO child VALUES (-1)');
      expect(await failure(db.settle(200))).toMatchObject({ sqliteCode: 'SQLITE_CONSTRAINT_FOREIGNKEY' });
      expect(await failure(rest(rows))).toMatchObject({ code: 'LEASE_ENDED' });
      db.lease.respond();
      await leased(pool, 0);
      expect(pool.stats().writerHeld).toBe(false);
    });

    it('F71 releases its connection when its loop ends early, or its client leaves', async () => {
      const { pool, db, rows } = await make(mode);
      const other = db.iterate('SELECT v FROM t');
      await other.next();
      await db.settle(200);
      db.lease.respond();
      await other.return?.();
      await leased(pool, 1);
      db.lease.revoke();
      expect(await failure(rest(rows))).toMatchObject({ code: 'LEASE_ENDED' });
      await leased(pool, 0);
    });

    it('F71 goes on after the COMMIT in a database without a WAL too', async () => {
      const { pool, db, rows } = await make(mode, { journal_mode: 'delete' });
      await db.settle(200);
      db.lease.respond();
      expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 4 });
      expect(await rest(rows)).toEqual([2, 3, 4]);
      await pool.run('DELETE FROM t');
      await leased(pool, 0);
    });
  },
);

it('F24 the cursors of any other transaction end with its COMMIT', async () => {
  const { pool, db } = await make();
  await db.settle(200);
  const rows = await pool.transaction(async (tx) => {
    const cursor = tx.iterate<{ v: number }>('SELECT v FROM t');
    await cursor.next();
    return [cursor];
  });
  expect(await failure(rest(rows[0]!))).toMatchObject({ code: 'LEASE_ENDED' });
});

describe('a transaction of a request that reached its deadline before the response', () => {
  it('lets the rest of its handler wait for the connection that another caller now has', async () => {
    const elsewhere = AsyncLocalStorage.snapshot();
    const pool = await poolWithTable({ poolSize: 1 });
    const lease = new RequestLease(pool, { mode: 'statement', disconnectGraceMs: 1000, method: 'POST' });
    const db = new RequestTransaction(lease, { timeoutMs: 300 });
    await db.around(async () => {
      await db.run('INSERT INTO t (v) VALUES (4)');
      // Waits until the transaction has reached its deadline.
      const other = await elsewhere(() => pool.acquire());
      const read = pool.get('SELECT count(*) AS n FROM t');
      await other.release();
      expect(await read).toEqual({ n: 0 });
    });
    await db.settle(500);
  });
});
