import { constants } from 'node:buffer';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import type { ExecuteHint } from '../../../src/driver.ts';
import { fromDriver } from '../../../src/driver-errors.ts';
import { RECOMMENDED_PRAGMAS } from '../../../src/index.ts';
import { ARRAYS, ALL_WAYS, connect, INSERT, newFile, OTHER, read, rowsOf, run } from './helpers.ts';

// A Buffer is a Uint8Array.
expect.addEqualityTesters([
  (one: unknown, other: unknown) =>
    one instanceof Uint8Array && other instanceof Uint8Array ? Buffer.compare(one, other) === 0 : undefined,
]);

const RETURNING: ExecuteHint = { ...INSERT, returnsRows: true };

describe.for(ALL_WAYS)('the driver %s', ([name, make]) => {
  const open = async () => await connect(make({ filename: ':memory:', threads: 1 }));
  const onFile = async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    return [await connect(driver), await connect(driver)] as const;
  };

  test('binds a whole number as an integer', async () => {
    const connection = await open();
    const sql = "SELECT 'user' || ?, ? / 2, typeof(?), typeof(?), json_array(?)";
    const values = [1, 1, 2 ** 40, 1.5, 7];
    expect(await rowsOf(connection, sql, values)).toEqual([['user1', 0, 'integer', 'real', '[7]']]);
  });

  test('reads every integer of 64 bits exactly, and the others as numbers', async () => {
    const connection = await open();
    const values = [2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n, 5];
    for (let again = 0; again < 2; again += 1)
      expect(await rowsOf(connection, 'SELECT ?, ?, ?, ?, 1.0', values)).toEqual([[...values, 1]]);
    expect(await rowsOf(connection, 'SELECT ?, ?, ?, ?, 1.0', [1, 2, 3, 4])).toEqual([[1, 2, 3, 4, 1]]);
    expect(await rowsOf(connection, 'SELECT -9223372036854775808')).toEqual([[-(2n ** 63n)]]);
    expect(await rowsOf(connection, 'SELECT -9223372036854775808.0')).toEqual([[-(2 ** 63)]]);
  });

  test('a write does not fail after its row is in, however large its numbers are', async () => {
    const connection = await open();
    await run(connection, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n)');
    const large = 2n ** 60n + 1n;
    const sql = 'INSERT INTO t VALUES (?, ?)';
    expect((await connection.execute(sql, [large, large], INSERT)).lastInsertRowid).toBe(large);
    const next = await connection.execute(`${sql} RETURNING *`, [large + 1n, 3], RETURNING);
    expect(next).toMatchObject({ rows: [{ id: large + 1n, n: 3 }], changes: 1, lastInsertRowid: large + 1n });
  });

  test('counts what RETURNING has changed, and nothing for what changes nothing', async () => {
    const connection = await open();
    await run(connection, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n)');
    const sql = 'INSERT INTO t (n) VALUES (1), (2) RETURNING n';
    expect(await connection.execute(sql, [], RETURNING)).toMatchObject({ changes: 2, lastInsertRowid: 2 });
    const none = { changes: 0, lastInsertRowid: 0 };
    expect(await read(connection, 'SELECT 1')).toMatchObject(none);
    expect(await connection.execute('CREATE TABLE u (x)', [], OTHER)).toMatchObject(none);
    const update = { ...RETURNING, effect: 'change' } as const;
    const updated = await connection.execute('UPDATE t SET n = 5 RETURNING id', [], update);
    expect(updated).toMatchObject({ changes: 2, lastInsertRowid: 0 });
  });

  test('binds named and numbered parameters by the order of their numbers', async () => {
    const connection = await open();
    expect(await rowsOf(connection, 'SELECT :a, @b, :a, $c', [1, 2, 3])).toEqual([[1, 2, 1, 3]]);
    expect(await rowsOf(connection, 'SELECT ?2, ?1, ?2', ['x', 'y'])).toEqual([['y', 'x', 'y']]);
    expect(await rowsOf(connection, "SELECT ?3, ?, :n, ':n'", [1, 2, 3, 4, 5])).toEqual([[3, 4, 5, ':n']]);
  });

  test('names a column as its text says, also when that has a parameter in it', async () => {
    const connection = await open();
    expect((await read(connection, "SELECT :a, :a + 1 AS b, '?'", [1])).columns).toEqual([':a', 'b', "'?'"]);
    expect((await read(connection, 'SELECT ? + 1', [1])).rows).toEqual([{ '? + 1': 2 }]);
  });

  test('keeps two columns of one name in arrays, the last in objects, and any name in either', async () => {
    const connection = await open();
    const sql = 'SELECT 1 AS id, 2 AS "__proto__", 3 AS id, 4 AS "1"';
    const arrays = await connection.execute(sql, [], ARRAYS);
    expect([arrays.columns, arrays.rows]).toEqual([['id', '__proto__', 'id', '1'], [[1, 2, 3, 4]]]);
    const [row = {}] = (await read(connection, sql)).rows;
    expect(Object.entries(row).sort()).toEqual(Object.entries({ 1: 4, ['__proto__']: 2, id: 3 }).sort());
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
  });

  test('knows the columns of a result without rows', async () => {
    const connection = await open();
    expect(await read(connection, 'SELECT 1 AS a, 2 AS b WHERE 0')).toMatchObject({
      rows: [],
      columns: ['a', 'b'],
    });
    expect((await connection.execute('CREATE TABLE t (n)', [], OTHER)).columns).toEqual([]);
  });

  test('names the columns of SELECT * as they are, after any change of the table', async () => {
    const [connection, other] = await onFile();
    await run(connection, 'CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)');
    const star = async () => (await read(connection, 'SELECT * FROM t')).rows;
    for (let again = 0; again < 3; again += 1) expect(await star()).toEqual([{ a: 1 }]);
    await run(other, 'ALTER TABLE t ADD COLUMN b DEFAULT 2');
    for (let again = 0; again < 3; again += 1) expect(await star()).toEqual([{ a: 1, b: 2 }]);
    await run(connection, 'ALTER TABLE t RENAME COLUMN b TO c');
    expect(await star()).toEqual([{ a: 1, c: 2 }]);
    expect(await connection.execute('DELETE FROM t RETURNING *', [], RETURNING)).toMatchObject({
      rows: [{ a: 1, c: 2 }],
    });
    // SQLite looks for the column in what it knows of the schema, before it looks whether that is current.
    await read(other, 'SELECT * FROM t');
    await run(other, 'ALTER TABLE t DROP COLUMN c');
    await run(connection, 'INSERT INTO t (a) VALUES (5)');
    const again = await connection.execute('DELETE FROM t RETURNING *', [], RETURNING);
    expect(again.rows).toEqual([{ a: 5 }]);
  });

  test('names them as they are after an ALTER TABLE that was rolled back, and another one', async () => {
    const [connection, other] = await onFile();
    await run(connection, 'CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)');
    const star = async () => (await read(connection, 'SELECT * FROM t')).rows;
    for (const end of ['ROLLBACK', 'method', 'savepoint', 'error']) {
      expect(await star()).toEqual([{ a: 1 }]);
      await run(connection, 'BEGIN IMMEDIATE', 'SAVEPOINT s', 'ALTER TABLE t RENAME COLUMN a TO x');
      for (let again = 0; again < 3; again += 1) expect(await star()).toEqual([{ x: 1 }]);
      if (end === 'ROLLBACK') await run(connection, 'ROLLBACK');
      else if (end === 'method') await connection.rollback();
      else if (end === 'savepoint') await run(connection, 'ROLLBACK TO s', 'COMMIT');
      else {
        await run(connection, 'CREATE UNIQUE INDEX i ON t (x)');
        await expect(run(connection, 'INSERT OR ROLLBACK INTO t VALUES (1)')).rejects.toThrow('UNIQUE');
      }
      await read(other, 'SELECT * FROM t');
      await run(other, 'ALTER TABLE t RENAME COLUMN a TO b');
      for (let again = 0; again < 3; again += 1) expect(await star()).toEqual([{ b: 1 }]);
      await run(other, 'ALTER TABLE t RENAME COLUMN b TO a');
    }
  });

  test('names the columns of a temporary table and of an attached file as they are', async () => {
    const [connection, other] = await onFile();
    const filename = await newFile();
    const outside = await connect(make({ filename }));
    await run(outside, 'CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)');
    await run(connection, 'CREATE TEMP TABLE own (a)', 'INSERT INTO own VALUES (1)');
    await run(other, `ATTACH '${filename}' AS outside`);
    const own = async () => (await read(connection, 'SELECT * FROM own')).rows;
    const attached = async () => (await read(other, 'SELECT * FROM outside.t')).rows;
    expect([await own(), await attached()]).toEqual([[{ a: 1 }], [{ a: 1 }]]);
    await run(connection, 'ALTER TABLE own RENAME COLUMN a TO b');
    await run(outside, 'ALTER TABLE t RENAME COLUMN a TO b');
    expect([await own(), await attached()]).toEqual([[{ b: 1 }], [{ b: 1 }]]);
  });

  test('refuses a text without a statement, or with two', async () => {
    const connection = await open();
    for (const sql of ['', '-- nothing', ';', 'SELECT 1; SELECT 2', 'SELECT 1\0'])
      await expect(read(connection, sql), sql).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(connection.script?.('SELECT ?')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(connection.script?.('-- nothing')).resolves.toBeUndefined();
    expect((await read(connection, 'SELECT 1 AS n;')).rows).toEqual([{ n: 1 }]);
  });

  test('takes no text in double quotes', async () => {
    const connection = await open();
    await expect(read(connection, 'SELECT "text"')).rejects.toThrow('no such column');
  });

  // node:sqlite of Node.js 22 does not.
  test.skipIf(process.version.startsWith('v22.') && name.startsWith('node'))(
    'refuses what would corrupt the file',
    async () => {
      const connection = await open();
      await run(connection, 'CREATE TABLE t (n)', 'PRAGMA writable_schema = ON');
      await expect(run(connection, 'DELETE FROM sqlite_schema')).rejects.toThrow('may not be modified');
    },
  );

  test('rejects with the extended result code', async () => {
    const connection = await open();
    await run(connection, 'CREATE TABLE t (id INTEGER PRIMARY KEY, n INT UNIQUE CHECK (n > 0)) STRICT');
    await run(connection, 'INSERT INTO t VALUES (1, 1)');
    const codeOf = async (sql: string): Promise<unknown> =>
      await connection.execute(sql, [], INSERT).catch((error: unknown) => fromDriver(error));
    expect(await codeOf('INSERT INTO t VALUES (2, 1)')).toMatchObject({
      sqliteCode: 'SQLITE_CONSTRAINT_UNIQUE',
      errno: 2067,
    });
    expect(await codeOf('INSERT INTO t VALUES (1, 2)')).toMatchObject({
      sqliteCode: 'SQLITE_CONSTRAINT_PRIMARYKEY',
    });
    expect(await codeOf("INSERT INTO t VALUES (2, 'x')")).toMatchObject({
      sqliteCode: 'SQLITE_CONSTRAINT_DATATYPE',
    });
    expect(await codeOf('INSERT INTO t VALUES (2, 0)')).toMatchObject({
      sqliteCode: 'SQLITE_CONSTRAINT_CHECK',
    });
    expect(await codeOf('SELEC 1')).toMatchObject({ sqliteCode: 'SQLITE_ERROR', errno: 1 });
  });

  test('a statement that failed, or had large values, or a long text, can be run again', async () => {
    const connection = await open();
    await run(connection, 'CREATE TABLE t (n UNIQUE)');
    const insert = async (value: string) =>
      await connection.execute('INSERT INTO t VALUES (?)', [value], INSERT);
    for (const value of ['a', 'x'.repeat(100_000), 'b']) {
      await insert(value);
      await expect(insert(value)).rejects.toThrow('UNIQUE');
    }
    const long = `SELECT count(*) AS n FROM t -- ${'x'.repeat(100_000)}\n`;
    for (let again = 0; again < 2; again += 1)
      expect((await read(connection, long)).rows).toEqual([{ n: 3 }]);
    const blob = new Uint8Array(200_000).fill(7);
    expect(await rowsOf(connection, 'SELECT ?, length(?)', [blob, blob])).toEqual([[blob, 200_000]]);
  });

  test('reads a large result', async () => {
    const connection = await open();
    const sql =
      "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 10000) SELECT x, x / 2.0 AS h, 'text ' || x AS t FROM c";
    const { rows } = await read(connection, sql);
    expect(rows).toHaveLength(10_000);
    expect([rows[0], rows[9999]]).toEqual([
      { x: 1, h: 0.5, t: 'text 1' },
      { x: 10_000, h: 5000, t: 'text 10000' },
    ]);
  });

  // Before Node.js 24.15 only the extension can set the limit, and in this thread it is not loaded.
  test.skipIf(
    !Object.hasOwn(new DatabaseSync(':memory:'), 'limits') && name === 'node:sqlite, in this thread',
  )('F74 refuses a text that no string of V8 can hold, and stores nothing of it', async () => {
    const connection = await open();
    await run(connection, 'CREATE TABLE t (v)');
    const long = `CAST(zeroblob(${String(constants.MAX_STRING_LENGTH + 1)}) AS TEXT)`;
    const tooBig = expect.objectContaining({ sqliteCode: 'SQLITE_TOOBIG', errno: 18 }) as unknown;
    const failed = async (call: Promise<unknown> | undefined): Promise<unknown> =>
      await Promise.resolve(call).catch((error: unknown) => fromDriver(error));
    const insert = `INSERT INTO t VALUES (${long}) RETURNING v`;
    expect(await failed(read(connection, `SELECT ${long}`))).toEqual(tooBig);
    expect(await failed(connection.iterate?.(`SELECT ${long}`, []).next())).toEqual(tooBig);
    expect(await failed(connection.execute(insert, [], RETURNING))).toEqual(tooBig);
    const [outcome] =
      (await connection.batch?.([{ sql: insert, params: [], hint: RETURNING }], 'abort')) ?? [];
    expect(outcome).toMatchObject({ status: 'failed', error: { errno: 18 } });
    expect((await read(connection, 'SELECT count(*) AS n FROM t')).rows).toEqual([{ n: 0 }]);
  });

  test('sets the PRAGMAs that are asked for, and leaves all others as SQLite has them', async () => {
    const valueOf = async (options: object, name: string) => {
      const connection = await connect(make({ filename: await newFile(), ...options }));
      return (await rowsOf(connection, `PRAGMA ${name}`))[0];
    };
    expect(await valueOf({}, 'busy_timeout')).toEqual([0]);
    expect(await valueOf({ pragmas: { busy_timeout: 7 } }, 'busy_timeout')).toEqual([7]);
    expect(await valueOf({ pragmas: { ...RECOMMENDED_PRAGMAS } }, 'busy_timeout')).toEqual([0]);
    expect(await valueOf({}, 'foreign_keys')).toEqual([1]);
    expect(await valueOf({ pragmas: false }, 'foreign_keys')).toEqual([0]);
    expect(await valueOf({}, 'journal_mode')).toEqual(['wal']);
    expect(await valueOf({ pragmas: false }, 'journal_mode')).toEqual(['delete']);
  });

  test('loads no extension by SQL', async () => {
    const connection = await open();
    await expect(read(connection, "SELECT load_extension('nothing')")).rejects.toThrow('not authorized');
  });

  test('opens read-only what exists', async () => {
    const filename = await newFile();
    const [writer] = [await connect(make({ filename }))];
    await run(writer, 'CREATE TABLE t (n)');
    const reader = await connect(make({ filename, readonly: true }));
    expect((await read(reader, 'SELECT count(*) AS n FROM t')).rows).toEqual([{ n: 0 }]);
    await expect(run(reader, 'INSERT INTO t VALUES (1)')).rejects.toMatchObject({ errno: 8 });
    const missing = make({ filename: await newFile(), readonly: true });
    await expect(missing.open()).rejects.toMatchObject({ code: 'OPEN_FAILED', reason: 'missing-file' });
    // The pool makes checkpoints of a WAL whose size it knows, and they fail on a connection that only reads.
    expect([make({ filename }).walBytes === undefined, missing.walBytes]).toEqual([false, undefined]);
  });

  test('says why a file cannot be opened, and makes no empty one in the place of one that is gone', async () => {
    const filename = await newFile();
    const nowhere = make({ filename: `${filename}/no/app.db` });
    await expect(nowhere.open()).rejects.toMatchObject({ reason: 'missing-directory' });
    const { open: openFile } = make({ filename });
    const connection = await openFile();
    await connection.close();
    const { rm, writeFile } = await import('node:fs/promises');
    await rm(filename);
    await expect(openFile()).rejects.toMatchObject({ reason: 'missing-file' });
    await writeFile(filename, 'this is no database, but long enough to be taken for one'.repeat(20));
    await expect(openFile()).rejects.toMatchObject({ reason: 'not-a-database' });
  });
});
