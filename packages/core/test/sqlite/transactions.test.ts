import { setTimeout as passes } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { Queryable } from '../../src/index.ts';
import { fakeClock } from '../../src/testing/fake-clock.ts';
import { failure, fileWithTable, MANY, moment, poolOf, poolWithTable, timed, valuesOf } from './helpers.ts';

test('a write beside a transaction survives its rollback, and does not hold the event loop while it waits', async () => {
  const pool = await poolWithTable();
  const release = moment();
  const a = pool.transaction(async (tx) => {
    await tx.run("INSERT INTO t (v) VALUES ('A')");
    await release.reached;
    throw new Error('A changed its mind');
  });
  const b = pool.run("INSERT INTO t (v) VALUES ('B')");
  // B waits for A, reads do not.
  expect(await valuesOf(pool)).toEqual([]);
  release.reach();
  expect(await failure(a)).toMatchObject({ message: 'A changed its mind' });
  expect(await b).toMatchObject({ changes: 1 });
  expect(await valuesOf(pool)).toEqual(['B']);
});

test.for(['INSERT OR ROLLBACK INTO t VALUES (1, 2)', "INSERT INTO t (v) VALUES ('raise')"])(
  'F22 after SQLite has rolled back by itself (%s) nothing more of the transaction is run or committed',
  async (fatal) => {
    const pool = await poolWithTable();
    await pool.script(`INSERT INTO t VALUES (1, 'before');
      CREATE TRIGGER raises BEFORE INSERT ON t WHEN new.v = 'raise' BEGIN SELECT RAISE(ROLLBACK, 'no'); END`);
    const seen: string[] = [];
    const error = await failure(
      pool.transaction(async (tx) => {
        await tx.run("INSERT INTO t (v) VALUES ('in it')");
        seen.push((await failure(tx.run(fatal)))['code'] as string);
        seen.push((await failure(tx.run("INSERT INTO t (v) VALUES ('after')")))['code'] as string);
        seen.push((await failure(tx.get('SELECT 1')))['code'] as string);
      }),
    );
    expect(seen).toEqual(['SQLITE_ERROR', 'TRANSACTION_LOST', 'TRANSACTION_LOST']);
    expect(error).toMatchObject({ code: 'TRANSACTION_LOST' });
    expect(await valuesOf(pool)).toEqual(['before']);
    expect(pool.stats().writerHeld).toBe(false);
  },
);

test('F22 a ROLLBACK by hand ends a transaction that SQLite has rolled back by itself, found out or not', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.run('INSERT INTO t VALUES (1, 1)');
  const lease = await pool.acquire();
  for (const statements of [['ROLLBACK'], ['SELECT 1', 'ROLLBACK']]) {
    await lease.run('BEGIN');
    await failure(lease.run('INSERT OR ROLLBACK INTO t VALUES (1, 2)'));
    const ends = await Promise.allSettled(statements.map((sql) => lease.execute(sql)));
    expect(ends.slice(0, -1)).toMatchObject(
      statements.slice(1).map(() => ({ reason: { code: 'TRANSACTION_LOST' } })),
    );
    expect(ends.at(-1)).toMatchObject({ value: { rows: [], changes: 0 } });
    await lease.run('INSERT INTO t (v) VALUES (3)');
  }
  await lease.release();
  expect(await valuesOf(pool)).toEqual([1, 3, 3]);
  expect(pool.stats()).toMatchObject({ opens: 1, writerHeld: false });
});

test('a ROLLBACK by hand, also after an error that left the transaction open, undoes it and no more', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.connection(async (lease) => {
    for (const fails of [false, true]) {
      await lease.run('BEGIN');
      await lease.run('INSERT INTO t VALUES (1, 1)');
      if (fails) await failure(lease.run('INSERT INTO t VALUES (1, 2)'));
      await lease.run('ROLLBACK');
      expect(pool.stats().writerHeld).toBe(false);
    }
    await lease.run('INSERT INTO t (v) VALUES (3)');
  });
  expect(await valuesOf(pool)).toEqual([3]);
});

test.for([
  { end: 'COMMIT', kept: [1, 2, 3] },
  { end: 'ROLLBACK', kept: [3] },
])('a script may end with $end what was begun before it, and its lease goes on', async ({ end, kept }) => {
  const pool = await poolWithTable({ poolSize: 1 });
  const lease = await pool.acquire();
  await lease.run('BEGIN');
  await lease.run('INSERT INTO t (v) VALUES (1)');
  await lease.script(`INSERT INTO t (v) VALUES (2); ${end}`);
  expect(pool.stats().writerHeld).toBe(false);
  await lease.run('INSERT INTO t (v) VALUES (3)');
  await lease.release();
  expect(await valuesOf(pool)).toEqual(kept);
});

test('a transaction runs scripts and loops, and ends with them', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const seen: unknown[] = [];
  await pool.transaction(async (tx) => {
    await tx.script('SAVEPOINT mine; INSERT INTO t (v) VALUES (1), (2), (3); RELEASE mine', {
      timeoutMs: 60_000,
    });
    await tx.script('INSERT INTO t (v) VALUES (4)');
    for await (const { v } of tx.iterate<{ v: number }>('SELECT v FROM t')) {
      seen.push(v);
      await tx.run('UPDATE t SET v = ? WHERE v = ?', [-v, v]);
    }
  });
  expect(seen).toEqual([1, 2, 3, 4]);
  expect(await valuesOf(pool)).toEqual([-1, -2, -3, -4]);
});

test.for(['BEGIN', 'COMMIT', 'END TRANSACTION', 'ROLLBACK'])(
  'a transaction refuses %s, as a statement and in a script, and goes on',
  async (sql) => {
    const pool = await poolWithTable();
    await pool.transaction(async (tx) => {
      await tx.run('INSERT INTO t (v) VALUES (1)');
      expect(await failure(tx.run(sql))).toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(await failure(tx.script(`DELETE FROM t; ${sql}`))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    });
    expect(await valuesOf(pool)).toEqual([1]);
  },
);

test('F29 the handles around a nested transaction are refused until it ends, and then go on', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const lease = await pool.acquire();
  await lease.transaction(async (outer) => {
    await outer.transaction(async (middle) => {
      await middle.transaction(async (inner) => {
        for (const around of [lease, outer, middle])
          expect(await failure(around.run('INSERT INTO t (v) VALUES (0)'))).toMatchObject({
            code: 'TRANSACTION_ACTIVE',
          });
        expect(await failure(lease.transaction(() => undefined))).toMatchObject({
          code: 'TRANSACTION_ACTIVE',
        });
        await inner.run('INSERT INTO t (v) VALUES (1)');
      });
      await middle.run('INSERT INTO t (v) VALUES (2)');
    });
    await outer.run('INSERT INTO t (v) VALUES (3)');
  });
  await lease.release();
  expect(await valuesOf(pool)).toEqual([1, 2, 3]);
});

test('F21 a lease that is released inside its own transaction rolls it back, and its handle is refused', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const lease = await pool.acquire();
  const refused: unknown[] = [];
  const transaction = lease.transaction(async (tx) => {
    await tx.run('INSERT INTO t (v) VALUES (1)');
    await lease.release();
    refused.push(await failure(tx.run('INSERT INTO t (v) VALUES (2)')));
  });
  expect(await failure(transaction)).toMatchObject({ code: 'LEASE_ENDED' });
  expect(refused).toMatchObject([{ code: 'LEASE_ENDED' }]);
  expect(await valuesOf(pool)).toEqual([]);
  expect(pool.stats()).toMatchObject({ opens: 1, writerHeld: false });
});

test('a statement that fails without a rollback leaves its transaction going', async () => {
  const pool = await poolWithTable();
  await pool.transaction(async (tx) => {
    await tx.run('INSERT INTO t VALUES (1, 1)');
    expect(await failure(tx.run('INSERT INTO t VALUES (1, 2)'))).toMatchObject({
      sqliteCode: 'SQLITE_CONSTRAINT_PRIMARYKEY',
      errno: 1555,
    });
    await tx.run('INSERT INTO t VALUES (2, 2)');
  });
  expect(await valuesOf(pool)).toEqual([1, 2]);
});

test('F23 a script that fails midway rolls back the transaction it has begun, and frees the write lock', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const script = 'BEGIN; INSERT INTO t (v) VALUES (1); INSERT INTO missing VALUES (1); COMMIT';
  expect(await failure(pool.script(script))).toMatchObject({ code: 'SQLITE_ERROR' });
  expect(pool.stats().writerHeld).toBe(false);
  await pool.run('INSERT INTO t (v) VALUES (2)');
  expect(await valuesOf(pool)).toEqual([2]);
});

/** A file that is not in WAL mode, and a lease that reads it: no COMMIT succeeds before that has ended. */
async function fileWithReader(options: Parameters<typeof fileWithTable>[0] = {}) {
  const { pool } = await fileWithTable({ ...options, pragmas: { journal_mode: 'DELETE' } });
  await pool.run("INSERT INTO t (v) VALUES ('before')");
  const reader = await pool.acquire();
  await reader.iterate(`SELECT * FROM t, ${MANY}`).next();
  return { pool, reader };
}

test('F24 a COMMIT that meets a reader is tried again until the reader has ended, and commits once', async () => {
  const { pool, reader } = await fileWithReader();
  let commits = false;
  const committed = pool.transaction(async (tx) => {
    await tx.run("INSERT INTO t (v) VALUES ('after')");
    commits = true;
  });
  const alone = pool.run("INSERT INTO t (v) VALUES ('alone')");
  await vi.waitFor(() => {
    expect(commits).toBe(true);
  });
  await expect(Promise.race([committed, passes(200, 'waits')])).resolves.toBe('waits');
  await reader.release();
  await Promise.all([committed, alone]);
  expect(await valuesOf(pool)).toEqual(['before', 'after', 'alone']);
});

test.for([
  { until: 'acquireTimeoutMs', options: {}, error: { name: 'BusyError', code: 'SQLITE_BUSY', errno: 5 } },
  { until: 'its timeoutMs', options: { timeoutMs: 300 }, error: { code: 'STATEMENT_TIMEOUT' } },
])(
  'F24 a COMMIT that stays BUSY rejects at $until, rolls back, and the connection is good again',
  async ({ options, error }) => {
    const { pool, reader } = await fileWithReader({
      acquireTimeoutMs: 'timeoutMs' in options ? 30_000 : 300,
    });
    const took = await timed(async () => {
      const never = pool.transaction((tx) => tx.run("INSERT INTO t (v) VALUES ('never')"), options);
      expect(await failure(never)).toMatchObject({ ...error, statusCode: 503 });
    });
    expect(took).toBeGreaterThanOrEqual(299);
    expect(took).toBeLessThan(2000);
    await reader.release();
    await pool.transaction((tx) => tx.run("INSERT INTO t (v) VALUES ('after')"));
    expect(pool.stats().writerHeld).toBe(false);
    expect(await valuesOf(pool)).toEqual(['before', 'after']);
  },
);

test.for([new Error('mine'), 'a string', undefined, null, 0, Object.freeze({ frozen: true })])(
  'F26 a callback that throws %o rolls back, and exactly that is rethrown',
  async (thrown) => {
    const pool = await poolWithTable();
    const throws = (): never => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- what users throw is up to them
      throw thrown;
    };
    for (const fail of [throws, async () => throws()]) {
      const outcome = pool.transaction(async (tx) => {
        await tx.run('INSERT INTO t (v) VALUES (1)');
        await fail();
      });
      const settled = await outcome.then(
        () => 'resolved',
        (error: unknown) => ({ error }),
      );
      expect(settled).toEqual({ error: thrown });
    }
    expect(await valuesOf(pool)).toEqual([]);
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
  },
);

test('F27 a callback that never settles is cancelled at its timeoutMs, rolled back, and the write lock is free', async () => {
  const clock = fakeClock();
  const pool = await poolWithTable({ clock });
  const written = moment();
  let late: Queryable | undefined;
  const hanging = pool.transaction(
    async (tx) => {
      late = tx;
      await tx.run("INSERT INTO t (v) VALUES ('never')");
      written.reach();
      await new Promise(() => undefined);
    },
    { timeoutMs: 50 },
  );
  const next = pool.run("INSERT INTO t (v) VALUES ('next')");
  // However long the machine has needed for it: on its clock no time has passed.
  await written.reached;
  let isOver = false;
  const end = failure(hanging).finally(() => (isOver = true));
  await clock.advance(49);
  expect(isOver).toBe(false);
  await clock.advance(1);
  expect(await end).toMatchObject({ code: 'STATEMENT_TIMEOUT', statusCode: 503 });
  await next;
  expect(await valuesOf(pool)).toEqual(['next']);
  expect(await failure(late!.run('DELETE FROM t'))).toMatchObject({ code: 'LEASE_ENDED' });
  expect(await valuesOf(pool)).toEqual(['next']);
});

test('F28 an acquire inside a lease of a pool of one times out, and its error has where both were made', async () => {
  const pool = await poolWithTable({ poolSize: 1, acquireTimeoutMs: 500, leakWarningMs: 60_000 });
  const outer = await pool.acquire();
  const error = await failure(pool.acquire());
  await outer.release();
  expect(error).toMatchObject({ code: 'ACQUIRE_TIMEOUT', phase: 'wait', counts: { leased: 1, poolSize: 1 } });
  expect(error['holders']).toEqual([expect.stringContaining(import.meta.filename)]);
  expect(error.message).not.toContain(import.meta.filename);
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
});

test('F28 a write on the pool inside a transaction of the pool is refused at once, and the message names the call to change', async () => {
  const pool = await poolWithTable();
  const error = await failure(
    pool.transaction(async (tx) => {
      await tx.run('INSERT INTO t (v) VALUES (1)');
      await pool.run('INSERT INTO t (v) VALUES (2)');
    }),
  );
  expect(error).toMatchObject({ code: 'TRANSACTION_ACTIVE' });
  expect(error.message).toContain('await tx.run(');
  expect(await valuesOf(pool)).toEqual([]);
});

test('F29 a nested transaction is a savepoint: it can fail alone, and goes with the outer one', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.transaction(async (tx) => {
    await tx.run('INSERT INTO t (v) VALUES (1)');
    await tx.transaction(async (inner) => {
      await inner.run('INSERT INTO t (v) VALUES (2)');
      await failure(
        inner.transaction(async (innermost) => {
          await innermost.run('INSERT INTO t (v) VALUES (3)');
          throw new Error('innermost');
        }),
      );
    });
    await tx.run('INSERT INTO t (v) VALUES (4)');
  });
  expect(await valuesOf(pool)).toEqual([1, 2, 4]);
  await failure(
    pool.transaction(async (tx) => {
      await tx.transaction((inner) => inner.run('DELETE FROM t'));
      throw new Error('outer');
    }),
  );
  expect(await valuesOf(pool)).toEqual([1, 2, 4]);
});

const FOREIGN_KEY = `CREATE TABLE parent (id INTEGER PRIMARY KEY);
  CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`;

test.for(['get', 'run', 'all', 'execute'] as const)(
  'F32 %s with RETURNING rejects when the commit fails, and the row is not there',
  async (method) => {
    const pool = await poolWithTable({ poolSize: 1 });
    await pool.script(FOREIGN_KEY);
    const error = await failure(pool[method]('INSERT INTO child VALUES (1) RETURNING parent'));
    expect(error).toMatchObject({ sqliteCode: 'SQLITE_CONSTRAINT_FOREIGNKEY', errno: 787 });
    expect(await pool.get('SELECT count(*) AS n FROM child')).toEqual({ n: 0 });
  },
);

test('F32 a transaction whose COMMIT fails a deferred constraint rejects and is rolled back', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.script(FOREIGN_KEY);
  expect(
    await failure(pool.transaction((tx) => tx.get('INSERT INTO child VALUES (1) RETURNING parent'))),
  ).toMatchObject({ errno: 787 });
  expect(await pool.get('SELECT count(*) AS n FROM child')).toEqual({ n: 0 });
  expect(pool.stats().writerHeld).toBe(false);
});

test('F33 a commit that waits for a reader in DELETE mode waits in a thread, not in the event loop', async () => {
  const { pool, filename } = await fileWithTable({ pragmas: { journal_mode: 'DELETE' } });
  const other = poolOf({ filename, pragmas: { journal_mode: 'DELETE' } });
  await pool.script('INSERT INTO t (v) VALUES (1), (2)');
  const reader = await other.acquire();
  const rows = reader.iterate('SELECT * FROM t')[Symbol.asyncIterator]();
  await rows.next();
  let longest = 0;
  let last = performance.now();
  const ticks = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  setTimeout(() => void reader.release(), 1000);
  const row = await pool.get('INSERT INTO t (v) VALUES (3) RETURNING v');
  clearInterval(ticks);
  expect(row).toEqual({ v: 3 });
  expect(longest).toBeLessThan(500);
  expect(await valuesOf(other)).toEqual([1, 2, 3]);
});

test('F37 a deferred transaction that read before another wrote is recognised, and run again only if asked', async () => {
  const pool = await poolWithTable();
  let runs = 0;
  const upgrade = async (tx: Queryable): Promise<void> => {
    runs += 1;
    const row = await tx.get<{ n: number }>('SELECT count(*) AS n FROM t');
    if (runs === 1) await pool.run('INSERT INTO t (v) VALUES (?)', ['other']);
    await tx.run('INSERT INTO t (v) VALUES (?)', [row!.n]);
  };
  expect(await failure(pool.transaction(upgrade, { mode: 'deferred' }))).toMatchObject({
    code: 'SQLITE_BUSY',
    sqliteCode: 'SQLITE_BUSY_SNAPSHOT',
    errno: 517,
  });
  expect(runs).toBe(1);
  expect(await valuesOf(pool)).toEqual(['other']);
  runs = 0;
  await pool.transaction(upgrade, { mode: 'deferred', retries: 1 });
  expect(runs).toBe(2);
  expect(await valuesOf(pool)).toEqual(['other', 'other', 2]);
});
