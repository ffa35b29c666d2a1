import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { casesOf, deferred, has, INSERT, never, notes } from './bench.ts';
import type { PluginCase } from './contract.ts';

/** Steps before the handler. */
const BEFORE = casesOf('hooks', ['before'], {
  'shares the connection of a step before the handler with the handler': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': {
          before: async ({ db }) => {
            await db.run('CREATE TEMP TABLE mine AS SELECT 1 AS n');
            return undefined;
          },
          handler: async ({ db }) => db.get('SELECT * FROM mine'),
        },
      },
    );
    const { acquires } = pool.stats();
    has(await fetch('GET', '/'), { status: 200, body: '{"n":1}' });
    assert.equal(pool.stats().acquires, acquires + 1);
  },
  'F63 releases the connection when a step before the handler rejects': async ({ start, unreached }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': {
          before: async ({ db }) => {
            await db.run('BEGIN IMMEDIATE');
            throw new Error('a mistake');
          },
          handler: unreached,
        },
      },
    );
    has(await fetch('GET', '/'), { status: 500 });
    assert.deepEqual(await notes(pool), []);
  },
  'releases the connection when a step before the handler answers': async ({ start, unreached }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /used': {
          before: async ({ db }) => db.get('SELECT 2 AS n'),
          handler: unreached,
        },
        'GET /unused': {
          before: async () => ({ n: 3 }),
          handler: unreached,
        },
      },
    );
    has(await fetch('GET', '/used'), { status: 200, body: '{"n":2}' });
    has(pool.stats(), { leased: 0, idle: 1 });
    has(await fetch('GET', '/unused'), { status: 200, body: '{"n":3}' });
    assert.deepEqual(await notes(pool), []);
  },
});

/** Steps after the handler. */
const AFTER = casesOf('hooks', ['after'], {
  'lets a step after the handler use the db': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': {
          handler: async ({ db }) => db.run(INSERT, ['by the handler']),
          after: async ({ db }) => {
            await db.run(INSERT, ['after it']);
          },
        },
      },
    );
    has(await fetch('POST', '/'), { status: 200 });
    assert.deepEqual(await notes(pool), ['by the handler', 'after it']);
  },
  'F63 releases the connection when a step after the handler rejects': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': {
          handler: async ({ db }) => db.get('SELECT 1'),
          after: async ({ db }) => {
            await db.get('SELECT 2');
            throw new Error('a mistake');
          },
        },
      },
    );
    has(await fetch('GET', '/'), { status: 500 });
    has(pool.stats(), { leased: 0, idle: 1 });
  },
});

/** Routes in a child scope of the application. */
const CHILDREN = casesOf('child scopes', ['child-scope'], {
  'gives a child scope its db, one connection for the whole request': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      { 'GET /child/notes': { child: true, handler: async ({ db }) => db.get('SELECT 1 AS n') } },
    );
    const { acquires } = pool.stats();
    has(await fetch('GET', '/child/notes'), { status: 200, body: '{"n":1}' });
    has(await fetch('GET', '/child/nowhere'), { status: 404 });
    has(pool.stats(), { acquires: acquires + 1, leased: 0 });
  },
  'F63 releases the connection when a handler of a child scope rejects': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /child/fails': {
          child: true,
          handler: async ({ db }) => {
            await db.run('BEGIN IMMEDIATE');
            await db.run(INSERT, ['lost']);
            throw new Error('a mistake');
          },
        },
      },
    );
    has(await fetch('GET', '/child/fails'), { status: 500 });
    assert.deepEqual(await notes(pool), []);
  },
  'F62 frees the connection of a handler of a child scope whose client leaves': async ({
    start,
    eventually,
  }) => {
    const used = deferred();
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'GET /child/hangs': {
          child: true,
          handler: async ({ db }) => {
            await db.run('CREATE TEMP TABLE mine (n)');
            used.resolve();
            return never();
          },
        },
      },
    );
    const client = send('GET /child/hangs');
    await used.promise;
    assert.equal(pool.stats().leased, 1);
    client.leave();
    await eventually(() => pool.stats().leased === 0);
  },
});

/** Answers without a socket. */
const INJECTED = casesOf('without a socket', ['inject'], {
  'answers, and releases the connection': async ({ start }) => {
    const { inject, pool } = await start(
      { poolSize: 1 },
      { 'GET /': async ({ db }) => db.get('SELECT 1 AS n') },
    );
    assert.ok(inject);
    has(await inject('GET', '/'), { status: 200, body: '{"n":1}' });
    has(await inject('HEAD', '/'), { status: 200 });
    has(await inject('GET', '/nowhere'), { status: 404 });
    has(pool.stats(), { leased: 0, idle: 1 });
  },
  'F63 releases the connection of a handler that rejects': async ({ start }) => {
    const { inject, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          await db.run('BEGIN IMMEDIATE');
          await db.run(INSERT, ['lost']);
          throw new Error('a mistake');
        },
      },
    );
    assert.ok(inject);
    has(await inject('GET', '/'), { status: 500 });
    assert.deepEqual(await notes(pool), []);
  },
  'leases per statement in a streaming body': async ({ start }) => {
    const leased: number[] = [];
    const { inject, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          await db.get('SELECT 0');
          async function* pages(): AsyncGenerator<string> {
            for (const n of [1, 2]) {
              yield JSON.stringify(await db.get('SELECT ? AS n', [n]));
              leased.push(pool.stats().leased);
            }
          }
          return Readable.from(pages());
        },
      },
    );
    assert.ok(inject);
    has(await inject('GET', '/'), { status: 200, body: '{"n":1}{"n":2}' });
    assert.deepEqual(leased, [0, 0]);
  },
});

export const HOOKS: readonly PluginCase[] = [...BEFORE, ...AFTER, ...CHILDREN, ...INJECTED];
