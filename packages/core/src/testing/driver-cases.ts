import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecuteHint, Result, Row, Value } from '../driver.ts';
import { BATCH_CASES, HALF_WAY } from './driver-batch-cases.ts';
import {
  cases,
  CHANGE,
  ENDLESS,
  failure,
  INSERT,
  inTime,
  onBench,
  OTHER,
  READ,
  RETURNING,
  run,
  scalar,
  type DriverCase,
} from './driver-bench.ts';
import { FILE_LOCK_CASES, SERVER_LOCK_CASES } from './driver-lock-cases.ts';

export { type DriverCase } from './driver-bench.ts';

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

const VALUE_CASES = cases({
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

const COUNT_CASES = cases({
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

const ERROR_CASES = cases({
  'rejects with an error that carries the result code': async ({ connection }) => {
    await run(connection, 'CREATE TABLE t (n UNIQUE)', 'INSERT INTO t VALUES (1)');
    const unique = await failure(() => connection.execute('INSERT INTO t VALUES (1)', [], INSERT));
    assert.match(unique, /^SQLITE_CONSTRAINT/);
    const syntax = await failure(() => connection.execute('SELEC 1', [], READ));
    assert.equal(syntax, 'SQLITE_ERROR');
  },
  'names the constraint that was broken, with its extended code': async ({ connection, driver }) => {
    await run(
      connection,
      'PRAGMA foreign_keys = ON',
      'CREATE TABLE p (id INTEGER PRIMARY KEY)',
      'CREATE TABLE t (id PRIMARY KEY, a NOT NULL, b CHECK (b > 0), c UNIQUE, d REFERENCES p)',
      'INSERT INTO t VALUES (1, 1, 1, 1, NULL)',
    );
    const codes: string[] = [];
    for (const values of [
      '(1, 1, 1, 2, 0)',
      '(2, NULL, 1, 2, 0)',
      '(2, 1, 0, 2, 0)',
      '(2, 1, 1, 1, 0)',
      '(2, 1, 1, 2, 7)',
    ])
      codes.push(await failure(() => connection.execute(`INSERT INTO t VALUES ${values}`, [], INSERT)));
    assert.deepEqual(
      codes,
      [
        // A server that sends only the text of the error says the same of both.
        driver.locks === 'server' ? 'UNIQUE' : 'PRIMARYKEY',
        ...['NOTNULL', 'CHECK', 'UNIQUE', 'FOREIGNKEY'],
      ].map((name) => `SQLITE_CONSTRAINT_${name}`),
    );
  },
  'keeps nothing of a statement that fails half-way outside a transaction': async ({ connection }) => {
    await run(connection, 'CREATE TABLE t (n INTEGER) STRICT', 'CREATE TABLE u (n UNIQUE)');
    await failure(() => connection.execute(HALF_WAY, [], INSERT));
    await failure(() => connection.execute('INSERT INTO u VALUES (1), (2), (1)', [], INSERT));
    assert.equal(await scalar(connection, 'SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM u)'), 0);
  },
  'is not poisoned by a statement that broke a constraint': async ({ connection }) => {
    await run(connection, 'CREATE TABLE t (n UNIQUE)', 'INSERT INTO t VALUES (1)');
    const insert = (n: number): Promise<Result> =>
      connection.execute('INSERT INTO t VALUES (?)', [n], INSERT);
    assert.match(await failure(() => insert(1)), /^SQLITE_CONSTRAINT/);
    await inTime(insert(2));
    await run(connection, 'BEGIN IMMEDIATE');
    assert.match(await failure(() => insert(2)), /^SQLITE_CONSTRAINT/);
    await inTime(insert(3));
    await run(connection, 'COMMIT');
    assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), 3);
  },
});

const TRANSACTION_CASES = cases({
  'rolls back what is open, and resolves if nothing is': async ({ connection }) => {
    await run(connection, 'CREATE TABLE t (n)');
    await inTime(connection.rollback());
    await run(connection, 'BEGIN', 'INSERT INTO t VALUES (1)');
    await inTime(connection.rollback());
    await inTime(connection.rollback());
    assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), 0);
    await run(connection, 'BEGIN', 'INSERT INTO t VALUES (1)', 'COMMIT');
    assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), 1);
  },
  'refuses a BEGIN inside a transaction': async ({ connection }) => {
    await run(connection, 'BEGIN');
    await failure(() => connection.execute('BEGIN', [], OTHER));
    await inTime(connection.rollback());
    await run(connection, 'BEGIN', 'COMMIT');
  },
  'knows whether a transaction is open, also after SQLite has rolled it back by itself': async ({
    connection,
  }) => {
    const open = async (): Promise<boolean> => await connection.inTransaction();
    await run(connection, 'CREATE TABLE t (n UNIQUE)', 'INSERT INTO t VALUES (1)');
    assert.equal(await open(), false);
    await run(connection, 'BEGIN');
    assert.equal(await open(), true);
    await failure(() => connection.execute('INSERT OR ROLLBACK INTO t VALUES (1)', [], INSERT));
    assert.equal(await open(), false);
  },
  'runs a script up to the first statement that fails': async ({ connection }) => {
    const runScript = connection.script?.bind(connection);
    if (runScript === undefined) return;
    await inTime(
      runScript("CREATE TABLE t (n UNIQUE); INSERT INTO t VALUES (';'); -- a comment; at the end"),
    );
    const script = 'INSERT INTO t VALUES (1); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);';
    assert.match(await failure(() => runScript(script)), /^SQLITE_CONSTRAINT/);
    const { rows } = await inTime(connection.execute('SELECT n FROM t ORDER BY rowid', [], READ));
    assert.deepEqual(
      rows.map((row) => row['n']),
      [';', 1],
    );
  },
});

async function take(rows: AsyncIterator<Row, unknown, undefined>, most: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  while (taken.length < most) {
    const step = await inTime(rows.next());
    if (step.done === true) break;
    taken.push(Object.values(step.value)[0]);
  }
  return taken;
}

const CURSOR_CASES = cases({
  'steps through rows to their end': async ({ connection }) => {
    if (connection.iterate === undefined) return;
    const sql = 'SELECT column1 FROM (VALUES (1), (2), (3)) WHERE column1 > ?';
    assert.deepEqual(await take(connection.iterate(sql, [1]), 10), [2, 3]);
    assert.deepEqual(await take(connection.iterate(sql, [3]), 10), []);
    assert.deepEqual(await take(connection.iterate(sql, [0]), 10), [1, 2, 3]);
  },
  'reads no further than it is asked to': async ({ connection }) => {
    // A driver that reads ahead without a limit never returns the first of these rows.
    if (connection.iterate === undefined) return;
    const rows = connection.iterate(`${ENDLESS} SELECT x FROM c`, []);
    assert.deepEqual(await take(rows, 3), [1, 2, 3]);
    await inTime(Promise.resolve(rows.return?.()));
    assert.equal(await scalar(connection, 'SELECT 1'), 1);
  },
  'F71 goes on with a cursor after the COMMIT of the transaction it was opened in': async ({
    connection,
  }) => {
    if (connection.iterate === undefined) return;
    await run(connection, 'CREATE TABLE t (n)', 'INSERT INTO t VALUES (1), (2)', 'BEGIN');
    await run(connection, 'INSERT INTO t VALUES (3)');
    const rows = connection.iterate('SELECT n FROM t ORDER BY rowid', []);
    assert.deepEqual(await take(rows, 1), [1]);
    await run(connection, 'COMMIT');
    assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), 3);
    assert.deepEqual(await take(rows, 10), [2, 3]);
    await run(connection, 'DROP TABLE t');
  },
  'ends the read when a cursor is left': async ({ connection }) => {
    if (connection.iterate === undefined) return;
    await run(connection, 'CREATE TABLE t (n)', 'INSERT INTO t VALUES (1), (2), (3)');
    const rows = connection.iterate('SELECT n FROM t', []);
    assert.deepEqual(await take(rows, 1), [1]);
    await inTime(Promise.resolve(rows.return?.()));
    // SQLite refuses it while a statement reads the table.
    await run(connection, 'DROP TABLE t');
  },
  'can leave a cursor that was never stepped, or is at its end': async ({ connection }) => {
    if (connection.iterate === undefined) return;
    await inTime(Promise.resolve(connection.iterate('SELECT 1', []).return?.()));
    const rows = connection.iterate('SELECT 1', []);
    await take(rows, 2);
    await inTime(Promise.resolve(rows.return?.()));
    await run(connection, 'CREATE TABLE t (n)');
  },
  'rejects a cursor whose statement fails': async ({ connection }) => {
    const iterate = connection.iterate?.bind(connection);
    if (iterate === undefined) return;
    await failure(() => iterate('SELECT * FROM nowhere', []).next());
    assert.equal(await scalar(connection, 'SELECT 1'), 1);
  },
});

const INTERRUPT_CASES = cases({
  'F40 ends the statement that runs when it is interrupted, and goes on': async ({ connection }) => {
    if (connection.interrupt === undefined) return;
    const running = failure(() => connection.execute(`${ENDLESS} SELECT count(*) FROM c`, [], READ));
    connection.interrupt();
    assert.equal(await running, 'SQLITE_INTERRUPT');
    assert.equal(await scalar(connection, 'SELECT 1'), 1);
  },
  'F42 is not harmed by an interrupt when nothing runs': async ({ connection }) => {
    if (connection.interrupt === undefined) return;
    await run(connection, 'CREATE TABLE t (n)');
    connection.interrupt();
    for (let n = 0; n < 20; n += 1) {
      await inTime(connection.execute('INSERT INTO t VALUES (?)', [n], INSERT));
      connection.interrupt();
    }
    assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), 20);
  },
});

const CLOSE_CASES = cases({
  'F46 closes with statements it has kept and a cursor that was left open': async ({
    connection,
    connect,
    driver,
  }) => {
    await run(connection, 'CREATE TABLE t (n)', 'INSERT INTO t VALUES (1), (2)');
    for (let n = 0; n < 10; n += 1) await scalar(connection, `SELECT n + ${String(n)} FROM t`);
    const second = await driver.open();
    for (let n = 0; n < 10; n += 1) await scalar(second, `SELECT n + ${String(n)} FROM t`);
    const rows = second.iterate?.('SELECT n FROM t', []);
    if (rows !== undefined) await take(rows, 1);
    await inTime(Promise.resolve(rows?.return?.()));
    await inTime(second.close());
    const third = await connect();
    await run(third, 'DROP TABLE t');
  },
  'closes with a transaction open, which is rolled back': async ({ connection, driver }) => {
    await run(connection, 'CREATE TABLE t (n)');
    const second = await driver.open();
    await run(second, 'BEGIN IMMEDIATE', 'INSERT INTO t VALUES (1)');
    await inTime(second.close());
    assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), 0);
    await run(connection, 'INSERT INTO t VALUES (2)');
  },
});

/** Cases that make more than one driver. */
const IDENTITY_CASES: DriverCase[] = [
  {
    title: 'F60 names one file the same, whatever path leads to it, and another file differently',
    run: (openDriver) =>
      onBench(openDriver, async ({ directory, driver, connect }) => {
        if (driver.databaseId === undefined) return;
        await mkdir(join(directory, 'sub'));
        await symlink(join(directory, 'app.db'), join(directory, 'link.db'));
        const id = await driver.databaseId();
        for (const path of [join(directory, 'link.db'), `${directory}/sub/../app.db`]) {
          const other = await openDriver(path);
          assert.equal(await other.databaseId?.(), id, path);
        }
        const another = await openDriver(join(directory, 'another.db'));
        await connect(another);
        assert.notEqual(await another.databaseId?.(), id);
      }),
  },
  {
    title: 'F08 rejects an open that cannot work, and does not hang',
    run: (openDriver) =>
      onBench(openDriver, async ({ directory }) => {
        const nowhere = await openDriver(join(directory, 'no', 'such', 'directory.db'));
        await assert.rejects(inTime(nowhere.open()), (error) => !(error instanceof assert.AssertionError));
      }),
  },
];

/**
 * The cases for everything that the pool relies on in a driver. Any test runner can loop over them. They make files in
 * the temporary directory of the machine, and remove them.
 *
 * @example
 * import { driverCases } from '@sqlite-pool/core/testing';
 *
 * for (const { title, run } of driverCases) {
 *   test(title, () => run((filename) => myDriver({ filename })));
 * }
 */
export const driverCases: readonly DriverCase[] = [
  ...VALUE_CASES,
  ...COUNT_CASES,
  ...ERROR_CASES,
  ...FILE_LOCK_CASES,
  ...SERVER_LOCK_CASES,
  ...TRANSACTION_CASES,
  ...BATCH_CASES,
  ...CURSOR_CASES,
  ...INTERRUPT_CASES,
  ...CLOSE_CASES,
  ...IDENTITY_CASES,
];
