import { describe, expect, test } from 'vitest';
import type { BatchOutcome, Connection, Value } from '../../../src/driver.ts';
import { ALL_WAYS, connect, INSERT, newFile, read, READ, rowsOf, run } from './helpers.ts';

const TABLE = 'CREATE TABLE t (id INTEGER PRIMARY KEY, n UNIQUE)';

/** Inserts one row for each value. */
async function insert(
  connection: Connection,
  onError: 'abort' | 'continue',
  values: readonly Value[],
  sql = 'INSERT INTO t (n) VALUES (?)',
): Promise<readonly BatchOutcome[]> {
  const statements = values.map((value) => ({ sql, params: [value], hint: INSERT }));
  return (await connection.batch?.(statements, onError)) ?? [];
}

function statusesOf(outcomes: readonly BatchOutcome[]): string[] {
  return outcomes.map(({ status }) => status);
}

/** The message of each error. */
function errorsOf(outcomes: readonly BatchOutcome[]): string[] {
  return outcomes.flatMap((outcome) => (outcome.status === 'done' ? [] : [(outcome.error as Error).message]));
}

describe.for(ALL_WAYS)('a batch of the driver %s', ([, make]) => {
  const open = async (...statements: string[]) => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const connection = await connect(driver);
    await run(connection, ...statements);
    const other = await connect(driver);
    return {
      connection,
      valuesSeenByOthers: async () => (await rowsOf(other, 'SELECT n FROM t ORDER BY id')).flat(),
    };
  };

  test('commits all of its statements, and gives the result of each', async () => {
    const { connection, valuesSeenByOthers } = await open(TABLE);
    const returning = {
      sql: 'INSERT INTO t (n) VALUES (?) RETURNING id, n',
      params: [7],
      hint: { ...INSERT, returnsRows: true },
    };
    const arrays = { sql: 'SELECT n FROM t', params: [], hint: { ...READ, rowMode: 'array' as const } };
    const outcomes = await connection.batch?.([returning, arrays], 'abort');
    expect(outcomes).toEqual([
      {
        status: 'done',
        result: { rows: [{ id: 1, n: 7 }], columns: ['id', 'n'], changes: 1, lastInsertRowid: 1 },
      },
      { status: 'done', result: { rows: [[7]], columns: ['n'], changes: 0, lastInsertRowid: 0 } },
    ]);
    expect(connection.inTransaction()).toBe(false);
    expect(await valuesSeenByOthers()).toEqual([7]);
    expect(await connection.batch?.([], 'continue')).toEqual([]);
  });

  test('with "abort" keeps nothing when one fails', async () => {
    const { connection, valuesSeenByOthers } = await open(TABLE);
    const outcomes = await insert(connection, 'abort', [1, 2, 1, 3]);
    expect(statusesOf(outcomes)).toEqual(['undone', 'undone', 'failed', 'undone']);
    expect(errorsOf(outcomes)).toEqual(Array(4).fill('UNIQUE constraint failed: t.n'));
    expect([connection.inTransaction(), await valuesSeenByOthers()]).toEqual([false, []]);
  });

  test('with "continue" keeps the others when one fails', async () => {
    const { connection, valuesSeenByOthers } = await open(TABLE);
    const outcomes = await insert(connection, 'continue', [1, 2, 1, 3]);
    expect(statusesOf(outcomes)).toEqual(['done', 'done', 'failed', 'done']);
    expect(outcomes[3]).toMatchObject({ result: { changes: 1, lastInsertRowid: 3 } });
    expect(await valuesSeenByOthers()).toEqual([1, 2, 3]);
  });

  test('with "continue" undoes all that a failed statement has done, also where SQLite does not', async () => {
    // An error that "cannot happen" has no statement journal: the first row of it stays if nobody undoes it.
    const { connection, valuesSeenByOthers } = await open(
      'CREATE TABLE t (id INTEGER PRIMARY KEY, n INT) STRICT',
    );
    const sql = 'INSERT INTO t (n) SELECT value FROM json_each(?)';
    const outcomes = await insert(connection, 'continue', ['[1]', '[2, "x"]', '[3]'], sql);
    expect(statusesOf(outcomes)).toEqual(['done', 'failed', 'done']);
    expect(await valuesSeenByOthers()).toEqual([1, 3]);
  });

  test.for(['abort', 'continue'] as const)(
    'with "%s" says of each that nothing was kept when SQLite rolls back',
    async (onError) => {
      const { connection, valuesSeenByOthers } = await open(TABLE);
      const outcomes = await insert(
        connection,
        onError,
        [1, 2, 1, 3],
        'INSERT OR ROLLBACK INTO t (n) VALUES (?)',
      );
      expect(statusesOf(outcomes)).toEqual(['undone', 'undone', 'failed', 'undone']);
      expect([connection.inTransaction(), await valuesSeenByOthers()]).toEqual([false, []]);
    },
  );

  const DEFERRED_KEYS = [
    'CREATE TABLE parent (id INTEGER PRIMARY KEY)',
    'CREATE TABLE t (id INTEGER PRIMARY KEY, n REFERENCES parent DEFERRABLE INITIALLY DEFERRED)',
  ];

  test('with "abort" says so too when the COMMIT fails', async () => {
    const { connection, valuesSeenByOthers } = await open(...DEFERRED_KEYS);
    const outcomes = await insert(connection, 'abort', [null, 5]);
    expect(statusesOf(outcomes)).toEqual(['undone', 'undone']);
    expect(errorsOf(outcomes)).toEqual(Array(2).fill('FOREIGN KEY constraint failed'));
    expect([connection.inTransaction(), await valuesSeenByOthers()]).toEqual([false, []]);
  });

  test('with "continue" undoes all where constraints are checked at the COMMIT only', async () => {
    const { connection, valuesSeenByOthers } = await open(TABLE);
    expect(statusesOf(await insert(connection, 'continue', [1, 2]))).toEqual(['done', 'done']);
    await run(connection, 'DROP TABLE t', ...DEFERRED_KEYS);
    for (const values of [
      [null, 5],
      [null, null],
    ]) {
      const outcomes = await insert(connection, 'continue', values);
      expect(statusesOf(outcomes)).toEqual(['undone', 'undone']);
      expect(errorsOf(outcomes)[0]).toContain('checked at the COMMIT');
    }
    // Of one statement alone the COMMIT tells enough.
    expect(statusesOf(await insert(connection, 'continue', [5]))).toEqual(['undone']);
    expect(statusesOf(await insert(connection, 'continue', [null]))).toEqual(['done']);
    expect([connection.inTransaction(), await valuesSeenByOthers()]).toEqual([false, [null]]);
  });

  test('that only reads waits for nobody who writes, and goes on after one that fails', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const connection = await connect(driver);
    const other = await connect(driver);
    await run(other, TABLE, 'BEGIN IMMEDIATE', 'INSERT INTO t (n) VALUES (1)');
    const reads = ['SELECT count(*) AS n FROM t', 'SELECT * FROM nowhere', 'SELECT 2 AS n'];
    const batch = reads.map((sql) => ({ sql, params: [], hint: READ }));
    expect(await connection.batch?.(batch, 'continue')).toMatchObject([
      { status: 'done', result: { rows: [{ n: 0 }] } },
      { status: 'failed' },
      { status: 'done', result: { rows: [{ n: 2 }] } },
    ]);
    expect(statusesOf((await connection.batch?.(batch, 'abort')) ?? [])).toEqual([
      'undone',
      'failed',
      'undone',
    ]);
    expect(connection.inTransaction()).toBe(false);
  });

  test('is a part of the open transaction', async () => {
    const { connection, valuesSeenByOthers } = await open(TABLE);
    await run(connection, 'BEGIN IMMEDIATE', 'INSERT INTO t (n) VALUES (1)');
    expect(statusesOf(await insert(connection, 'abort', [2, 1]))).toEqual(['undone', 'failed']);
    expect(statusesOf(await insert(connection, 'continue', [3, 1]))).toEqual(['done', 'failed']);
    expect(statusesOf(await insert(connection, 'abort', [4]))).toEqual(['done']);
    expect([connection.inTransaction(), await valuesSeenByOthers()]).toEqual([true, []]);
    await run(connection, 'COMMIT');
    expect(await valuesSeenByOthers()).toEqual([1, 3, 4]);
  });

  test('says that the open transaction is gone when SQLite has rolled it back', async () => {
    const { connection, valuesSeenByOthers } = await open(
      TABLE,
      'BEGIN IMMEDIATE',
      'INSERT INTO t (n) VALUES (1)',
    );
    const outcomes = await insert(
      connection,
      'continue',
      [2, 1, 3],
      'INSERT OR ROLLBACK INTO t (n) VALUES (?)',
    );
    expect(statusesOf(outcomes)).toEqual(['undone', 'failed', 'undone']);
    expect([connection.inTransaction(), await valuesSeenByOthers()]).toEqual([false, []]);
  });

  test('rejects when it cannot begin, and has done nothing', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const connection = await connect(driver);
    const other = await connect(driver);
    await run(other, TABLE, 'BEGIN IMMEDIATE');
    await expect(insert(connection, 'continue', [1])).rejects.toMatchObject({ errno: 5 });
    await other.rollback();
    expect(statusesOf(await insert(connection, 'continue', [1]))).toEqual(['done']);
  });

  test('refuses a statement that begins or ends a transaction', async () => {
    const { connection } = await open(TABLE);
    const hint = { ...INSERT, effect: 'none' as const };
    for (const sql of ['BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s', 'RELEASE s'])
      await expect(connection.batch?.([{ sql, params: [], hint }], 'abort')).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
  });

  test('with a text that is no SQL fails as a batch does', async () => {
    const { connection, valuesSeenByOthers } = await open(TABLE);
    const good = { sql: 'INSERT INTO t (n) VALUES (?)', params: [1], hint: INSERT };
    const bad = { sql: 'INSERT INTO nowhere VALUES (?)', params: [1], hint: INSERT };
    expect(statusesOf((await connection.batch?.([bad, good], 'continue')) ?? [])).toEqual(['failed', 'done']);
    const another = { ...good, params: [2] };
    expect(statusesOf((await connection.batch?.([another, bad], 'abort')) ?? [])).toEqual([
      'undone',
      'failed',
    ]);
    expect(await valuesSeenByOthers()).toEqual([1]);
    expect((await read(connection, 'SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
  });
});
