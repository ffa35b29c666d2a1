import { constants } from 'node:buffer';
import { expect, test } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { sqlite3, type Sqlite3Options } from '../../src/drivers/sqlite3/sqlite3.ts';
import { failure, poolOf, temporaryFile } from './helpers.ts';

/** With the driver that has `maxValueBytes`, and would end the process without it. */
async function poolWithTable(options: Omit<Sqlite3Options, 'filename'> = {}): Promise<SqlitePool> {
  const pool = poolOf({ driver: sqlite3({ filename: await temporaryFile(), ...options }), poolSize: 1 });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  return pool;
}

const TOO_BIG = { code: 'SQLITE_ERROR', sqliteCode: 'SQLITE_TOOBIG', errno: 18 };

test.for([
  'SELECT CAST(zeroblob(540000000) AS TEXT) AS v',
  'SELECT zeroblob(540000000) AS v',
  'INSERT INTO t (v) VALUES (CAST(zeroblob(540000000) AS TEXT)) RETURNING v',
])('F74 a value that no string of V8 can hold is a typed error, and the process goes on: %s', async (sql) => {
  const pool = await poolWithTable();
  expect(540_000_000).toBeGreaterThan(constants.MAX_STRING_LENGTH);
  expect(await failure(pool.all(sql))).toMatchObject(TOO_BIG);
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
  expect(pool.stats()).toMatchObject({ opens: 1, leased: 0, writerHeld: false });
});

test('F74 maxValueBytes is for strings, blobs and rows, read, bound, stepped through or put together by SQLite', async () => {
  const pool = await poolWithTable({ maxValueBytes: 1_000_000 });
  const long = 'x'.repeat(600_000);
  await pool.run('INSERT INTO t (v) VALUES (?)', [long]);
  expect(await pool.get('SELECT v FROM t')).toEqual({ v: long });
  const refused = [
    failure(pool.all('SELECT v || v FROM t')),
    failure(pool.all("SELECT group_concat(v, '') FROM (SELECT v FROM t UNION ALL SELECT v FROM t)")),
    failure(pool.get('SELECT ?', ['x'.repeat(1_000_001)])),
    failure(pool.run('INSERT INTO t (v) VALUES (?)', [new Uint8Array(1_000_001)])),
    failure(pool.iterate('SELECT v || v FROM t').next()),
    failure(pool.script('INSERT INTO t (v) SELECT v || v FROM t')),
    failure(pool.transaction((tx) => tx.run('UPDATE t SET v = v || v'))),
  ];
  for (const error of await Promise.all(refused)) expect(error).toMatchObject(TOO_BIG);
  expect(await pool.get('SELECT v FROM t')).toEqual({ v: long });
});

test('F74 bytes that are more than a C int counts are refused before they are copied, and not stored as nothing', async () => {
  const pool = await poolWithTable();
  // Nothing is written to it, so it takes no memory.
  const error = await failure(pool.run('INSERT INTO t (v) VALUES (?)', [new Uint8Array(2 ** 31)]));
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(await pool.all('SELECT * FROM t')).toEqual([]);
});
