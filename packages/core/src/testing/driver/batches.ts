import assert from 'node:assert/strict';
import type { BatchedStatement, BatchOutcome, Value } from '../../driver.ts';
import { complete } from '../../drivers/completed-connection.ts';
import { cases, INSERT, inTime, READ, run, scalar, type DriverCase } from './bench.ts';

/** Writes a row before it fails, and SQLite has no statement journal to undo that statement alone. */
export const HALF_WAY: string = "INSERT INTO t SELECT column1 FROM (VALUES (1), ('x'))";

const insertOf = (sql: string, ...params: Value[]): BatchedStatement => ({ sql, params, hint: INSERT });

const statuses = (outcomes: readonly BatchOutcome[]): string[] => outcomes.map(({ status }) => status);

/** The cases hold for all drivers, because the pool adds `batch` to a connection without it. */
export const BATCH_CASES: readonly DriverCase[] = cases({
  'runs a batch as one transaction, all or nothing': async ({ connection, connect }) => {
    const batched = complete(connection);
    await run(connection, 'CREATE TABLE t (n UNIQUE)');
    const insert = insertOf('INSERT INTO t VALUES (?)', 1);
    const both = [insert, insertOf('INSERT INTO t VALUES (?)', 2)];
    assert.deepEqual(statuses(await inTime(batched.batch(both, 'abort', false))), ['done', 'done']);
    const other = await connect();
    assert.equal(await scalar(other, 'SELECT count(*) FROM t'), 2);
    const broken = [insertOf('INSERT INTO t VALUES (?)', 3), insert, insertOf('INSERT INTO t VALUES (?)', 4)];
    assert.deepEqual(statuses(await inTime(batched.batch(broken, 'abort', false))), [
      'undone',
      'failed',
      'undone',
    ]);
    assert.equal(await scalar(other, 'SELECT count(*) FROM t'), 2);
    assert.equal(await batched.inTransaction(), false);
  },
  'runs each statement of a batch as if it were the only one, or undoes them all': async ({ connection }) => {
    const batched = complete(connection);
    await run(connection, 'CREATE TABLE t (n INTEGER UNIQUE) STRICT');
    const insert = (n: number): BatchedStatement => insertOf('INSERT INTO t VALUES (?)', n);
    const outcomes = await inTime(batched.batch([insert(1), insert(1), insert(2)], 'continue', false));
    assert.deepEqual(statuses(outcomes), ['done', 'failed', 'done']);
    const halfWay = await inTime(batched.batch([insert(3), insertOf(HALF_WAY)], 'continue', false));
    const count = statuses(halfWay)[0] === 'undone' ? 2 : 3;
    assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), count);
    const rolledBack = [insert(5), insertOf('INSERT OR ROLLBACK INTO t VALUES (1)'), insert(6)];
    assert.ok(statuses(await inTime(batched.batch(rolledBack, 'continue', false))).includes('undone'));
    assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), count);
  },
  'undoes a batch whose constraints are checked at the COMMIT only': async ({ connection }) => {
    const batched = complete(connection);
    await run(
      connection,
      'PRAGMA foreign_keys = ON',
      'CREATE TABLE p (id INTEGER PRIMARY KEY)',
      'CREATE TABLE t (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)',
    );
    // Alone, the first statement would fail. In one transaction, the second one repairs it.
    const both = [insertOf('INSERT INTO t VALUES (1)'), insertOf('INSERT INTO p VALUES (1)')];
    assert.deepEqual(statuses(await inTime(batched.batch(both, 'continue', false))), ['undone', 'undone']);
    assert.deepEqual(statuses(await inTime(batched.batch(both, 'abort', false))), ['done', 'done']);
  },
  'runs a batch in the transaction that is open, and undoes that alone': async ({ connection }) => {
    const batched = complete(connection);
    await run(connection, 'CREATE TABLE t (n UNIQUE)', 'BEGIN', 'INSERT INTO t VALUES (1)');
    const broken = [insertOf('INSERT INTO t VALUES (2)'), insertOf('INSERT INTO t VALUES (1)')];
    assert.deepEqual(statuses(await inTime(batched.batch(broken, 'abort', true))), ['undone', 'failed']);
    const good = [insertOf('INSERT INTO t VALUES (3)')];
    assert.deepEqual(statuses(await inTime(batched.batch(good, 'abort', true))), ['done']);
    assert.equal(await batched.inTransaction(), true);
    await run(connection, 'COMMIT');
    assert.equal(await scalar(connection, 'SELECT group_concat(n) FROM t'), '1,3');
  },
  'takes no lock to write for a batch that only reads': async ({ connection, connect, driver }) => {
    const batched = complete(connection);
    await run(connection, 'CREATE TABLE t (n)');
    if (driver.locks !== 'server') await run(connection, 'PRAGMA busy_timeout = 0');
    const other = await connect();
    await run(other, 'BEGIN IMMEDIATE', 'INSERT INTO t VALUES (1)');
    const read = { sql: 'SELECT count(*) AS n FROM t', params: [], hint: READ };
    const outcomes = await inTime(batched.batch([read, read], 'abort', false));
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status === 'done' && { ...outcome.result.rows[0] }),
      [{ n: 0 }, { n: 0 }],
    );
    await inTime(other.rollback());
  },
});
