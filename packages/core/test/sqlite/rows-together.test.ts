import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sqlite3, SqliteError, type SqlitePool, type Value } from '../../src/index.ts';
import { failure, poolOf, temporaryFile, timelessClock } from './helpers.ts';
import { recording } from './recording.ts';

/** A pool, and what SQLite was given by it since the last look. */
async function made(
  schema: string,
  { pragmas = {}, groupCommit = true } = {},
): Promise<{ pool: SqlitePool; texts: () => string[] }> {
  const { driver, texts } = recording({ filename: await temporaryFile(), pragmas });
  const pool = poolOf({ driver, groupCommit });
  await pool.script(schema);
  return { pool, texts: () => texts.splice(0).filter((sql) => /^(?:INSERT|BEGIN|COMMIT)/.test(sql)) };
}

/** Inserts that all wait for the same turn. */
async function together(
  pool: SqlitePool,
  sql: string,
  rows: readonly (readonly Value[])[],
): Promise<PromiseSettledResult<unknown>[]> {
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const ends = Promise.allSettled(rows.map((row) => pool.run(sql, row)));
  await lease.release();
  return await ends;
}

const told = (ends: readonly PromiseSettledResult<unknown>[]): unknown[] =>
  ends.map((end) =>
    end.status === 'fulfilled' ? end.value : end.reason instanceof SqliteError && end.reason.message,
  );

const PLAIN = 'CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)';
const INSERT = 'INSERT INTO t (v) VALUES (?)';
const range = (n: number): number[][] => Array.from({ length: n }, (_, i) => [i]);

test('rows that wait for the same turn go in by one call, and need no transaction', async () => {
  const { pool, texts } = await made(PLAIN);
  texts();
  const ends = await together(pool, INSERT, range(64));
  expect(told(ends)).toEqual(range(64).map((_, i) => ({ changes: 1, lastInsertRowid: i + 1 })));
  expect(texts().map((sql) => sql.split('?').length - 1)).toEqual([0, 64]);
  expect(await pool.all('SELECT v FROM t ORDER BY id')).toEqual(range(64).map(([v]) => ({ v })));
});

test('a row that fails does so alone, with its own error, and is found in few calls', async () => {
  const { pool, texts } = await made(PLAIN);
  await pool.run(INSERT, [40]);
  texts();
  const ends = await together(pool, INSERT, range(64));
  const failed = ends.flatMap((end, at) => (end.status === 'rejected' ? [at] : []));
  expect(failed).toEqual([40]);
  expect(ends[40]).toMatchObject({ reason: { sqliteCode: 'SQLITE_CONSTRAINT_UNIQUE' } });
  expect(texts().length).toBeLessThan(20);
  expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 64 });
});

test('a batch inserts its rows in few calls, each with its own result, and rejects with the error of the row that failed', async () => {
  const { pool, texts } = await made(PLAIN);
  texts();
  const results = await pool.batch(range(1000).map((row) => [INSERT, row]));
  expect(results.map(({ lastInsertRowid }) => lastInsertRowid)).toEqual(range(1000).map((_, i) => i + 1));
  expect(texts().length).toBeLessThan(22);
  const rows = [[1001], [1002], [7], [null], [1003]].map((row): [string, Value[]] => [
    INSERT,
    row as Value[],
  ]);
  const error = await failure(pool.transaction((tx) => tx.batch(rows)));
  expect(error).toMatchObject({ sqliteCode: 'SQLITE_CONSTRAINT_UNIQUE' });
  expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1000 });
});

test.for<[why: string, schema: string]>([
  ['a trigger', 'CREATE TABLE t (v); CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END'],
  ['a reference to itself', 'CREATE TABLE t (v PRIMARY KEY, p REFERENCES T (v))'],
  [
    'references from it and to it',
    'CREATE TABLE p (v PRIMARY KEY); CREATE TABLE t (v PRIMARY KEY, p REFERENCES p); CREATE TABLE c (t REFERENCES T)',
  ],
  ['a conflict clause', 'CREATE TABLE t (v UNIQUE ON CONFLICT FAIL)'],
  ['a column that hides the rowid', 'CREATE TABLE t (_RowId_, v)'],
  ['no rowid', 'CREATE TABLE t (v PRIMARY KEY) WITHOUT ROWID'],
  ['virtual rows', 'CREATE VIRTUAL TABLE t USING fts5 (v)'],
  [
    'rows of others',
    'CREATE TABLE u (v); CREATE VIEW t AS SELECT v FROM u; CREATE TRIGGER g INSTEAD OF INSERT ON t BEGIN INSERT INTO u VALUES (new.v); END',
  ],
  ['a default that counts', 'CREATE TABLE t (v, n DEFAULT (total_Changes ()))'],
])('rows of a table with %s go in one by one', async ([, schema]) => {
  // LIKE heeds case then.
  const { pool, texts } = await made(schema.toLowerCase(), { pragmas: { case_sensitive_like: true } });
  texts();
  const ends = await together(pool, INSERT, range(8));
  expect(ends.every(({ status }) => status === 'fulfilled')).toBe(true);
  expect(texts().filter((sql) => sql === INSERT)).toHaveLength(8);
});

test('a trigger that was made a moment ago is known to the next rows', async () => {
  const { pool, texts } = await made(PLAIN);
  await together(pool, INSERT, range(4));
  texts();
  await pool.transaction((tx) => tx.run('CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END'));
  await together(pool, INSERT, [[4], [5], [6], [7]]);
  expect(texts().filter((sql) => sql === INSERT)).toHaveLength(4);
});

test('a trigger that was dropped in a transaction that is rolled back is there for the next rows', async () => {
  const { pool, texts } = await made(`${PLAIN}; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END`);
  const [first, second] = [range(2), range(4).slice(2)].map((rows) =>
    rows.map((row): [string, Value[]] => [INSERT, row]),
  );
  await failure(
    pool.transaction(async (tx) => {
      await tx.run('DROP TRIGGER g');
      await tx.batch(first ?? []);
      throw new Error('after all, no');
    }),
  );
  texts();
  await pool.batch(second ?? []);
  expect(texts().filter((sql) => sql === INSERT)).toHaveLength(2);
});

test('a trigger of another process that swallows a row, made in the moment before, is told as an unknown outcome', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename, clock: timelessClock });
  await pool.script(PLAIN);
  await together(pool, INSERT, range(2));
  using other = new DatabaseSync(filename);
  other.exec('CREATE TRIGGER g BEFORE INSERT ON t WHEN new.v = 3 BEGIN SELECT RAISE(IGNORE); END');
  const ends = await together(pool, INSERT, [[2], [3], [4]]);
  expect(told(ends)).toEqual(Array(3).fill(expect.stringContaining('did not resolve to a result')));
  await expect.poll(() => pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
  expect(await pool.run(INSERT, [5])).toMatchObject({ changes: 1 });
});

test('rowids that JavaScript cannot hold as a number are told in full', async () => {
  const { pool } = await made(PLAIN);
  await pool.run("INSERT INTO t VALUES (9007199254740993, 'far')");
  expect(told(await together(pool, INSERT, range(2)))).toEqual([
    { changes: 1, lastInsertRowid: 9_007_199_254_740_994n },
    { changes: 1, lastInsertRowid: 9_007_199_254_740_995n },
  ]);
});

test('a driver may return integers as bigints', async () => {
  const driver = sqlite3({ filename: await temporaryFile() });
  const open = async () => {
    const connection = await driver.open();
    const execute = connection.execute.bind(connection);
    connection.execute = async (sql, ...rest) => {
      const result = await execute(sql, ...rest);
      const bigints = () => result.rows.map(({ id }) => ({ id: BigInt(id as number) }));
      return sql.startsWith('INSERT') ? { ...result, rows: bigints() } : result;
    };
    return connection;
  };
  const pool = poolOf({ driver: { ...driver, open } });
  await pool.script(PLAIN);
  expect(told(await together(pool, INSERT, range(2)))).toEqual([
    { changes: 1, lastInsertRowid: 1 },
    { changes: 1, lastInsertRowid: 2 },
  ]);
});

test('what is called for every row is called for every row', async () => {
  const { pool } = await made('CREATE TABLE t (v, r DEFAULT (random()), b DEFAULT (hex(randomblob(8))))');
  await together(pool, INSERT, range(32));
  expect(await pool.get('SELECT count(DISTINCT r) AS r, count(DISTINCT b) AS b FROM t')).toEqual({
    r: 32,
    b: 32,
  });
});

test('a row with a long value is run by itself, and those with many columns are no more than SQLite takes', async () => {
  const { pool, texts } = await made(PLAIN);
  texts();
  await together(pool, INSERT, [['x'.repeat(5000)], ['y'.repeat(5000)]]);
  expect(texts().filter((sql) => sql === INSERT)).toHaveLength(2);
  const columns = Array.from({ length: 300 }, (_, i) => `c${String(i)}`);
  await pool.script(`CREATE TABLE wide (${columns.join(', ')})`);
  texts();
  const wide = `INSERT INTO wide VALUES (${columns.map(() => '?').join(', ')})`;
  await together(pool, wide, Array<number[]>(32).fill(columns.map((_, i) => i)));
  expect(Math.max(...texts().map((sql) => sql.split('?').length - 1))).toBeLessThanOrEqual(4096);
});

test('a row whose caller gives up before its turn is not inserted, and the others go in together', async () => {
  const { pool, texts } = await made(PLAIN);
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  texts();
  const controllers = range(4).map(() => new AbortController());
  const ends = Promise.allSettled(
    controllers.map(({ signal }, v) => pool.run(INSERT, [v], { signal, timeoutMs: 5000 })),
  );
  controllers[1]?.abort(new Error('left'));
  await lease.release();
  expect((await ends).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
  ]);
  expect(await pool.all('SELECT v FROM t')).toEqual([{ v: 0 }, { v: 2 }, { v: 3 }]);
  expect(texts().map((sql) => sql.split('?').length - 1)).toEqual([3]);
});

const value = fc.oneof(
  fc.constantFrom<Value>(
    null,
    0,
    1,
    2,
    3,
    1.5,
    -7,
    '1',
    '2',
    'a',
    'b',
    '',
    new Uint8Array([1]),
    new Uint8Array(),
  ),
  fc.integer({ min: 0, max: 40 }),
);
const tables = [
  'CREATE TABLE t (a, b)',
  'CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE)',
  'CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT NOT NULL)',
  'CREATE TABLE t (a INTEGER NOT NULL, b REAL CHECK (b < 30), UNIQUE (a, b)) STRICT',
  'CREATE TABLE t (a TEXT PRIMARY KEY, b NUMERIC, c AS (b || a) STORED UNIQUE)',
  'CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2); CREATE TABLE t (a REFERENCES p, b REFERENCES p)',
  'CREATE TABLE t (a UNIQUE, b); CREATE UNIQUE INDEX i ON t (lower(b)) WHERE a > 1',
  // Orphans: a row that is a parent of one must not make up for a row without a parent.
  'PRAGMA foreign_keys = OFF; CREATE TABLE p (id PRIMARY KEY); CREATE TABLE t (a UNIQUE, b REFERENCES p); CREATE TABLE c (a REFERENCES t (a)); INSERT INTO c VALUES (0), (1), (2), (3); PRAGMA foreign_keys = ON',
];

test('whatever the table and the rows: all is as if each row had been inserted alone', async () => {
  const run = async (schema: string, rows: readonly (readonly Value[])[], inGroups: boolean) => {
    const { pool } = await made(schema, { groupCommit: inGroups });
    const ends = told(await together(pool, 'INSERT INTO t (a, b) VALUES (?, ?)', rows));
    const content = await pool.all('SELECT rowid, typeof(a) AS ta, typeof(b) AS tb, * FROM t ORDER BY rowid');
    await pool.close();
    return { ends, content };
  };
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...tables),
      fc.array(fc.tuple(value, value), { minLength: 2, maxLength: 40 }),
      async (schema, rows) => {
        expect(await run(schema, rows, true)).toEqual(await run(schema, rows, false));
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);
