import assert from 'node:assert/strict';
import type { Row } from '../../driver.ts';
import { cases, ENDLESS, failure, inTime, run, scalar, type DriverCase } from './bench.ts';

export const CURSOR_CASES: readonly DriverCase[] = cases({
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

/** Takes some rows of a cursor, and returns the first value of each. */
export async function take(rows: AsyncIterator<Row, unknown, undefined>, most: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  while (taken.length < most) {
    const step = await inTime(rows.next());
    if (step.done === true) break;
    taken.push(Object.values(step.value)[0]);
  }
  return taken;
}
