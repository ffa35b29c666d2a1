import { describe, expect, test } from 'vitest';
import type { ExecuteHint } from '../../src/driver.ts';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { SQLD } from '../../../../conformance/libsql-server.ts';
import { connectionTo, failureOf, serverOf, WIRES, type WholeConnection } from '../drivers/libsql/servers.ts';

const READ: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
const INSERT: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: false, effect: 'insert' };
const LATER = { sql: "INSERT INTO t VALUES ('later')", params: [], hint: INSERT };

/** A connection whose lock another one has taken. */
async function victimOf(wire: 'ws' | 'http'): Promise<WholeConnection> {
  const driver = libsql({ url: (await serverOf()).urlOf(wire) });
  const [victim, thief] = [await connectionTo(driver), await connectionTo(driver)];
  await victim.execute('CREATE TABLE t (v)', [], INSERT);
  await victim.execute('BEGIN IMMEDIATE', [], INSERT);
  await victim.execute("INSERT INTO t VALUES ('victim')", [], INSERT);
  await thief.execute("INSERT INTO t VALUES ('thief')", [], INSERT);
  return victim;
}

const CASES: Readonly<Record<string, (own: WholeConnection) => Promise<unknown>>> = {
  'a statement': (own) => own.execute(LATER.sql, [], INSERT),
  'a read': (own) => own.execute('SELECT * FROM t', [], READ),
  'a SAVEPOINT': (own) => own.execute('SAVEPOINT s', [], INSERT),
  'a COMMIT': (own) => own.execute('COMMIT', [], INSERT),
  'a script': (own) => own.script(`${LATER.sql}; ${LATER.sql}`),
  'a cursor': (own) => own.iterate('SELECT * FROM t', []).next(),
  'a batch, all or nothing': (own) => own.batch([LATER, LATER], 'abort'),
  'a batch of statements that stand alone': (own) => own.batch([LATER, LATER], 'continue'),
};

describe.skipIf(SQLD === undefined)('a transaction whose lock the server takes away', () => {
  test.for(WIRES)('rejects whatever follows, and keeps nothing, over %s', async (wire) => {
    const rejects = async ([what, goOn]: (typeof cases)[number]): Promise<void> => {
      const connection = await victimOf(wire);
      expect(await failureOf(goOn(connection)), what).toMatchObject({ code: 'TRANSACTION_LOST' });
      expect(connection.inTransaction(), what).toBe(false);
      await connection.rollback();
      expect((await connection.execute('SELECT v FROM t', [], READ)).rows, what).toEqual([{ v: 'thief' }]);
    };
    const cases = Object.entries(CASES);
    await Promise.all(cases.map(rejects));
  });
});
