import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Result } from '../../driver.ts';
import { HALF_WAY } from './batches.ts';
import {
  cases,
  failure,
  INSERT,
  inTime,
  OTHER,
  READ,
  run,
  scalar,
  type Bench,
  type DriverCase,
} from './bench.ts';

export const ERROR_CASES: readonly DriverCase[] = cases({
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

/** Fills a table with pages, writes all of them into the file, and overwrites one of them there. */
async function corrupt({ connection, directory }: Bench): Promise<void> {
  await run(
    connection,
    'CREATE TABLE t (v)',
    'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 100) INSERT INTO t SELECT randomblob(1000) FROM c',
  );
  await inTime(connection.execute('PRAGMA wal_checkpoint(TRUNCATE)', [], { ...OTHER, returnsRows: true }));
  const file = await open(join(directory, 'app.db'), 'r+');
  try {
    await file.write(Buffer.alloc(4096, 0xff), 0, 4096, 4096);
  } finally {
    await file.close();
  }
}

/** A server has other limits and files, and sends the text of an error, from which not every code can be read. */
export const FILE_ERROR_CASES: readonly DriverCase[] = cases(
  {
    'names the result code, whatever kind of error it is': async ({ connection, directory }) => {
      const codeOf = (sql: string): Promise<string> => failure(() => connection.execute(sql, [], INSERT));
      await run(
        connection,
        'CREATE TABLE s (id INTEGER PRIMARY KEY, n INTEGER) STRICT',
        'CREATE TABLE r (n)',
        "CREATE TRIGGER refuse BEFORE DELETE ON s BEGIN SELECT RAISE(ABORT, 'refused'); END",
        'INSERT INTO s VALUES (1, 1)',
        'INSERT INTO r (rowid, n) VALUES (1, 1)',
      );
      assert.equal(await codeOf("INSERT INTO s (n) VALUES ('text')"), 'SQLITE_CONSTRAINT_DATATYPE');
      assert.equal(await codeOf('DELETE FROM s'), 'SQLITE_CONSTRAINT_TRIGGER');
      assert.equal(await codeOf('INSERT INTO r (rowid, n) VALUES (1, 2)'), 'SQLITE_CONSTRAINT_ROWID');
      assert.equal(await codeOf("INSERT INTO r (rowid, n) VALUES ('text', 2)"), 'SQLITE_MISMATCH');
      assert.equal(await codeOf('INSERT INTO r VALUES (zeroblob(2000000000))'), 'SQLITE_TOOBIG');
      await writeFile(join(directory, 'text'), 'This is no database. '.repeat(100));
      assert.equal(await codeOf(`ATTACH '${join(directory, 'text')}' AS a`), 'SQLITE_NOTADB');
      assert.equal(await codeOf(`ATTACH '${join(directory, 'no', 'such.db')}' AS a`), 'SQLITE_CANTOPEN');
      await run(connection, 'PRAGMA query_only = ON');
      assert.equal(await codeOf('INSERT INTO r VALUES (1)'), 'SQLITE_READONLY');
      await run(connection, 'PRAGMA query_only = OFF', 'PRAGMA max_page_count = 5');
      assert.equal(await codeOf('INSERT INTO r VALUES (zeroblob(100000))'), 'SQLITE_FULL');
    },
    'names the result code of a file that is corrupt': async (bench) => {
      await corrupt(bench);
      const other = await bench.connect();
      const read = (): Promise<Result> => other.execute('SELECT sum(length(v)) FROM t', [], READ);
      assert.equal(await failure(read), 'SQLITE_CORRUPT');
    },
  },
  'file',
);
