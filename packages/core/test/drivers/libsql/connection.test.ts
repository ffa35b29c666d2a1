import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Row, Value } from '../../../src/index.ts';
import type { ExecuteHint } from '../../../src/driver.ts';
import { libsql } from '../../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../../conformance/libsql-server.ts';
import { connectionTo, countTrips, failureOf, serverOf, WIRES, type WholeConnection } from './servers.ts';

const READ: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
const INSERT: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: false, effect: 'insert' };
const CONTROL: ExecuteHint = { ...READ, returnsRows: false, urgency: 'control' };
const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';

describe.skipIf(SQLD === undefined).for(WIRES)('a connection to a libSQL server, over %s', (wire) => {
  let server: Server;
  let connection: WholeConnection;

  const run = async (...statements: string[]): Promise<void> => {
    for (const sql of statements) await connection.execute(sql, [], INSERT);
  };
  const read = async (sql: string, params: readonly Value[] = []): Promise<unknown> =>
    Object.values((await connection.execute(sql, params, READ)).rows[0] ?? {})[0];

  beforeEach(async () => {
    server = await serverOf();
    connection = await connectionTo(libsql({ url: server.urlOf(wire) }));
  });

  test.for<Value>([
    0,
    -0,
    0.1,
    -1e300,
    5e-324,
    1.7976931348623157e308,
    Infinity,
    -Infinity,
    2 ** 53,
    2 ** 60,
  ])('binds the number %s as it is', async (value) => {
    const sql = 'SELECT :v = 9e999 OR :v = -9e999 AS infinite, CASE WHEN abs(:v) < 9e999 THEN :v END AS v';
    const { rows } = await connection.execute(sql, [value], READ);
    if (Math.abs(Number(value)) === Infinity) expect(rows).toEqual([{ infinite: 1, v: null }]);
    else expect(rows[0]?.['v']).toBe(value);
  });

  test('reads every float as it was bound', async () => {
    const sql = `SELECT ${Array.from({ length: 100 }, () => '?').join()}`;
    for (let round = 0; round < 20; round += 1) {
      const values = [...new Float64Array(crypto.getRandomValues(new Uint8Array(800)).buffer)].map((value) =>
        Number.isFinite(value) ? value : 0.1,
      );
      const { rows } = await connection.execute(sql, values, { ...READ, rowMode: 'array' });
      expect(rows).toEqual([values]);
    }
  });

  test('reads integers of 64 bits exactly', async () => {
    for (const value of [2n ** 53n, -(2n ** 63n), 2n ** 63n - 1n])
      expect(await read('SELECT ?', [value])).toBe(value);
    expect(await read('SELECT ?', [7n])).toBe(7);
  });

  test('refuses to read an infinite number, which the protocol does not have', async () => {
    await expect(read('SELECT 9e999')).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('binds a name that stands twice once, beside numbers and strings that look like parameters', async () => {
    const sql = "SELECT :a || '?1 :a' || ?2 || :a /* :b */ AS v";
    expect(await read(sql, ['x', 'y'])).toBe('x?1 :ayx');
  });

  test('sends a BEGIN together with the first statement, and nothing for an empty transaction', async () => {
    await run('CREATE TABLE t (n)');
    const trips = countTrips(connection);
    await connection.execute('BEGIN IMMEDIATE', [], CONTROL);
    expect(connection.inTransaction()).toBe(true);
    await connection.execute('COMMIT', [], CONTROL);
    expect(trips()).toBe(0);
    await connection.execute('BEGIN IMMEDIATE', [], CONTROL);
    await run('INSERT INTO t VALUES (1)');
    await run('INSERT INTO t VALUES (2)');
    await connection.execute('COMMIT', [], CONTROL);
    expect(trips()).toBe(3);
    expect(connection.inTransaction()).toBe(false);
    expect(await read('SELECT count(*) FROM t')).toBe(2);
  });

  test('runs a batch in one round trip', async () => {
    await run('CREATE TABLE t (n)');
    const insert = { sql: 'INSERT INTO t VALUES (?)', params: [1], hint: INSERT };
    const trips = countTrips(connection);
    await connection.batch([insert, insert, insert], 'abort');
    await connection.batch([insert, insert, insert], 'continue');
    expect(trips()).toBe(2);
    expect(await read('SELECT count(*) FROM t')).toBe(6);
  });

  test('keeps savepoints apart from what is around them', async () => {
    await run('CREATE TABLE t (n)', 'SAVEPOINT a', 'INSERT INTO t VALUES (1)', 'SAVEPOINT b');
    await run('INSERT INTO t VALUES (2)', 'ROLLBACK TO b', 'RELEASE a');
    expect(connection.inTransaction()).toBe(false);
    expect(await read('SELECT group_concat(n) FROM t')).toBe('1');
  });

  test('says SQLITE_BUSY_SNAPSHOT where a transaction has read what another has changed since', async () => {
    await run('CREATE TABLE t (n)', 'BEGIN');
    await read('SELECT count(*) FROM t');
    await (
      await connectionTo(libsql({ url: server.urlOf(wire) }))
    ).execute('INSERT INTO t VALUES (1)', [], INSERT);
    const error = await failureOf(connection.execute('INSERT INTO t VALUES (2)', [], INSERT));
    expect(error).toMatchObject({ code: 'SQLITE_BUSY_SNAPSHOT' });
  });

  test('stops a script in a transaction that is rolled back under it', async () => {
    await run('CREATE TABLE t (n UNIQUE)', 'INSERT INTO t VALUES (1)', 'BEGIN');
    await failureOf(
      connection.script(
        'INSERT INTO t VALUES (2); INSERT OR ROLLBACK INTO t VALUES (1); INSERT INTO t VALUES (3)',
      ),
    );
    expect(connection.inTransaction()).toBe(false);
    expect(await read('SELECT group_concat(n) FROM t')).toBe('1');
  });

  test('does not know what became of a write that it interrupted, and goes on', async () => {
    await run('CREATE TABLE t (n)');
    const trips = countTrips(connection);
    const writing = failureOf(connection.execute(`INSERT INTO t ${ENDLESS}`, [], INSERT));
    await vi.waitFor(() => expect(trips()).toBe(1));
    connection.interrupt();
    expect(await writing).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    await run('INSERT INTO t VALUES (1)');
    expect(await read('SELECT count(*) FROM t')).toBe(1);
  });

  test('reads a result that is larger than an answer may be with a cursor', async () => {
    const sql =
      "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 12) SELECT printf('%1000000d', x) AS x FROM c";
    expect(await failureOf(connection.execute(sql, [], READ))).toMatchObject({ code: 'SQLITE_TOOBIG' });
    const lengths: number[] = [];
    for await (const { x } of rowsOf(connection.iterate(sql, []))) lengths.push(String(x).length);
    expect(lengths).toEqual(Array.from({ length: 12 }, () => 1_000_000));
  });

  test('refuses a cursor in a transaction that is larger than bufferBytes, and goes on', async () => {
    const small = await connectionTo(libsql({ url: server.urlOf(wire), bufferBytes: 10_000 }));
    await small.execute('BEGIN', [], INSERT);
    const sql =
      'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 10000) SELECT x FROM c';
    const error = await failureOf(small.iterate(sql, []).next());
    expect(error).toMatchObject({ code: 'SQLITE_TOOBIG' });
    await small.execute('COMMIT', [], INSERT);
  });
});

async function* rowsOf(rows: AsyncIterator<Row, unknown, undefined>): AsyncGenerator<Row> {
  for (let step = await rows.next(); step.done !== true; step = await rows.next()) yield step.value;
}
