import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import {
  casesOf,
  chunks,
  deferred,
  ending,
  ENDLESS,
  has,
  INSERT,
  LONG,
  never,
  notes,
  startMeeting,
} from './bench.ts';
import { webSocketFrame, webSocketHead } from './clients.ts';
import type { PluginCase } from './contract.ts';

const OVER_HTTP2 = { http2: true } as const;

/** The code of RFC 9113, section 7. */
const CANCEL = 8;

const HTTP2 = casesOf('HTTP/2', ['http2'], {
  'answers streams of one session, each with a connection of its own': async ({ start }) => {
    const { http2, pool } = await startMeeting(start, OVER_HTTP2);
    const client = http2();
    const [answer] = await Promise.all([client.fetch('GET', '/first'), client.fetch('GET', '/second')]);
    has(answer, { status: 200, body: '{"leased":2}' });
    has(pool.stats(), { leased: 0, idle: 2 });
  },
  'F63 releases the connection of a handler that rejects': async ({ start }) => {
    const { http2, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          await db.run('BEGIN IMMEDIATE');
          await db.run(INSERT, ['lost']);
          throw new Error('a mistake');
        },
      },
      OVER_HTTP2,
    );
    has(await http2().fetch('GET', '/'), { status: 500 });
    assert.deepEqual(await notes(pool), []);
  },
  'F62 interrupts the statement of a stream that is reset, and not that of its neighbour': async ({
    start,
    eventually,
  }) => {
    const [ended, goOn] = [deferred<string>(), deferred()];
    const { http2, pool } = await start(
      { poolSize: 2 },
      {
        'GET /reset': async ({ db }) => {
          ended.resolve(await ending(db.get(ENDLESS)));
          return {};
        },
        'GET /neighbour': async ({ db }) =>
          db.transaction(async (tx) => {
            await goOn.promise;
            return tx.get('SELECT 1 AS n');
          }),
      },
      OVER_HTTP2,
    );
    const client = http2();
    const neighbour = client.fetch('GET', '/neighbour');
    const stream = client.open('GET', '/reset');
    await eventually(() => pool.stats().leased === 2);
    stream.close(CANCEL);
    assert.equal(await ended.promise, 'LEASE_ENDED');
    goOn.resolve();
    has(await neighbour, { status: 200, body: '{"n":1}' });
  },
  'F62 lets a POST whose stream is reset finish what it began': async ({ start }) => {
    const [begun, goOn, done] = [deferred(), deferred(), deferred<string>()];
    const { http2, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': async ({ db }) => {
          const transaction = db.transaction(async (tx) => {
            await tx.run(INSERT, ['first']);
            begun.resolve();
            await goOn.promise;
            await tx.run(INSERT, ['second']);
          });
          done.resolve(await ending(transaction));
          return {};
        },
      },
      OVER_HTTP2,
    );
    const stream = http2().open('POST', '/').end();
    await begun.promise;
    const closed = new Promise((resolve) => stream.once('close', resolve));
    stream.close(CANCEL);
    await closed;
    goOn.resolve();
    assert.equal(await done.promise, 'done');
    assert.deepEqual(await notes(pool), ['first', 'second']);
  },
  'F62 closes the cursor of a body whose stream is reset': async ({ start, eventually }) => {
    const { http2, pool } = await start(
      { poolSize: 1 },
      { 'GET /': async ({ db }) => Readable.from(chunks(db.iterate(LONG))) },
      OVER_HTTP2,
    );
    const stream = http2().open('GET', '/');
    await new Promise((begun) => stream.once('response', begun));
    await eventually(() => pool.stats().leased === 1);
    stream.close(CANCEL);
    await eventually(() => pool.stats().leased === 0);
  },
  'F62 frees the connections of all streams when the session ends': async ({ start, eventually }) => {
    const ends: string[] = [];
    const { http2, pool } = await start(
      { poolSize: 2 },
      {
        'GET /': async ({ db }) => {
          ends.push(await ending(db.get(ENDLESS)));
          return {};
        },
      },
      OVER_HTTP2,
    );
    const client = http2();
    client.open('GET', '/');
    client.open('GET', '/');
    await eventually(() => pool.stats().leased === 2);
    client.leave();
    await eventually(() => ends.length === 2);
    assert.deepEqual(ends, ['LEASE_ENDED', 'LEASE_ENDED']);
  },
});

const WEB_SOCKETS = casesOf('WebSockets', ['websocket'], {
  'serves the messages of a WebSocket, and holds nothing that others need while it is open': async ({
    start,
    eventually,
    unreached,
  }) => {
    const { send, fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /socket': {
          handler: unreached,
          websocket: async ({ db, body }) => db.get('SELECT ? AS echo', [String(body)]),
        },
        'GET /honest': async ({ db }) => db.get('SELECT 1 AS n'),
      },
    );
    const client = send().write(webSocketHead('/socket')).read();
    await eventually(() => client.received.includes('101 Switching Protocols'));
    for (const message of ['first', 'second']) {
      client.write(webSocketFrame(message));
      await eventually(() => client.received.includes(`{"echo":"${message}"}`));
      assert.equal(pool.stats().leased, 0);
      has(await fetch('GET', '/honest'), { status: 200, body: '{"n":1}' });
    }
    client.leave();
    await eventually(() => pool.stats().leased === 0);
    has(pool.stats(), { acquireTimeouts: 0, opens: 1 });
  },
  'F62 ends what a WebSocket that is gone has under way': async ({ start, eventually, unreached }) => {
    const [begun, ended] = [deferred(), deferred<string>()];
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'GET /socket': {
          handler: unreached,
          websocket: async ({ db }) => {
            ended.resolve(
              await ending(
                db.transaction(async (tx) => {
                  await tx.run(INSERT, ['lost']);
                  begun.resolve();
                  await never();
                }),
              ),
            );
            return {};
          },
        },
      },
    );
    const client = send().write(webSocketHead('/socket')).read();
    await eventually(() => client.received.includes('101 Switching Protocols'));
    client.write(webSocketFrame('begin'));
    await begun.promise;
    client.leave();
    assert.equal(await ended.promise, 'LEASE_ENDED');
    await eventually(() => pool.stats().leased === 0);
    assert.deepEqual(await notes(pool), []);
  },
});

export const PROTOCOLS: readonly PluginCase[] = [...HTTP2, ...WEB_SOCKETS];
