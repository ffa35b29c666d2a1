import { setImmediate, setTimeout } from 'node:timers/promises';
import sqlite3 from 'sqlite3';
import { expect, test } from 'vitest';
import type {
  BatchStatement,
  Connection,
  Driver,
  Queryable,
  Result,
  SqlitePool,
  Value,
} from '../../src/index.ts';
import { failure, moment, poolOf, poolWithTable, temporaryFile, timed, valuesOf } from './helpers.ts';
import { recording } from './recording.ts';

/** Where rows that go in together must be told from each other, or must not go in together. */

const INSERT = 'INSERT INTO t (v) VALUES (?)';
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const rows = (...values: Value[]): BatchStatement[] => values.map((value) => [INSERT, [value]]);

/** Inserts that all wait for the same turn, and what became of each. */
async function together(pool: SqlitePool, values: readonly Value[]): Promise<unknown[]> {
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const ends = values.map((value) =>
    pool.run(INSERT, [value]).catch((error: unknown) => (error as Error).message),
  );
  await lease.release();
  return await Promise.all(ends);
}

/** The sqlite3 driver, of whose answers to some texts others are made. */
async function answering(
  about: RegExp,
  answer: (run: () => Promise<Result>) => Promise<unknown>,
): Promise<Driver> {
  const { driver } = recording({ filename: await temporaryFile() });
  const open = async (): Promise<Connection> => {
    const connection = await driver.open();
    return new Proxy(connection, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          const run = (): unknown => Reflect.apply(value, target, args);
          return name === 'execute' && about.test(String(args[0]))
            ? answer(run as () => Promise<Result>)
            : run();
        };
      },
    });
  };
  return { ...driver, open };
}

test.for([2, 8, 70])(
  'of %i rows that waited for the lock of another process, that of a caller who was told so does not go in',
  async (count) => {
    const filename = await temporaryFile();
    const pool = poolOf({ filename, acquisitionTimeoutMs: 400 });
    await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const other = new sqlite3.Database(filename);
    const exec = (sql: string): Promise<void> =>
      new Promise((done) =>
        other.exec(sql, () => {
          done();
        }),
      );
    await exec('BEGIN IMMEDIATE');
    const before = failure(pool.run('DELETE FROM t'));
    await setTimeout(150);
    const first = failure(pool.run(INSERT, [0]));
    const unlocked = first.then(() => exec('COMMIT'));
    await setTimeout(150);
    const others = Promise.all(range(count - 1).map((i) => pool.run(INSERT, [i + 1])));
    expect([await before, await first]).toMatchObject([{ code: 'SQLITE_BUSY' }, { code: 'SQLITE_BUSY' }]);
    await others;
    await unlocked;
    await new Promise((done) => {
      other.close(done);
    });
    expect(await valuesOf(pool)).toEqual(range(count).slice(1));
  },
);

test('a row that is cut while its rows wait for the lock of another process does not go in', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const other = new sqlite3.Database(filename);
  const exec = (sql: string): Promise<void> =>
    new Promise((done) =>
      other.exec(sql, () => {
        done();
      }),
    );
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const others = [1, 2].map((v) => pool.run(INSERT, [v]));
  const cut = failure(pool.run(INSERT, [3], { timeoutMs: 150 }));
  await lease.run('COMMIT');
  await exec('BEGIN IMMEDIATE');
  await lease.release();
  expect(await cut).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  await exec('COMMIT');
  await Promise.all(others);
  await new Promise((done) => {
    other.close(done);
  });
  expect(await valuesOf(pool)).toEqual([1, 2]);
});

test('nobody waits for ever behind a row that does not return, when rows that have failed are tried one by one', async () => {
  let calls = 0;
  const driver = await answering(/^INSERT.*\(\?\)$/, (run) => {
    calls += 1;
    return calls === 3 ? new Promise(() => undefined) : run();
  });
  const pool = poolOf({ driver, operationTimeoutMs: 100 });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)');
  await pool.run(INSERT, [1]);
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const ends = [
    failure(pool.run(INSERT, [1])),
    failure(pool.run(INSERT, [2], { timeoutMs: 50 })),
    failure(pool.run(INSERT, [3])),
  ];
  await lease.release();
  const codes = (await Promise.all(ends)).map(({ code, sqliteCode }) => sqliteCode ?? code);
  expect(codes).toEqual(['SQLITE_CONSTRAINT_UNIQUE', 'STATEMENT_TIMEOUT', 'OPERATION_TIMEOUT']);
});

test('rows whose callers give up behind a write that does not return do not go in when it does', async () => {
  const [running, free] = [moment(), moment()];
  const driver = await answering(/^UPDATE/, async (run) => {
    running.reach();
    await free.reached;
    return await run();
  });
  const pool = poolOf({ driver });
  // With such a constraint somewhere no COMMIT is shared: the rows come after the UPDATE, and not in one transaction with it.
  await pool.script(
    'CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (v REFERENCES t DEFERRABLE INITIALLY DEFERRED)',
  );
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const [first, others] = [new AbortController(), new AbortController()];
  const update = failure(pool.run('UPDATE t SET v = 0', [], { signal: first.signal }));
  const rows = [1, 2].map((v) => failure(pool.run(INSERT, [v], { signal: others.signal })));
  const last = pool.run('INSERT INTO t (id, v) VALUES (9, 9)');
  await lease.release();
  await running.reached;
  const enough = new Error('enough');
  first.abort(enough);
  expect(await update).toBe(enough);
  // The rows are next, and wait for the call to return.
  await setImmediate();
  others.abort(enough);
  expect(await Promise.all(rows)).toEqual([enough, enough]);
  free.reach();
  expect(await last).toMatchObject({ changes: 1 });
  expect(await valuesOf(pool)).toEqual([9]);
  expect(pool.stats()).toMatchObject({ writerHeld: false, leased: 0, quarantined: 0 });
});

test.for<[why: string, statements: BatchStatement[]]>([
  [
    'asks what the row before has changed',
    [...rows(1, 2, 3), 'SELECT changes() AS changes, last_insert_rowid() AS id', ...rows(4, 5)],
  ],
  [
    'makes a trigger that swallows a row',
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

test('rows of a batch that fail only together are kept', async () => {
  const pool = await poolWithTable();
  await using lease = await pool.acquire();
  (lease.raw as sqlite3.Database).configure('limit', sqlite3.LIMIT_VARIABLE_NUMBER, 3);
  const results = await lease.batch(rows(...range(9)));
  expect(results.map(({ lastInsertRowid }) => lastInsertRowid)).toEqual(range(9).map((i) => i + 1));
  expect(await valuesOf(lease)).toEqual(range(9));
});

test.for<[what: string, answer: (result: Result) => unknown]>([
  ['rows without names', (result) => ({ ...result, rows: result.rows.map(Object.values) })],
  ['no rows', (result) => ({ ...result, rows: [] })],
  ['no result', () => undefined],
])('rows are not inserted twice when a driver answers with %s', async ([, answer]) => {
  const driver = await answering(/RETURNING/, async (run) => answer(await run()));
  const pool = poolOf({ driver });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const unknown: unknown = expect.stringContaining('did not resolve to a result');
  expect(await together(pool, [1, 2, 3])).toEqual([unknown, unknown, unknown]);
  expect(await valuesOf(pool)).toEqual([1, 2, 3]);
  expect(await failure(pool.batch(rows(4, 5, 6)))).toMatchObject({ sqliteCode: 'UNKNOWN' });
  expect(await valuesOf(pool)).toEqual([1, 2, 3]);
});

test('when the question about a table gets no answer, its rows go in one by one', async () => {
  const driver = await answering(/table_list/, () => Promise.reject(new Error('no such table')));
  const pool = poolOf({ driver });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  await pool.batch(rows(0, 1, 2));
  await together(pool, [3, 4]);
  expect(await valuesOf(pool)).toEqual(range(5));
});

test('nobody waits for ever behind a question about a table that does not return, or beyond a limit of his own', async () => {
  const driver = await answering(/table_list/, () => new Promise(() => undefined));
  const pool = poolOf({ driver, operationTimeoutMs: 100 });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const late: unknown = expect.stringContaining('longer than 100 ms (operationTimeoutMs)');
  expect(await together(pool, [1, 2, 3])).toEqual([late, late, late]);
  expect(await pool.run(INSERT, [1])).toMatchObject({ changes: 1 });
  expect(await failure(pool.batch(rows(1, 2, 3)))).toMatchObject({ code: 'OPERATION_TIMEOUT' });
});

test('a limit of a batch cuts the question about its table', async () => {
  const driver = await answering(/table_list/, async (run) => {
    await setTimeout(1000);
    return await run();
  });
  const pool = poolOf({ driver });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const ms = await timed(() => failure(pool.batch(rows(1, 2, 3), { timeoutMs: 50 })));
  expect(ms).toBeLessThan(500);
});

test('a row that fails is found in few calls, and rows that all fail take hardly more than one call each', async () => {
  const { driver, texts } = recording({ filename: await temporaryFile() });
  const pool = poolOf({ driver });
  await pool.script('CREATE TABLE t (v UNIQUE)');
  await pool.run(INSERT, [0]);
  texts.splice(0);
  await together(pool, Array<number>(64).fill(0));
  expect(texts.filter((sql) => sql.startsWith(INSERT))).toHaveLength(1 + 8 + 64);
  expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 });
});
