import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Connection } from '../../../src/index.ts';
import type { Driver } from '../../../src/driver.ts';
import { libsql, type LibsqlOptions } from '../../../src/drivers/libsql/libsql.ts';
import { BodyLines } from '../../../src/drivers/libsql/body-lines.ts';
import { nextRenewal, renewalOf } from '../../../src/drivers/libsql/token.ts';
import { connectionTo, failureOf } from './servers.ts';

interface Request {
  readonly type: string;
}

/** What a server says to a request; `undefined`: nothing. */
type Reply = (request: Request, socket: WebSocket) => object | undefined;

const REFUSED = { error: { message: 'no', code: 'SQL_INPUT_ERROR' } };
const ROWS = { cols: [], rows: [], affected_row_count: 0, last_insert_rowid: null };

/** A server that speaks the protocol and answers as a test wants. */
async function socketServer(reply: Reply, options: Partial<LibsqlOptions> = {}): Promise<Driver> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  onTestFinished(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  server.on('connection', (socket) => {
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as { type: string; request_id: number; request: Request };
      const answer = reply(message.type === 'hello' ? message : message.request, socket);
      if (answer === undefined) return;
      const type = 'error' in answer ? 'response_error' : 'response_ok';
      const whole = message.type === 'hello' ? answer : { type, request_id: message.request_id, ...answer };
      socket.send(JSON.stringify(whole));
    });
  });
  await once(server, 'listening');
  return libsql({ url: `ws://127.0.0.1:${String((server.address() as AddressInfo).port)}`, ...options });
}

/** As a good server does, but for some requests. */
const replying =
  (others: Readonly<Record<string, object>>): Reply =>
  ({ type }) =>
    others[type] ?? (type === 'hello' ? { type: 'hello_ok' } : { response: { type, result: ROWS } });

describe('a server over a WebSocket', () => {
  test('that closes the connection when it has read the token does not like it', async () => {
    const driver = await socketServer((_, socket) => {
      socket.close();
      return undefined;
    });
    expect(await failureOf(driver.open())).toMatchObject({ code: 'OPEN_FAILED', reason: 'not-permitted' });
  });

  test('that gives no stream is one that cannot be reached', async () => {
    const driver = await socketServer(replying({ open_stream: REFUSED }));
    expect(await failureOf(driver.open())).toMatchObject({ code: 'OPEN_FAILED', reason: 'unreachable' });
  });

  test.for(['open_cursor', 'fetch_cursor'])('that refuses %s says why', async (type) => {
    const connection = await connectionTo(await socketServer(replying({ [type]: REFUSED })));
    expect(await failureOf(connection.iterate('SELECT 1', []).next())).toMatchObject({
      code: 'SQLITE_ERROR',
      message: 'no',
    });
  });

  test('that answers something else to a cursor loses its connection', async () => {
    const driver = await socketServer(replying({ fetch_cursor: { response: { type: 'close_cursor' } } }));
    const connection = await connectionTo(driver);
    expect(await failureOf(connection.iterate('SELECT 1', []).next())).toBeInstanceOf(Error);
  });

  test('is not sent what comes after its end', async () => {
    const connection: Connection = await (await socketServer(replying({}))).open();
    const stream = connection.raw as { destroy(): void; send(requests: object[]): Promise<unknown> };
    stream.destroy();
    expect(await failureOf(stream.send([{ type: 'get_autocommit' }]))).toMatchObject({ sent: false });
  });

  test('is not opened where that is no longer wanted', async () => {
    const driver = await socketServer(replying({}));
    const reason = new Error('no longer wanted');
    expect(await failureOf(driver.open(AbortSignal.abort(reason)))).toBe(reason);
  });

  test('goes on with the old token where there is no other one', async () => {
    const source = new OneToken();
    const authToken = (): string => source.next();
    const connection = await connectionTo(await socketServer(replying({}), { authToken }));
    for (let n = 0; n < 3; n += 1) expect(await connection.execute('SELECT 1')).toMatchObject({ rows: [] });
    expect(source.asked).toBe(2);
  });
});

/** Gives a token that is about to expire, and then none. */
class OneToken {
  asked = 0;

  next(): string {
    this.asked += 1;
    if (this.asked > 1) throw new Error('none');
    const exp = Math.floor(Date.now() / 1000) + 1;
    return `x.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.x`;
  }
}

/** A server that answers HTTP as a test wants; its address. */
async function httpServer(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

const AUTOCOMMIT = { type: 'ok', response: { type: 'get_autocommit', is_autocommit: true } };
const pipeline = (base_url: string | null, results: readonly object[] = [AUTOCOMMIT]): string =>
  JSON.stringify({ baton: 'b', base_url, results });

describe('a server over HTTP', () => {
  test.for(['/moved', '/moved/'])('says where it is from now on: %s', async (path) => {
    const seen: (string | undefined)[] = [];
    const url = await httpServer((request, response) => {
      seen.push(request.url);
      const result = { type: 'ok', response: { type: 'execute', result: ROWS } };
      response.end(seen.length === 1 ? pipeline(url + path) : pipeline(null, [result]));
    });
    const connection = await connectionTo(libsql({ url }));
    await connection.execute('SELECT 1');
    expect(seen).toEqual(['/v3/pipeline', '/moved/v3/pipeline']);
  });

  test('may refuse a cursor in its only line, or give none', async () => {
    let line = JSON.stringify({ message: 'no', code: 'SQL_INPUT_ERROR' });
    const url = await httpServer((request, response) => {
      response.end(request.url === '/v3/cursor' ? line : pipeline(null));
    });
    const connection = await connectionTo(libsql({ url }));
    expect(await failureOf(connection.iterate('SELECT 1', []).next())).toMatchObject({ message: 'no' });
    line = '';
    expect(await failureOf(connection.iterate('SELECT 1', []).next())).toBeInstanceOf(Error);
  });

  test('is not sent what comes after its end', async () => {
    const url = await httpServer((_, response) => response.end(pipeline(null)));
    const connection: Connection = await libsql({ url }).open();
    const stream = connection.raw as { destroy(): void; send(requests: object[]): Promise<unknown> };
    stream.destroy();
    expect(await failureOf(stream.send([{ type: 'get_autocommit' }]))).toMatchObject({ sent: false });
  });
});

describe('a server over HTTP that wants a token', () => {
  test('gets the old one where there is no other one', async () => {
    const source = new OneToken();
    const seen = new Set<string | undefined>();
    const url = await httpServer(({ headers }, response) => {
      seen.add(headers.authorization);
      response.end(pipeline(null, [{ type: 'ok', response: { type: 'execute', result: ROWS } }]));
    });
    const connection = await connectionTo(libsql({ url, authToken: () => source.next() }));
    for (let n = 0; n < 3; n += 1) expect(await connection.execute('SELECT 1')).toMatchObject({ rows: [] });
    expect(source.asked).toBe(2);
    expect(seen.size).toBe(1);
  });
});

test.for(['ws', 'http'])(
  'no stream is opened over %s that nobody wants when its token is there',
  async (wire) => {
    const wanted = new AbortController();
    const reason = new Error('no longer wanted');
    const authToken = (): string => {
      wanted.abort(reason);
      return 'token';
    };
    const driver = libsql({ url: `${wire}://127.0.0.1:1`, authToken });
    expect(await failureOf(driver.open(wanted.signal))).toBe(reason);
  },
);

describe('the lines of a body', () => {
  test.for<[string[], string[]]>([
    [
      ['a\nb', 'c\n\nd'],
      ['a', 'bc', 'd'],
    ],
    [['a\n'], ['a']],
    [['a', 'b', 'c'], ['abc']],
    [[], []],
  ])('%j are %j', async ([chunks, expected]) => {
    const encoder = new TextEncoder();
    const lines = new BodyLines(ReadableStream.from(chunks.map((chunk) => encoder.encode(chunk))));
    const read: string[] = [];
    for (let line = await lines.next(); line !== undefined; line = await lines.next()) read.push(line);
    expect(read).toEqual(expected);
  });

  test('are none where there is no body', async () => {
    expect(await new BodyLines(null).next()).toBeUndefined();
    await new BodyLines(null).cancel();
  });
});

test('a token that does not say when it ends is never asked for again', () => {
  const claims = (value: object): string => `x.${Buffer.from(JSON.stringify(value)).toString('base64url')}.x`;
  expect(renewalOf(claims({}))).toBe(Infinity);
  expect(renewalOf('no token')).toBe(Infinity);
  expect(nextRenewal(undefined)).toBe(Infinity);
  expect(nextRenewal(claims({ exp: 1 }))).toBeGreaterThan(Date.now());
});
