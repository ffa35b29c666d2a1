import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Pragmas, SqlitePool } from '../../src/index.ts';
import { failure, poolOf, temporaryFile } from './helpers.ts';
import { group } from './together.ts';

/** What the pool acknowledges is in the database exactly once, and what it rejects is not there. */

interface Partial {
  readonly what: string;
  readonly schema: string;
  readonly sql: string;
  readonly code: string;
  readonly pragmas?: Pragmas;
}

/** Statements that fail after they have changed rows, and whose changes SQLite keeps inside a transaction. */
const PARTIAL: readonly Partial[] = [
  {
    what: 'a type error of a STRICT table in an INSERT',
    schema: 'CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER) STRICT',
    sql: "INSERT INTO t (a) VALUES (1), ('x')",
    code: 'SQLITE_CONSTRAINT_DATATYPE',
  },
  {
    what: 'a type error of a STRICT table in an UPDATE',
    schema:
      "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b ANY) STRICT; INSERT INTO t (a, b) VALUES (0, 1), (0, 'x')",
    sql: 'UPDATE t SET a = b',
    code: 'SQLITE_CONSTRAINT_DATATYPE',
  },
  {
    what: 'an error inside a function',
    schema: "CREATE TABLE t (a, doc); INSERT INTO t VALUES (0, '[5]'), (0, 'no json')",
    sql: 'UPDATE t SET a = (SELECT value FROM json_each(t.doc) LIMIT 1)',
    code: 'SQLITE_ERROR',
  },
  {
    what: 'an overflow',
    schema:
      'CREATE TABLE t (a); CREATE TABLE s (g, v); INSERT INTO s VALUES (1, 1), (2, 9223372036854775807), (2, 1)',
    sql: 'INSERT INTO t SELECT sum(v) FROM s GROUP BY g',
    code: 'SQLITE_ERROR',
  },
  {
    what: 'a trigger that calls itself too often',
    schema:
      'CREATE TABLE t (a); CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO t VALUES (new.a + 1); END',
    sql: 'INSERT INTO t VALUES (1)',
    code: 'SQLITE_ERROR',
    pragmas: { recursive_triggers: true },
  },
  {
    what: 'a rowid of the wrong type',
    schema: 'CREATE TABLE t (id INTEGER PRIMARY KEY, a)',
    sql: "INSERT INTO t VALUES (1, 1), ('x', 2)",
    code: 'SQLITE_MISMATCH',
  },
  {
    what: 'a query of a full-text index that cannot be read',
    schema:
      "CREATE TABLE t (a, q); INSERT INTO t VALUES (0, 'word'), (0, '\"'); CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('word')",
    sql: 'UPDATE t SET a = (SELECT count(*) FROM f WHERE f MATCH t.q)',
    code: 'SQLITE_ERROR',
  },
  {
    what: 'a value that is too big',
    schema: 'CREATE TABLE t (a, n); INSERT INTO t VALUES (0, 1), (0, 2000000000)',
    sql: 'UPDATE t SET a = zeroblob(n)',
    code: 'SQLITE_TOOBIG',
  },
];

describe.each(PARTIAL)(
  'F67 a statement that fails halfway because of $what',
  ({ schema, sql, code, pragmas }) => {
    it('leaves nothing in a shared COMMIT, and the writes beside it are in, once', async () => {
      const pool = poolOf({ filename: await temporaryFile(), pragmas: { ...pragmas } });
      await pool.script(`${schema}; CREATE TABLE other (x)`);
      const before = await pool.all('SELECT * FROM t');
      const writes = [1, 2, 3].map((x) => pool.run('INSERT INTO other VALUES (?)', [x]));
      const failing = failure(pool.run(sql));
      const last = pool.run('UPDATE other SET x = x + 1');
      expect(await failing).toMatchObject({ sqliteCode: code });
      await Promise.all([...writes, last]);
      expect(await pool.all('SELECT * FROM t')).toEqual(before);
      expect(await pool.all('SELECT x FROM other ORDER BY x')).toEqual([{ x: 2 }, { x: 3 }, { x: 4 }]);
    });
  },
);

it.each(['FULL', 'NORMAL'])(
  'F68 one wrong value among concurrent INSERTs: as many rows as acknowledgements (synchronous %s)',
  async (synchronous) => {
    const pool = poolOf({ filename: await temporaryFile(), pragmas: { synchronous } });
    await pool.script('CREATE TABLE log (id INTEGER PRIMARY KEY, at INTEGER, line TEXT) STRICT');
    const write = (_: unknown, i: number) =>
      pool.run('INSERT INTO log (at, line) VALUES (?, ?)', [
        i % 10 === 7 ? 'yesterday' : i,
        `line ${String(i)}`,
      ]);
    const ends = await Promise.allSettled(Array.from({ length: 40 }, write));
    const acknowledged = ends.flatMap(({ status }, i) =>
      status === 'fulfilled' ? [`line ${String(i)}`] : [],
    );
    expect(acknowledged).toHaveLength(36);
    const rows = await pool.all<{ line: string }>('SELECT line FROM log');
    expect(rows.map(({ line }) => line).sort()).toEqual(acknowledged.sort());
  },
);

const TRIGGERS = [
  ['FAIL', "SELECT RAISE(FAIL, 'no')", 'rejected'],
  ['IGNORE', 'SELECT RAISE(IGNORE)', 'fulfilled'],
] as const;
const WAYS: readonly (readonly [string, (pool: SqlitePool, sql: string) => Promise<unknown>])[] = [
  ['run()', (pool, sql) => pool.run(sql)],
  ['script()', (pool, sql) => pool.script(sql)],
  ['a lease', (pool, sql) => pool.connection((lease) => lease.run(sql))],
];

describe.each(TRIGGERS)('F69 a trigger with RAISE(%s) that is made', (_, body, status) => {
  it.each(WAYS)(
    'by %s while writes wait acts on those after it, as if each had run alone',
    async (_way, make) => {
      const pool = poolOf({ filename: await temporaryFile() });
      await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)');
      const insert = (v: string) => pool.run('INSERT INTO t (v) VALUES (?)', [v]);
      const blocker = await pool.acquire();
      await blocker.run('BEGIN IMMEDIATE');
      const before = ['a0', 'b2', 'a1'].map(insert);
      await setImmediate();
      const made = make(pool, `CREATE TRIGGER tr BEFORE INSERT ON t WHEN new.v = 'b2' BEGIN ${body}; END`);
      while (pool.stats().writersWaiting < 4) await setImmediate();
      const after = ['b0', 'b1', 'b2', 'b3'].map(insert);
      await blocker.run('COMMIT');
      await blocker.release();
      await Promise.all([...before, made]);
      const ends = await Promise.allSettled(after);
      expect(ends.map((end) => end.status)).toEqual(['fulfilled', 'fulfilled', status, 'fulfilled']);
      if (ends[2]?.status === 'fulfilled') expect(ends[2].value.changes).toBe(0);
      const rows = await pool.all<{ v: string }>('SELECT v FROM t ORDER BY id');
      expect(rows.map(({ v }) => v)).toEqual(['a0', 'b2', 'a1', 'b0', 'b1', 'b3']);
    },
  );
});

it('F69 a deferred constraint that is made while writes wait is checked for each write after it', async () => {
  const pool = poolOf({ filename: await temporaryFile(), pragmas: { synchronous: 'FULL' } });
  await pool.script(
    'CREATE TABLE a (v); CREATE TABLE b (v); CREATE TABLE parent (id INTEGER PRIMARY KEY, x)',
  );
  const blocker = await pool.acquire();
  await blocker.run('BEGIN IMMEDIATE');
  const before = ['a', 'b'].map((table) => pool.run(`INSERT INTO ${table} VALUES (0)`));
  await setImmediate();
  const made = pool.run('CREATE TABLE child (p REFERENCES parent DEFERRABLE INITIALLY DEFERRED)');
  while (pool.stats().writersWaiting < 3) await setImmediate();
  const first = pool.run('INSERT INTO a VALUES (1)');
  const orphan = failure(pool.run('INSERT INTO child VALUES (1)'));
  const parent = pool.run('INSERT INTO parent (id) VALUES (1)');
  await blocker.run('COMMIT');
  await blocker.release();
  await Promise.all([...before, made, first, parent]);
  expect(await orphan).toMatchObject({ sqliteCode: 'SQLITE_CONSTRAINT_FOREIGNKEY' });
});

it('F69 a connection on which every foreign key is deferred until the next COMMIT does not share it', async () => {
  const pool = poolOf({
    filename: await temporaryFile(),
    poolSize: 2,
    onConnect: async (connection) => {
      await connection.execute('PRAGMA defer_foreign_keys = ON');
    },
  });
  await pool.script('CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p REFERENCES parent)');
  const blocker = await pool.acquire();
  await blocker.run('BEGIN IMMEDIATE');
  // The group gets a connection of its own, which has not committed yet.
  const ends = Promise.allSettled([
    pool.run('INSERT INTO child VALUES (1)'),
    pool.run('INSERT INTO parent VALUES (1)'),
  ]);
  while (pool.stats().leased < 2) await setImmediate();
  await blocker.run('COMMIT');
  await blocker.release();
  expect((await ends).map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
});

it('INSERTs with the same text reach SQLite one by one, as they were written, in a group and in a batch', async () => {
  const { pool, together } = await group('CREATE TABLE t (v)');
  const sql = 'INSERT INTO t VALUES (?)';
  const values = Array.from({ length: 20 }, (_, v) => v);
  const { texts } = await together([
    ...values.map((v) => () => pool.run(sql, [v])),
    () => pool.batch(values.map((v) => [sql, [v]])),
  ]);
  expect(texts.filter((text) => text.includes('INSERT'))).toEqual(Array.from({ length: 40 }, () => sql));
});
