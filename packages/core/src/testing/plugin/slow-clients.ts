import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { casesOf, deferred, has, type Bench, type Handler } from './bench.ts';
import type { PluginCase } from './contract.ts';
import { HALF_A_POST } from './errors.ts';

const BIG = 20_000_000;

const honest: Handler = async ({ db }) => db.get('SELECT 1 AS n');

/** Far less than the timeout of a wait for a connection, in milliseconds. */
const AT_ONCE_MS = 1000;

/** Clients that read or send slowly, and responses that wait for one another, keep no connection. */
const READERS = casesOf('slow clients', [], {
  ...Object.fromEntries(
    [4, 1].map((poolSize) => [
      `answers at once while four clients do not read their 20 MB, with a pool of ${String(poolSize)}`,
      async ({ start }: Bench) => {
        const { send, fetch, pool } = await start(
          { poolSize },
          {
            'GET /big': async ({ db }) => {
              await db.get('SELECT 1');
              return Buffer.alloc(BIG, 'x');
            },
            'GET /honest': honest,
          },
        );
        const slow = Array.from({ length: 4 }, () => send('GET /big'));
        await Promise.all(slow.map((client) => client.begun()));
        const begun = performance.now();
        has(await fetch('GET', '/honest'), { status: 200, body: '{"n":1}' });
        assert.ok(performance.now() - begun < AT_ONCE_MS);
        has(pool.stats(), { leased: 0, waiting: 0, acquireTimeouts: 0 });
        assert.ok(slow.every(({ closed }) => !closed));
      },
    ]),
  ),
  'answers pipelined requests that wait behind one that waits for their connections': async ({
    start,
    eventually,
  }) => {
    const [first, second] = [deferred(), deferred()];
    const { send } = await start(
      { poolSize: 2 },
      {
        // The responses to the other two requests wait in the socket for this one.
        'GET /slow': async ({ db }) => {
          await Promise.all([first.promise, second.promise]);
          await Promise.all([db.get('SELECT 1'), db.connection((connection) => connection.get('SELECT 2'))]);
          return 'slow';
        },
        'GET /db/0': answering(first.resolve),
        'GET /db/1': answering(second.resolve),
      },
    );
    const client = send('GET /slow', 'GET /db/0', 'GET /db/1').read();
    await eventually(() => client.statuses.length === 3);
    assert.deepEqual(client.statuses, ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 200']);
  },
  'holds nothing that others need while a handler waits for its client': async ({ start }) => {
    const [entered, rest] = [deferred(), deferred()];
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': async ({ db }) => {
          await db.get('SELECT 1');
          entered.resolve();
          await rest.promise;
          return db.get('SELECT 2 AS n');
        },
        'GET /honest': honest,
      },
    );
    const slow = fetch('POST', '/');
    await entered.promise;
    has(await fetch('GET', '/honest'), { status: 200, body: '{"n":1}' });
    rest.resolve();
    has(await slow, { status: 200, body: '{"n":2}' });
    has(pool.stats(), { acquireTimeouts: 0, opens: 1 });
  },
  'pins nothing between the statements of a body that reads page by page': async ({ start, eventually }) => {
    const [paused, goOn] = [deferred(), deferred()];
    const { send, fetch } = await start(
      { poolSize: 1 },
      {
        'GET /pages': async ({ db }) => {
          await db.get('SELECT 0');
          async function* pages(): AsyncGenerator<string> {
            yield JSON.stringify(await db.get('SELECT 1 AS page'));
            paused.resolve();
            await goOn.promise;
            yield JSON.stringify(await db.get('SELECT 2 AS page'));
          }
          return Readable.from(pages());
        },
        'GET /honest': honest,
      },
    );
    const client = send('GET /pages').read();
    await paused.promise;
    await eventually(() => client.received.includes('{"page":1}'));
    has(await fetch('GET', '/honest'), { status: 200, body: '{"n":1}' });
    goOn.resolve();
    await eventually(() => client.received.includes('{"page":2}'));
  },
  'holds nothing for a stream whose first byte is not there yet': async ({ start, eventually }) => {
    const first = deferred<string>();
    const asked = deferred();
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /late': async ({ db }) => {
          await db.get('SELECT 1');
          async function* body(): AsyncGenerator<string> {
            asked.resolve();
            yield await first.promise;
          }
          return Readable.from(body());
        },
        'GET /honest': honest,
      },
    );
    const late = fetch('GET', '/late');
    await asked.promise;
    has(await fetch('GET', '/honest'), { status: 200, body: '{"n":1}' });
    first.resolve('late');
    has(await late, { status: 200, body: 'late' });
    await eventually(() => pool.stats().leased === 0);
  },
});

const SENDERS = casesOf('slow clients', ['before'], {
  'answers others while a client whose session was looked up sends its body': async ({
    start,
    eventually,
  }) => {
    const asked = deferred();
    const { send, fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': {
          before: async ({ db }) => {
            await db.get('SELECT 1');
            asked.resolve();
            return undefined;
          },
          handler: async ({ db }) => db.get('SELECT 2 AS n'),
        },
        'GET /honest': honest,
      },
    );
    const slow = send().write(HALF_A_POST).read();
    await asked.promise;
    has(await fetch('GET', '/honest'), { status: 200, body: '{"n":1}' });
    slow.write(':"rest"}');
    await eventually(() => slow.received.includes('{"n":2}'));
    has(pool.stats(), { acquireTimeouts: 0, opens: 1 });
  },
});

export const SLOW_CLIENTS: readonly PluginCase[] = [...READERS, ...SENDERS];

function answering(answered: () => void): Handler {
  return async (context) => {
    const value = await honest(context);
    // Runs after the framework has received this handler's answer.
    setImmediate(answered);
    return value;
  };
}
