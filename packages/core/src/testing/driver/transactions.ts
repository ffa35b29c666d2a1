import assert from 'node:assert/strict';
import { cases, failure, INSERT, inTime, OTHER, READ, run, scalar, type DriverCase } from './bench.ts';

export const TRANSACTION_CASES: readonly DriverCase[] = cases({
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
