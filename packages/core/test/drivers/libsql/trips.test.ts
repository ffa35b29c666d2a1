import { beforeEach, describe, expect, test } from 'vitest';
import type { Connection, SqlitePool } from '../../../src/index.ts';
import { libsql } from '../../../src/drivers/libsql/libsql.ts';
import { SQLD } from '../../../../../conformance/libsql-server.ts';
import { countTrips, poolOf, serverOf, WIRES } from './servers.ts';

describe.skipIf(SQLD === undefined).for(WIRES)('round trips to a libSQL server, over %s', (wire) => {
  let pool: SqlitePool;
  let counts: (() => number)[];

  beforeEach(async () => {
    const server = await serverOf();
    counts = [];
    pool = poolOf(libsql({ url: server.urlOf(wire) }), {
      poolSize: 4,
      onConnect: (connection: Connection) => void counts.push(countTrips(connection)),
    });
    await pool.run('CREATE TABLE t (n INTEGER PRIMARY KEY)');
  });

  const trips = async (work: () => Promise<unknown>): Promise<number> => {
    const sum = (): number => counts.reduce((all, count) => all + count(), 0);
    const before = sum();
    await work();
    return sum() - before;
  };

  test('are one for a statement, and one for a batch', async () => {
    expect(await trips(() => pool.get('SELECT count(*) FROM t'))).toBe(1);
    expect(await trips(() => pool.all('SELECT * FROM t'))).toBe(1);
    expect(await trips(() => pool.run('INSERT INTO t VALUES (1)'))).toBe(1);
    expect(await trips(() => pool.batch([['INSERT INTO t VALUES (2)'], ['INSERT INTO t VALUES (3)']]))).toBe(
      1,
    );
    expect(await trips(() => pool.script('DELETE FROM t; INSERT INTO t VALUES (1); SELECT 1'))).toBe(1);
  });

  test('are one more than its statements for a transaction, and none for an empty one', async () => {
    const two = async (): Promise<void> =>
      pool.transaction(async (tx) => {
        await tx.run('INSERT INTO t VALUES (1)');
        await tx.run('INSERT INTO t VALUES (2)');
      });
    expect(await trips(two)).toBe(3);
    expect(await trips(() => pool.transaction(() => Promise.resolve()))).toBe(0);
  });

  test('are two for a transaction of one statement that is rolled back', async () => {
    const rolledBack = pool.transaction.bind(pool);
    const work = async (): Promise<void> =>
      rolledBack(async (tx) => {
        await tx.run('INSERT INTO t VALUES (1)');
        throw new Error('no');
      });
    expect(await trips(() => work().catch(() => undefined))).toBe(2);
  });

  test('are few for many writes at once', async () => {
    const writes = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 16 }, (_, n) => pool.run('INSERT INTO t VALUES (?)', [n])));
    expect(await trips(writes)).toBeLessThanOrEqual(4);
  });

  test('are none when the pool closes', async () => {
    expect(await trips(() => pool.close())).toBe(0);
  });
});
