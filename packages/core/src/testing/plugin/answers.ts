import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { casesOf, deferred, ending, ENDLESS, has, notes, startMeeting, type Handler } from './bench.ts';
import type { PluginCase } from './contract.ts';
import { countListeners } from './listeners.ts';

const one: Handler = async ({ db }) => db.get('SELECT 1 AS n');

/** When a request acquires a connection, and when it releases it. */
export const ANSWERS: readonly PluginCase[] = casesOf('answers', [], {
  'answers with what the database has': async ({ start }) => {
    const { fetch } = await start(
      {},
      {
        'POST /notes': async ({ db }) => db.run("INSERT INTO notes (body) VALUES ('hello')"),
        'GET /notes': async ({ db }) => db.all('SELECT * FROM notes'),
      },
    );
    has(await fetch('POST', '/notes'), { status: 200, body: '{"changes":1,"lastInsertRowid":1}' });
    has(await fetch('GET', '/notes'), { status: 200, body: '[{"id":1,"body":"hello"}]' });
  },
  'answers with a string, and with bytes': async ({ start }) => {
    const { fetch } = await start(
      { poolSize: 1 },
      {
        'GET /string': async ({ db }) => String((await db.get<{ n: number }>('SELECT 1 AS n'))?.n),
        'GET /bytes': async ({ db }) => (await db.get<{ b: Uint8Array }>("SELECT x'6162' AS b"))?.b,
      },
    );
    has(await fetch('GET', '/string'), { status: 200, body: '1' });
    has(await fetch('GET', '/bytes'), { status: 200, body: 'ab' });
  },
  'takes what a client sends': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': async ({ db, body }) =>
          db.run('INSERT INTO notes (body) VALUES (?)', [(body as { text: string }).text]),
      },
    );
    has(await fetch('POST', '/', '{"text":"sent"}'), { status: 200 });
    assert.deepEqual(await notes(pool), ['sent']);
  },
  'takes no connection for a request that never uses its db, or that has no route': async ({ start }) => {
    const { fetch, pool } = await start({}, { 'GET /': async ({ db }) => ({ type: typeof db.get }) });
    const { acquires } = pool.stats();
    has(await fetch('GET', '/'), { status: 200, body: '{"type":"function"}' });
    has(await fetch('GET', '/nowhere'), { status: 404 });
    has(await fetch('POST', '/nowhere', '{}'), { status: 404 });
    assert.equal(pool.stats().acquires, acquires);
  },
  'answers a HEAD without a body, and releases the connection': async ({ start }) => {
    const { fetch, pool } = await start({ poolSize: 1 }, { 'GET /': one });
    has(await fetch('HEAD', '/'), { status: 200, body: '' });
    has(pool.stats(), { leased: 0, idle: 1 });
  },
  'uses one connection for all reads of a request, and keeps it between them': async ({ start }) => {
    const between: number[] = [];
    const { fetch, pool } = await start(
      { poolSize: 3 },
      {
        'GET /': async ({ db }) => {
          between.push(pool.stats().leased);
          await Promise.all([db.get('SELECT 1'), db.get('SELECT 2'), db.get('SELECT 3')]);
          between.push(pool.stats().leased);
          const row = await db.connection((connection) => connection.get('SELECT 4 AS n'));
          for await (const each of db.iterate('SELECT 1 AS n')) assert.deepEqual(each, { n: 1 });
          return row;
        },
      },
    );
    const { acquires } = pool.stats();
    has(await fetch('GET', '/'), { status: 200, body: '{"n":4}' });
    assert.deepEqual(between, [0, 1]);
    assert.equal(pool.stats().acquires - acquires, 1);
  },
  "leases for each statement in mode 'statement', and holds nothing in between": async ({ start }) => {
    const between: number[] = [];
    const { fetch, pool } = await start(
      { poolSize: 3, lease: 'statement' },
      {
        'GET /': async ({ db }) => {
          await db.get('SELECT 1');
          between.push(pool.stats().leased);
          await db.connection(() => between.push(pool.stats().leased));
          between.push(pool.stats().leased);
          return await db.get('SELECT 2 AS n');
        },
      },
    );
    const { acquires } = pool.stats();
    has(await fetch('GET', '/'), { status: 200, body: '{"n":2}' });
    assert.deepEqual(between, [0, 1, 0]);
    assert.equal(pool.stats().acquires - acquires, 3);
  },
  'has released the connection when the client has its answer': async ({ start, eventually }) => {
    const { pool, send } = await start({ poolSize: 1 }, { 'GET /': one });
    const client = send('GET /').read();
    await eventually(() => {
      if (client.received === '') return false;
      has(pool.stats(), { leased: 0, idle: 1 });
      return true;
    });
    assert.match(client.received, / 200 OK/);
  },
  'gives each of two requests at the same time a connection of its own': async ({ start }) => {
    const { fetch } = await startMeeting(start);
    const [answer] = await Promise.all([fetch('GET', '/first'), fetch('GET', '/second')]);
    has(answer, { status: 200, body: '{"leased":2}' });
  },
  'F21 rolls back what a handler began and did not commit': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /forgetful': async ({ db }) => {
          await db.run('BEGIN IMMEDIATE');
          return db.run("INSERT INTO notes (body) VALUES ('lost')");
        },
        'GET /notes': async ({ db }) => db.all('SELECT * FROM notes'),
      },
    );
    has(await fetch('POST', '/forgetful'), { status: 200 });
    has(await fetch('GET', '/notes'), { status: 200, body: '[]' });
    assert.equal(pool.stats().writerHeld, false);
  },
  'leases for itself what a handler does after it has answered': async ({ start }) => {
    const done = deferred<string>();
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': async (context) => {
          const { db, response } = context;
          await db.get('SELECT 1');
          response.once('close', () => {
            done.resolve(db.run("INSERT INTO notes (body) VALUES ('after')").then(() => 'done', String));
          });
          return {};
        },
      },
    );
    has(await fetch('POST', '/'), { status: 200 });
    assert.equal(await done.promise, 'done');
    assert.deepEqual(await notes(pool), ['after']);
  },
  'F14 leaves no listener on a signal that it was given': async ({ start }) => {
    const { signal } = new AbortController();
    const { fetch } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          await Promise.all([db.get('SELECT 1', [], { signal }), db.get('SELECT 2', [], { signal })]);
          return await db.get('SELECT 3 AS n', [], { signal });
        },
      },
    );
    has(await fetch('GET', '/'), { status: 200, body: '{"n":3}' });
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  },
});

/** Many requests on one client connection. */
export const KEEP_ALIVE: readonly PluginCase[] = casesOf('keep-alive', [], {
  'F14 leaves no listener on a connection, however many requests it brings': async ({
    start,
    eventually,
  }) => {
    const counts: number[] = [];
    const { send } = await start(
      { poolSize: 1 },
      {
        'GET /': async (context) => {
          counts.push(countListeners(context));
          return one(context);
        },
      },
    );
    const client = send().read();
    for (let nth = 1; nth <= 20; nth += 1) {
      client.send('GET /');
      await eventually(() => client.statuses.length === nth);
    }
    assert.equal(counts.length, 20);
    // Compares with the second request: a client connection may get listeners with its first request.
    assert.equal(counts.at(-1), counts[1]);
  },
  'answers pipelined requests in their order': async ({ start, eventually }) => {
    const { send } = await start(
      { poolSize: 2 },
      { 'GET /1': one, 'GET /2': async ({ db }) => db.get('SELECT 2 AS n'), 'GET /fails': fails },
    );
    const client = send(
      ...Array.from({ length: 4 }, () => ['GET /1', 'GET /fails', 'GET /2', 'GET /nowhere']).flat(),
    );
    client.read();
    await eventually(() => client.statuses.length === 16);
    const round = ['200', '500', '200', '404'].map((status) => `HTTP/1.1 ${status}`);
    assert.deepEqual(client.statuses, [...round, ...round, ...round, ...round]);
    assert.deepEqual(client.received.match(/\{"n":\d\}/g)?.slice(0, 2), ['{"n":1}', '{"n":2}']);
  },
  'F62 revokes the connections of pipelined requests when their client leaves': async ({
    start,
    eventually,
  }) => {
    const ends: string[] = [];
    const { send, pool } = await start(
      { poolSize: 2 },
      {
        'GET /endless': async ({ db }) => {
          ends.push(await ending(db.get(ENDLESS)));
          return {};
        },
      },
    );
    const client = send('GET /endless', 'GET /endless');
    await eventually(() => pool.stats().leased === 2);
    client.leave();
    await eventually(() => ends.length === 2);
    assert.deepEqual(ends, ['LEASE_ENDED', 'LEASE_ENDED']);
  },
});

async function fails(context: Parameters<Handler>[0]): Promise<never> {
  await one(context);
  throw new Error('a mistake');
}
