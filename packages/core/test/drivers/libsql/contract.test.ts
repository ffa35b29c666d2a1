import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from 'node:net';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocketServer } from 'ws';
import type { BatchedStatement, ExecuteHint } from '../../../src/driver.ts';
import { libsql } from '../../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../../conformance/libsql-server.ts';
import { connectionTo, failureOf, serverOf, WIRES, type WholeConnection } from './servers.ts';

const READ: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
const INSERT: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: false, effect: 'insert' };
const CONTROL: ExecuteHint = { ...READ, returnsRows: false, urgency: 'control' };
const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';

describe.skipIf(SQLD === undefined).for(WIRES)('a connection over %s', (wire) => {
  let server: Server;
  let connection: WholeConnection;

  const insert = (n: number): BatchedStatement => ({
    sql: 'INSERT INTO t VALUES (?)',
    params: [n],
    hint: INSERT,
  });
  const contents = async (): Promise<unknown> =>
    (await connection.execute('SELECT group_concat(n) AS n FROM t', [], READ)).rows[0]?.['n'];
  const begin = (): Promise<unknown> => connection.execute('BEGIN IMMEDIATE', [], CONTROL);

  beforeEach(async () => {
    server = await serverOf();
    connection = await connectionTo(libsql({ url: server.urlOf(wire) }));
    await connection.execute('CREATE TABLE t (n UNIQUE)', [], INSERT);
  });

  test('takes one call at a time', async () => {
    const first = connection.execute('SELECT 1 AS n', [], READ);
    expect(await failureOf(connection.execute('SELECT 2', [], READ))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect((await first).rows).toEqual([{ n: 1 }]);
  });

  test('refuses a batch with a statement that begins or ends a transaction', async () => {
    const batch = [insert(1), { sql: 'COMMIT', params: [], hint: INSERT }];
    expect(await failureOf(connection.batch(batch, 'abort'))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await contents()).toBe(null);
  });

  test.for<[string, () => Promise<unknown>, string | null]>([
    ['a batch', () => connection.batch([insert(1), insert(2)], 'abort'), '1,2'],
    ['a batch that fails', () => connection.batch([insert(1), insert(1)], 'abort'), null],
    [
      'a batch of statements that stand alone',
      () => connection.batch([insert(1), insert(1), insert(2)], 'continue'),
      '1,2',
    ],
    ['a script', () => connection.script('INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)'), '1,2'],
    ['a savepoint', () => connection.execute('SAVEPOINT s', [], CONTROL), null],
    ['a cursor', () => connection.iterate('SELECT * FROM t', []).next(), null],
  ])('begins a transaction with %s', async ([, first, expected]) => {
    await begin();
    await first();
    expect(connection.inTransaction()).toBe(true);
    await connection.execute('COMMIT', [], CONTROL);
    expect(connection.inTransaction()).toBe(false);
    expect(await contents()).toBe(expected);
  });

  test('knows a transaction that a script has begun or ended', async () => {
    await connection.script('BEGIN; INSERT INTO t VALUES (1)');
    expect(connection.inTransaction()).toBe(true);
    await connection.script('INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (3)');
    expect(connection.inTransaction()).toBe(false);
    expect(await contents()).toBe('1,2,3');
  });

  test('undoes a batch whose transaction is rolled back by a statement of it', async () => {
    await connection.batch([insert(1)], 'abort');
    const rollsBack = { sql: 'INSERT OR ROLLBACK INTO t VALUES (1)', params: [], hint: INSERT };
    const statuses = async (onError: 'abort' | 'continue'): Promise<string[]> =>
      (await connection.batch([insert(2), rollsBack, insert(3)], onError)).map(({ status }) => status);
    expect(await statuses('abort')).toEqual(['undone', 'failed', 'undone']);
    expect(await statuses('continue')).toEqual(['undone', 'failed', 'undone']);
    await begin();
    expect(await statuses('abort')).toEqual(['undone', 'failed', 'undone']);
    expect(connection.inTransaction()).toBe(false);
    expect(await contents()).toBe('1');
  });

  test('rolls back without a word when the server has gone with the transaction', async () => {
    await connection.execute('BEGIN', [], INSERT);
    await connection.batch([insert(1)], 'abort');
    await server.stop('SIGKILL');
    await connection.rollback();
    expect(connection.inTransaction()).toBe(false);
    await server.start();
    expect(await contents()).toBe(null);
  });

  test('ends the step of a cursor that is interrupted, and goes on', async () => {
    const step = failureOf(connection.iterate(ENDLESS, []).next());
    // It may not have begun yet: the pool interrupts again, too.
    const again = setInterval(() => connection.interrupt(), 10);
    onTestFinished(() => clearInterval(again));
    expect(await step).toMatchObject({ code: 'SQLITE_INTERRUPT' });
    clearInterval(again);
    expect(await contents()).toBe(null);
  });

  test('leaves a cursor alone that is between two steps when it is interrupted', async () => {
    const rows = connection.iterate('SELECT 1 AS n UNION ALL SELECT 2', []);
    expect(await rows.next()).toEqual({ done: false, value: { n: 1 } });
    connection.interrupt();
    expect(await rows.next()).toEqual({ done: false, value: { n: 2 } });
  });

  test('opens no new stream after it was closed', async () => {
    await connection.close();
    expect(await failureOf(contents())).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  test('says that a cursor has lost its server', async () => {
    const rows = connection.iterate(
      "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT printf('%10000d', x) FROM c",
      [],
    );
    await rows.next();
    await server.stop('SIGKILL');
    const rest = async (): Promise<void> => {
      while ((await rows.next()).done !== true);
    };
    expect(await failureOf(rest())).toMatchObject({ code: 'CONNECTION_LOST', outcome: 'none' });
  });

  test('gives up a connect when it is interrupted, or takes too long', async () => {
    const silent = await listening(createTcpServer(() => undefined));
    const driver = libsql({ url: `${wire}://127.0.0.1:${String(silent)}`, connectTimeoutMs: 100 });
    expect(await failureOf(driver.open())).toMatchObject({ reason: 'unreachable' });
    const patient = libsql({ url: `${wire}://127.0.0.1:${String(silent)}` });
    const reason = new Error('no longer wanted');
    expect(await failureOf(patient.open(AbortSignal.abort(reason)))).toBe(reason);
    expect(await failureOf(patient.open(AbortSignal.timeout(50)))).toMatchObject({ name: 'TimeoutError' });
  });
});

describe('a server that is none of libSQL', () => {
  test.for([
    [401, 'not-permitted'],
    [403, 'not-permitted'],
    [404, 'unreachable'],
    [502, 'unreachable'],
  ] as const)('is refused when it answers %i', async ([status, reason]) => {
    const port = await listening(createServer((_, response) => void response.writeHead(status).end()));
    for (const wire of WIRES) {
      const driver = libsql({ url: `${wire}://127.0.0.1:${String(port)}`, authToken: 'hush' });
      expect(await failureOf(driver.open())).toMatchObject({ code: 'OPEN_FAILED', reason });
    }
  });

  test('is refused when it speaks something else over a WebSocket', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    onTestFinished(() => {
      server.close();
    });
    server.on('connection', (socket) => {
      socket.send('Good morning.');
    });
    await once(server, 'listening');
    const driver = libsql({ url: `ws://127.0.0.1:${String((server.address() as AddressInfo).port)}` });
    expect(await failureOf(driver.open())).toMatchObject({ code: 'OPEN_FAILED', reason: 'unreachable' });
  });
});

/** Starts a server that the end of the test stops; its port. */
async function listening(server: TcpServer): Promise<number> {
  onTestFinished(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
