import assert from 'node:assert/strict';
import { casesOf, deferred, ending, has, INSERT, notes } from './bench.ts';
import type { PluginCase } from './contract.ts';

/** A handler that fails, and the answer to its client. */
const HANDLERS = casesOf('errors', [], {
  'F63 releases the connection of a handler that rejects, once': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          await db.get('SELECT 1');
          throw new Error('a mistake');
        },
      },
    );
    const { acquires } = pool.stats();
    has(await fetch('GET', '/'), { status: 500 });
    has(pool.stats(), { leased: 0, idle: 1, acquires: acquires + 1 });
  },
  'F63 has nothing to release for a handler that rejects before it used its db': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      { 'GET /': () => Promise.reject(new Error('a mistake')) },
    );
    const { acquires } = pool.stats();
    has(await fetch('GET', '/'), { status: 500 });
    has(pool.stats(), { leased: 0, acquires });
  },
  'F63 releases the connection when the answer cannot be written as JSON': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          await db.get('SELECT 1');
          const itself: Record<string, unknown> = {};
          return (itself['itself'] = itself);
        },
      },
    );
    has(await fetch('GET', '/'), { status: 500 });
    has(pool.stats(), { leased: 0, idle: 1 });
  },
  'F26 rolls back a transaction() whose callback throws, and answers its error': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': ({ db }) =>
          db.transaction(async (tx) => {
            await tx.run(INSERT, ['lost']);
            throw Object.assign(new Error('a teapot'), { statusCode: 500 });
          }),
      },
    );
    has(await fetch('POST', '/'), { status: 500 });
    assert.deepEqual(await notes(pool), []);
  },
  'F63 takes a statement that was not awaited, and rejects after the answer': async ({ start }) => {
    const late = deferred<string>();
    const { fetch } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          void ending(db.get('SELECT nothing FROM nowhere')).then(late.resolve);
          throw new Error('a mistake');
        },
      },
    );
    has(await fetch('GET', '/'), { status: 500 });
    assert.equal(await late.promise, 'SQLITE_ERROR');
  },
  'F61 names no table, column, value or file in the default answer to what SQLite refuses': async ({
    start,
  }) => {
    const { fetch, filename } = await start(
      {},
      {
        'POST /notes': async ({ db }) => {
          await db.run(INSERT, ['secret']);
          return db.run("INSERT INTO notes (body) VALUES ('secret')");
        },
        'GET /typo': async ({ db }) => db.all('SELECT bdoy FROM notes WHERE body = ?', ['secret']),
      },
    );
    for (const answer of [await fetch('POST', '/notes'), await fetch('GET', '/typo')]) {
      has(answer, { status: 500 });
      // Outside production, Express answers with the stack, which names source files.
      const told = JSON.stringify(answer).replaceAll(/\(?(?:file:|node:|\/)[^\s)<]+:\d+:\d+\)?/g, '');
      for (const name of ['notes', 'secret', 'bdoy', 'SELECT', 'INSERT', filename])
        assert.ok(!told.includes(name), `The answer says ${name}.`);
    }
  },
});

/** The answer to a client that may try again. */
const RETRYABLE = casesOf('errors', ['error-status'], {
  'F15 answers 503 with Retry-After at once when the queue is full': async ({ start }) => {
    const [entered, leave] = [deferred(), deferred()];
    const { fetch } = await start(
      { poolSize: 1, maxWaiting: 0 },
      {
        'GET /holds': async ({ db }) => {
          await db.connection(async () => {
            entered.resolve();
            await leave.promise;
          });
          return {};
        },
        'GET /refused': async ({ db }) => db.get('SELECT 1 AS n'),
      },
    );
    const holder = fetch('GET', '/holds');
    await entered.promise;
    const refused = await fetch('GET', '/refused');
    has(refused, { status: 503 });
    has(refused.headers, { 'retry-after': '1' });
    leave.resolve();
    has(await holder, { status: 200 });
    has(await fetch('GET', '/refused'), { status: 200 });
  },
  'F11 answers 503 with Retry-After after a wait for a connection that took too long': async ({ start }) => {
    const [entered, leave] = [deferred(), deferred()];
    const { fetch, pool } = await start(
      { poolSize: 1, acquireTimeoutMs: 1000 },
      {
        'GET /holds': async ({ db }) => {
          await db.connection(async () => {
            entered.resolve();
            await leave.promise;
          });
          return {};
        },
        'GET /waits': async ({ db }) => db.get('SELECT 1'),
      },
    );
    const holder = fetch('GET', '/holds');
    await entered.promise;
    const late = await fetch('GET', '/waits');
    has(late, { status: 503 });
    has(late.headers, { 'retry-after': '1' });
    has(pool.stats(), { acquireTimeouts: 1, waiting: 0 });
    leave.resolve();
    has(await holder, { status: 200 });
  },
});

const BODIES = casesOf('errors', ['before'], {
  'F63 releases the connection when the parser of the body fails': async ({ start, unreached }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': {
          before: async ({ db }) => {
            await db.get('SELECT 1');
            return undefined;
          },
          handler: unreached,
        },
      },
    );
    const { status } = await fetch('POST', '/', '{"text":');
    assert.ok(status >= 400, `The status is ${String(status)}.`);
    has(pool.stats(), { leased: 0, idle: 1 });
  },
  'F62 releases the connection when the client leaves within the body': async ({
    start,
    eventually,
    unreached,
  }) => {
    const asked = deferred();
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': {
          before: async ({ db }) => {
            await db.get('SELECT 1');
            asked.resolve();
            return undefined;
          },
          handler: unreached,
        },
      },
    );
    const client = send().write(HALF_A_POST);
    await asked.promise;
    client.leave();
    await eventually(() => pool.stats().leased === 0);
  },
});

export const HALF_A_POST =
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"text"';

export const ERRORS: readonly PluginCase[] = [...HANDLERS, ...RETRYABLE, ...BODIES];
