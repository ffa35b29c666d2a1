import assert from 'node:assert/strict';
import type { ExecuteHint, Result, Value } from '../../driver.ts';
import {
  cases,
  CHANGE,
  failure,
  INSERT,
  inTime,
  OTHER,
  READ,
  RETURNING,
  run,
  scalar,
  type DriverCase,
} from './bench.ts';

const VALUES: readonly Value[] = [
  null,
  0,
  1,
  -1,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 31,
  2 ** 32 + 1,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  0.1,
  -1e300,
  '',
  'text',
  "it's",
  'a\u0000b',
  '\u{1f600} \u00fc \u65e5',
  new Uint8Array(0),
  Uint8Array.from({ length: 256 }, (_, at) => at),
];

export const VALUE_CASES: readonly DriverCase[] = cases({
  'returns every value as it was bound': async ({ connection }) => {
    // The column `v` has no type, so it stores the value as it was bound. The column `i` is for integers, because not
    // every driver can bind an integer as one.
    await run(connection, 'CREATE TABLE t (i INTEGER, v)');
    for (const value of VALUES) {
      await run(connection, 'DELETE FROM t');
      const column = typeof value === 'number' && Number.isInteger(value) ? 'i' : 'v';
      await inTime(connection.execute(`INSERT INTO t (${column}) VALUES (?)`, [value], INSERT));
      const read = await scalar(connection, `SELECT ${column} FROM t`);
      assert.deepEqual(read instanceof Uint8Array ? new Uint8Array(read) : read, value);
    }
  },
  'keeps a blob a blob and a string a string, also when they are empty': async ({ connection }) => {
    const sql = 'SELECT typeof(?) || typeof(?) || typeof(?) || typeof(?)';
    const types = await scalar(connection, sql, [new Uint8Array(0), '', null, 1.5]);
    assert.equal(types, 'blobtextnullreal');
  },
  'binds a bigint exactly, or refuses it': async ({ connection }) => {
    await run(connection, 'CREATE TABLE t (i INTEGER)');
    for (const value of [5n, -5n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      await run(connection, 'DELETE FROM t');
      const bound = await inTime(connection.execute('INSERT INTO t VALUES (?)', [value], INSERT)).then(
        () => true,
        () => false,
      );
      if (bound) assert.equal(await scalar(connection, 'SELECT CAST(i AS TEXT) FROM t'), String(value));
    }
  },
  'binds parameters in order, and rows keep the order of their columns': async ({ connection }) => {
    const { rows } = await inTime(connection.execute('SELECT ? AS b, ? AS a', ['first', 'second'], READ));
    assert.deepEqual(
      rows.map((row) => Object.entries(row)),
      [
        [
          ['b', 'first'],
          ['a', 'second'],
        ],
      ],
    );
  },
  'binds named and numbered parameters by their numbers, also one that stands twice': async ({
    connection,
  }) => {
    const hint: ExecuteHint = { ...READ, rowMode: 'array' };
    const answer = async (sql: string): Promise<unknown> =>
      (await inTime(connection.execute(sql, ['first', 'second'], hint))).rows;
    assert.deepEqual(await answer('SELECT :b, :a, :b'), [['first', 'second', 'first']]);
    assert.deepEqual(await answer('SELECT ?2, ?1, ?2'), [['second', 'first', 'second']]);
    assert.deepEqual(await answer('SELECT @x, $y, @x'), [['first', 'second', 'first']]);
  },
  'names columns as they are after an ALTER TABLE, with a statement that ran before it': async ({
    connection,
    connect,
  }) => {
    await run(connection, 'CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)');
    const all = async (): Promise<unknown> =>
      (await inTime(connection.execute('SELECT * FROM t', [], READ))).rows.map((row) => Object.entries(row));
    assert.deepEqual(await all(), [[['a', 1]]]);
    await run(await connect(), 'ALTER TABLE t ADD COLUMN b DEFAULT 2', 'ALTER TABLE t RENAME COLUMN a TO c');
    assert.deepEqual(await all(), [
      [
        ['c', 1],
        ['b', 2],
      ],
    ]);
  },
  'gives two columns of one name both, in rowMode "array"': async ({ connection }) => {
    const hint: ExecuteHint = { ...READ, rowMode: 'array' };
    const { rows, columns } = await inTime(connection.execute('SELECT 1 AS id, 2 AS id, 3 AS n', [], hint));
    assert.deepEqual([rows, columns], [[[1, 2, 3]], ['id', 'id', 'n']]);
  },
  'F83 resolves to arrays that no other result has': async ({ connection }) => {
    await run(connection, 'CREATE TABLE t (a, b)', 'INSERT INTO t VALUES (1, 2)');
    const calls: readonly [string, ExecuteHint][] = [
      ['SELECT a, b FROM t', READ],
      ['SELECT a, b FROM t', { ...READ, rowMode: 'array' }],
      ['SELECT a, b FROM t WHERE a = 9', READ],
      ['DELETE FROM t WHERE a = 9', CHANGE],
      ['BEGIN', OTHER],
      ['COMMIT', OTHER],
    ];
    const results: unknown[] = [];
    for (const [sql, hint] of [...calls, ...calls]) {
      const result = await inTime(connection.execute(sql, [], hint));
      results.push(structuredClone(result));
      (result.columns as string[]).reverse();
      (result.columns as string[]).push('changed');
      result.rows.push({ changed: 1 });
    }
    assert.deepEqual(results.slice(calls.length), results.slice(0, calls.length));
  },
});

export const COUNT_CASES: readonly DriverCase[] = cases({
  'counts the changes of this statement only, and its newest rowid': async ({ connection }) => {
    const counts = async (sql: string, hint: ExecuteHint): Promise<[number, number]> => {
      const { changes, lastInsertRowid } = await inTime(connection.execute(sql, [], hint));
      return [changes, Number(lastInsertRowid)];
    };
    await run(connection, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n)');
    assert.deepEqual(await counts('INSERT INTO t VALUES (7, 1), (8, 1)', INSERT), [2, 8]);
    assert.equal((await counts('UPDATE t SET n = 2', CHANGE))[0], 2);
    assert.equal((await counts('UPDATE t SET n = 3 WHERE id = 99', CHANGE))[0], 0);
    assert.equal((await counts('SELECT * FROM t', READ))[0], 0);
    await counts('INSERT INTO t VALUES (9, 1)', INSERT);
    assert.equal((await counts('CREATE TABLE u (x)', OTHER))[0], 0);
    assert.equal((await counts('DELETE FROM t', CHANGE))[0], 3);
  },
  'F32 commits an INSERT … RETURNING before it resolves, and counts it': async ({ connection, connect }) => {
    await run(connection, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n)');
    const inserted: Result = await inTime(
      connection.execute('INSERT INTO t (n) VALUES (5) RETURNING id', [], RETURNING),
    );
    assert.deepEqual(
      inserted.rows.map((row) => ({ ...row })),
      [{ id: 1 }],
    );
    assert.deepEqual([inserted.changes, Number(inserted.lastInsertRowid)], [1, 1]);
    assert.equal(await scalar(await connect(), 'SELECT count(*) FROM t'), 1);
  },
  'F32 rejects an INSERT … RETURNING whose commit fails, and keeps nothing of it': async ({ connection }) => {
    await run(
      connection,
      'PRAGMA foreign_keys = ON',
      'CREATE TABLE parent (id INTEGER PRIMARY KEY)',
      'CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED)',
    );
    const error = await failure(() =>
      connection.execute('INSERT INTO child VALUES (1) RETURNING parent', [], RETURNING),
    );
    assert.match(error, /^SQLITE_CONSTRAINT/);
    await inTime(connection.rollback());
    assert.equal(await scalar(connection, 'SELECT count(*) FROM child'), 0);
  },
});
