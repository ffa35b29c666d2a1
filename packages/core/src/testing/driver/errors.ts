import assert from 'node:assert/strict';
import type { Result } from '../../driver.ts';
import { HALF_WAY } from './batches.ts';
import { cases, failure, INSERT, inTime, READ, run, scalar, type DriverCase } from './bench.ts';

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
