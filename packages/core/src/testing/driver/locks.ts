import assert from 'node:assert/strict';
import type { Result } from '../../driver.ts';
import { cases, failure, INSERT, inTime, run, scalar, type DriverCase } from './bench.ts';

/** A lock on a file is refused at once, or after the busy timeout. */
export const FILE_LOCK_CASES: readonly DriverCase[] = cases(
  {
    'is not poisoned by a statement that met a lock': async ({ connection, connect }) => {
      await run(
        connection,
        'CREATE TABLE t (n UNIQUE)',
        'INSERT INTO t VALUES (1)',
        'PRAGMA busy_timeout = 0',
      );
      const other = await connect();
      await run(other, 'BEGIN IMMEDIATE');
      const insert = (): Promise<Result> => connection.execute('INSERT INTO t VALUES (2)', [], INSERT);
      // The same text before, while and after it cannot work, so that a statement that is kept is used again.
      assert.match(await failure(insert), /^SQLITE_(?:BUSY|LOCKED)/);
      await inTime(other.rollback());
      await run(connection, 'BEGIN IMMEDIATE');
      await inTime(insert());
      assert.match(await failure(insert), /^SQLITE_CONSTRAINT/);
      await run(connection, 'COMMIT');
      assert.equal(await scalar(connection, 'SELECT count(*) FROM t'), 2);
    },
  },
  'file',
);

/** A server lets a writer wait, and takes the lock away in the end from a transaction that keeps it. */
export const SERVER_LOCK_CASES: readonly DriverCase[] = cases(
  {
    'rejects what follows in a transaction whose lock was taken away, and keeps nothing': async ({
      connection,
      connect,
    }) => {
      await run(connection, 'CREATE TABLE t (n)', 'BEGIN IMMEDIATE', 'INSERT INTO t VALUES (1)');
      await run(await connect(), 'INSERT INTO t VALUES (2)');
      const insert = (): Promise<unknown> => connection.execute('INSERT INTO t VALUES (3)', [], INSERT);
      assert.equal(await failure(insert), 'TRANSACTION_LOST');
      assert.equal(await connection.inTransaction(), false);
      assert.equal(await scalar(connection, 'SELECT group_concat(n) FROM t'), '2');
    },
  },
  'server',
);
