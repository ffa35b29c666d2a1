import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { BatchStatement, Queryable, Result, SqlitePool } from '../../src/index.ts';
import { RequestLease } from '../../src/plugin.ts';
import { ENDLESS, failure, poolOf, poolWithTable, temporaryFile, valuesOf } from './helpers.ts';
import { recording } from './recording.ts';

const INSERT = 'INSERT INTO t (v) VALUES (?)';

/** Everything that has the query methods, in autocommit and in a transaction. */
const HANDLES: readonly {
  readonly what: string;
  readonly on: <T>(pool: SqlitePool, use: (db: Queryable) => Promise<T>) => Promise<T>;
}[] = [
  { what: 'the pool', on: (pool, use) => use(pool) },
  { what: 'a lease', on: (pool, use) => pool.connection(use) },
  { what: 'a transaction', on: (pool, use) => pool.transaction(use) },
  { what: 'a nested transaction', on: (pool, use) => pool.transaction((tx) => tx.transaction(use)) },
  {
    what: 'a lease with a BEGIN by hand',
    on: (pool, use) =>
      pool.connection(async (lease) => {
        await lease.run('BEGIN');
        const result = await use(lease);
        await lease.run('COMMIT');
        return result;
      }),
  },
  {
    what: "a request's db",
    on: (pool, use) =>
      use(new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'POST' })),
  },
];

test.for(HANDLES)(
  'batch() on $what runs all statements, in order, with a result for each',
  async ({ on }) => {
    const pool = await poolWithTable();
    const results = await on(pool, (db) =>
      db.batch([
        [INSERT, ['a']],
        ['INSERT INTO t (v) VALUES (:v) RETURNING id, v', { v: 'b' }],
        ["UPDATE t SET v = v || '!'"],
        'SELECT count(*) AS n FROM t',
      ]),
    );
    expect(results).toEqual([
      { rows: [], columns: [], changes: 1, lastInsertRowid: 1 },
      { rows: [{ id: 2, v: 'b' }], columns: ['id', 'v'], changes: 1, lastInsertRowid: 2 },
      { rows: [], columns: [], changes: 2, lastInsertRowid: 0 },
      { rows: [{ n: 2 }], columns: ['n'], changes: 0, lastInsertRowid: 0 },
    ]);
    expect(await valuesOf(pool)).toEqual(['a!', 'b!']);
  },
);

test.for(HANDLES)(
  'batch() on $what keeps nothing when a statement fails, and what is around it goes on',
  async ({ on }) => {
    const pool = await poolWithTable();
    await on(pool, async (db) => {
      await db.run(INSERT, ['before']);
      const error = await failure(
        db.batch([[INSERT, ['a']], 'INSERT INTO t (id) VALUES (1)', [INSERT, ['b']]]),
      );
      expect(error).toMatchObject({ sqliteCode: 'SQLITE_CONSTRAINT_PRIMARYKEY' });
      expect(await db.batch([])).toEqual([]);
      await db.run(INSERT, ['after']);
    });
    expect(await valuesOf(pool)).toEqual(['before', 'after']);
    expect(pool.stats()).toMatchObject({ writerHeld: false });
  },
);

test('batch() is one transaction and as few calls as there are statements, and two', async () => {
  const { driver, texts } = recording({ filename: await temporaryFile() });
  const pool = poolOf({ driver });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const from = texts.length;
  await pool.batch([[INSERT, [1]], 'UPDATE t SET v = 2']);
  await pool.batch(['SELECT 1', 'SELECT 2']);
  await pool.transaction((tx) => tx.batch(['SELECT 1', 'SELECT 2']));
  expect(texts.slice(from)).toEqual([
    ...['BEGIN IMMEDIATE', INSERT, 'UPDATE t SET v = 2', 'COMMIT'],
    ...['BEGIN', 'SELECT 1', 'SELECT 2', 'COMMIT'],
    ...['BEGIN IMMEDIATE', 'SELECT 1', 'SELECT 2', 'COMMIT'],
  ]);
});

test('a batch that only reads sees one state of the file, and waits for no writer', async () => {
  const pool = await poolWithTable();
  await pool.run(INSERT, [1]);
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  await lease.run(INSERT, [2]);
  const count = 'SELECT count(*) AS n FROM t';
  const [first, second] = await pool.batch([count, count]);
  expect([first?.rows, second?.rows]).toEqual([[{ n: 1 }], [{ n: 1 }]]);
  await lease.release();
});

test.for<[string, readonly BatchStatement[]]>([
  ['Statement 2 of the batch: The statement has 1 parameter, but none were given.', ['SELECT 1', INSERT]],
  ['Statement 1 of the batch: The statement has 1 parameter, but 2 were given.', [[INSERT, [1, 2]]]],
  ['Statement 1 of the batch: The SQL text has more than one statement.', ['SELECT 1; SELECT 2']],
  ['Statement 3 of the batch: batch() begins and commits by itself', ['SELECT 1', 'SELECT 2', 'COMMIT']],
  ['Statement 1 of the batch: batch() begins and commits by itself', ['SAVEPOINT a']],
  // What JavaScript can pass.
  ['Statement 1 of the batch: A statement is a text, or [text, parameters].', [7 as unknown as string]],
  ['Statement 1 of the batch: A statement is a text, or', [['SELECT 1', [], {}] as unknown as string]],
  ['Statement 1 of the batch: SQL must be a string', [[] as unknown as string]],
  ['batch() takes an array', 'SELECT 1' as unknown as string[]],
])('batch() says %s', async ([message, statements]) => {
  const pool = await poolWithTable();
  const { acquires } = pool.stats();
  const error = await failure(pool.batch(statements));
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(error.message).toContain(message);
  expect(pool.stats().acquires).toBe(acquires);
  expect(await failure(pool.batch([], { rowMode: 'array' } as object))).toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
});

test.for(HANDLES.slice(0, 2))(
  'F40 batch() on $what that is cancelled keeps nothing, and its connection is good',
  async ({ on }) => {
    const pool = await poolWithTable({ poolSize: 1 });
    await on(pool, async (db) => {
      const cancelled = failure(
        db.batch([[INSERT, ['cancelled']], ENDLESS, [INSERT, ['never']]], { timeoutMs: 100 }),
      );
      // On a lease it waits for the lock, and must not become part of the batch.
      const beside = db.run(INSERT, ['beside']);
      expect(await cancelled).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
      await beside;
    });
    expect(await valuesOf(pool)).toEqual(['beside']);
    expect(pool.stats()).toMatchObject({ opens: 1, writerHeld: false });
  },
);

test('F22 a batch in a transaction that SQLite rolls back takes the transaction with it', async () => {
  const pool = await poolWithTable();
  const lost = pool.transaction(async (tx) => {
    await tx.run(INSERT, ['a']);
    const error = await failure(tx.batch([[INSERT, ['b']], 'INSERT OR ROLLBACK INTO t (id) VALUES (1)']));
    expect(error).toMatchObject({ sqliteCode: 'SQLITE_CONSTRAINT_PRIMARYKEY' });
    expect(await failure(tx.batch(['SELECT 1']))).toMatchObject({ code: 'TRANSACTION_LOST' });
    await tx.batch([[INSERT, ['c']]]);
  });
  expect(await failure(lost)).toMatchObject({ code: 'TRANSACTION_LOST' });
  expect(await valuesOf(pool)).toEqual([]);
});

test('batch() on a lease or a transaction with a transaction inside it is refused', async () => {
  const pool = await poolWithTable();
  await pool.connection((lease) =>
    lease.transaction(async (tx) => {
      expect(await failure(lease.batch(['SELECT 1']))).toMatchObject({ code: 'TRANSACTION_ACTIVE' });
      await tx.transaction(async () => {
        expect(await failure(tx.batch(['SELECT 1']))).toMatchObject({ code: 'TRANSACTION_ACTIVE' });
      });
    }),
  );
});

const rows = (...values: number[]): BatchStatement[] => values.map((value) => [INSERT, [value]]);

test.for<[why: string, statements: BatchStatement[]]>([
  [
    'asks what the row before has changed',
    [...rows(1, 2, 3), 'SELECT changes() AS changes, last_insert_rowid() AS id', ...rows(4, 5)],
  ],
  [
    'makes a trigger that ignores a row',
    ['CREATE TRIGGER g BEFORE INSERT ON t WHEN new.v = 2 BEGIN SELECT RAISE(IGNORE); END', ...rows(1, 2, 3)],
  ],
  [
    'makes another table of it',
    ['DROP TABLE t', 'CREATE TABLE t (id, v PRIMARY KEY) WITHOUT ROWID', ...rows(1, 2, 3)],
  ],
])('a batch that %s has the same results as its statements one by one', async ([, statements]) => {
  const oneByOne = async (tx: Queryable): Promise<Result[]> => {
    const results = [];
    for (const statement of statements) results.push(...(await tx.batch([statement])));
    return results;
  };
  const [batch, single] = [await poolWithTable(), await poolWithTable()];
  expect(await batch.batch(statements)).toEqual(await single.transaction(oneByOne));
  expect(await valuesOf(batch)).toEqual(await valuesOf(single));
});

test('after a batch on a lease, changes() is that of its last row', async () => {
  const pool = await poolWithTable();
  await using lease = await pool.acquire();
  await lease.batch(rows(1, 2, 3));
  expect(await lease.get('SELECT changes() AS changes')).toEqual({ changes: 1 });
});

test('rows of a batch in a deferred transaction wait for the writer before them, and are not refused because of it', async () => {
  const pool = await poolWithTable();
  const writer = await pool.acquire();
  await writer.run('BEGIN IMMEDIATE');
  const deferred = pool.transaction((tx) => tx.batch(rows(1, 2, 3)), { mode: 'deferred' });
  await setTimeout(20);
  await writer.run(INSERT, [0]);
  await writer.run('COMMIT');
  await writer.release();
  expect(await deferred).toHaveLength(3);
  expect(await valuesOf(pool)).toEqual([0, 1, 2, 3]);
});
