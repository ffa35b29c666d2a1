import { EventEmitter } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPool } from '../../src/pool.ts';
import { FetchResponse } from '../../src/request/fetch-response.ts';
import { RequestLease } from '../../src/request/request-lease.ts';
import { RequestTransaction } from '../../src/request/request-transaction.ts';
import { fakeDriver } from '../../src/testing/fake-driver.ts';

const WRITE = 'INSERT INTO t VALUES (1)';

function outgoing(): ServerResponse {
  return new ServerResponse(new IncomingMessage(new Socket()));
}

/** The connection of a request that asks for a WebSocket. */
function makeSocket() {
  const socket = Object.assign(new EventEmitter(), { closed: false, destroyed: false });
  return Object.assign(socket, { destroy: () => (socket.destroyed = true) });
}

/** A request that is one transaction, and has written. */
async function makeTransaction() {
  const driver = fakeDriver();
  // Some tests never answer their request, and its lease would keep the close waiting.
  const pool = createPool({ driver, closeTimeoutMs: 0 });
  onTestFinished(() => pool.close());
  const lease = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'POST' });
  const transaction = new RequestTransaction(lease);
  await transaction.run(WRITE);
  const sent = (): readonly (string | undefined)[] =>
    driver.calls
      .filter(({ method }) => method === 'execute' || method === 'rollback')
      .map(({ method, sql }) => (method === 'rollback' ? 'ROLLBACK' : sql));
  return { transaction, sent };
}

describe('the events of a fetch response', () => {
  it('are those of the response of Node.js, if there is one', () => {
    const response = outgoing();
    const fetched = new FetchResponse({}, { outgoing: response });
    expect(fetched.events).toBe(response);
    expect(fetched.outgoing).toBe(response);
  });

  it.each([undefined, null, 'env', {}, { outgoing: {}, incoming: {} }, { incoming: { socket: 1 } }])(
    'follow the signal of the request beside %j, which has no response',
    (env) => {
      const controller = new AbortController();
      const { events, outgoing } = new FetchResponse({ signal: controller.signal }, env);
      let closes = 0;
      events.once('close', () => (closes += 1));
      expect([outgoing, events.closed, closes]).toEqual([undefined, false, 0]);
      controller.abort();
      expect([events.closed, closes]).toEqual([true, 1]);
    },
  );

  it('say that the response is written when the handler is done', () => {
    const fetched = new FetchResponse({}, undefined);
    expect([fetched.events.closed, fetched.events.writableEnded]).toEqual([false, false]);
    fetched.events.once('close', () => expect.unreachable());
    fetched.end(201);
    expect(fetched.events).toMatchObject({ writableEnded: true, statusCode: 201, endsSilently: true });
  });

  it('are those of the socket, when the request asks for a WebSocket', () => {
    const socket = makeSocket();
    const { events, outgoing } = new FetchResponse({}, { incoming: { socket } });
    let closes = 0;
    events.once('close', () => (closes += 1));
    socket.emit('close');
    expect([outgoing, events.writableEnded, closes]).toEqual([undefined, false, 1]);
  });
});

describe('a fetch response of a request that is one transaction', () => {
  it.each([
    [200, 'COMMIT'],
    [400, 'ROLLBACK'],
  ])('with status %i ends it with %s, before the response leaves', async (status, end) => {
    const { transaction, sent } = await makeTransaction();
    await new FetchResponse({}, undefined).settle({
      run: () => Promise.resolve(),
      handle: () => transaction,
      result: () => new Response('a', { status }),
      drop: () => expect.unreachable(),
    });
    expect(sent()).toEqual(['BEGIN IMMEDIATE', WRITE, end]);
  });

  it('that has no answer rolls it back', async () => {
    const { transaction, sent } = await makeTransaction();
    await new FetchResponse({}, undefined).settle({
      run: () => Promise.resolve(),
      handle: () => transaction,
      result: () => undefined,
      drop: () => expect.unreachable(),
    });
    expect(sent().at(-1)).toBe('ROLLBACK');
  });

  it('that Node.js would refuse rolls it back, and rejects', async () => {
    const { transaction, sent } = await makeTransaction();
    const refused = { status: 200, headers: [['x-a', 'a\nb']], body: undefined } as unknown as Response;
    const settled = new FetchResponse({}, undefined).settle({
      run: () => Promise.resolve(),
      handle: () => transaction,
      result: () => refused,
      drop: () => undefined,
    });
    await expect(settled).rejects.toMatchObject({ code: 'ERR_INVALID_CHAR' });
    expect(sent().at(-1)).toBe('ROLLBACK');
  });

  it('whose handler fails rolls it back, ends the source of its body and its socket', async () => {
    const { transaction, sent } = await makeTransaction();
    const socket = makeSocket();
    let isCancelled = false;
    const body = new ReadableStream({ cancel: () => void (isCancelled = true) });
    const settled = new FetchResponse({}, { incoming: { socket } }).settle({
      run: () => Promise.reject(new Error('a mistake')),
      handle: () => transaction,
      result: () => expect.unreachable(),
      drop: () => new Response(body),
    });
    await expect(settled).rejects.toThrow('a mistake');
    expect(sent().at(-1)).toBe('ROLLBACK');
    expect([isCancelled, socket.destroyed]).toEqual([true, true]);
  });

  it('whose answer is not valid still reports why the handler failed', async () => {
    const { transaction } = await makeTransaction();
    const locked = { body: { cancel: () => Promise.reject(new Error('locked')) } } as unknown as Response;
    const invalid = {
      get body(): never {
        throw new Error('no body');
      },
    } as unknown as Response;
    for (const answer of [locked, invalid]) {
      const settled = new FetchResponse({}, undefined).settle({
        run: () => Promise.reject(new Error('a mistake')),
        handle: () => transaction,
        result: () => expect.unreachable(),
        drop: () => answer,
      });
      await expect(settled).rejects.toThrow('a mistake');
    }
  });
});

it('a fetch response of a request that is no transaction leaves its answer alone', async () => {
  const response = new FetchResponse({}, undefined);
  const handling = {
    handle: () => undefined,
    result: () => expect.unreachable(),
    drop: () => expect.unreachable(),
  };
  await response.settle({ ...handling, run: () => Promise.resolve() });
  await expect(
    response.settle({ ...handling, run: () => Promise.reject(new Error('a mistake')) }),
  ).rejects.toThrow('a mistake');
});
