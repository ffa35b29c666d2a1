import assert from 'node:assert/strict';
import { cases, ENDLESS, failure, INSERT, inTime, READ, run, scalar, type DriverCase } from './bench.ts';
import { take } from './cursors.ts';

export const INTERRUPT_CASES: readonly DriverCase[] = cases({
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

export const CLOSE_CASES: readonly DriverCase[] = cases({
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
