import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { createPool } from '@sqlite-pool/core';
import {
  fastify,
  type FastifyInstance,
  type FastifyReply,
  type FastifyServerOptions,
  type RouteShorthandOptions,
} from 'fastify';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { sqlitePool, type SqlitePoolOptions } from '../src/index.ts';

/** `child` is checked at the COMMIT, so that one can fail. */
const SCHEMA = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
  CREATE TABLE child (parent REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED);
`;
const NOTE = "INSERT INTO notes (body) VALUES ('a')";
const ORPHAN = 'INSERT INTO child VALUES (1)';
const TRANSACTION: RouteShorthandOptions = { config: { sqlite: { transaction: true } } };
const FREE = { leased: 0, waiting: 0, writersWaiting: 0, writerHeld: false };

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

async function makeApp(
  options: Pick<SqlitePoolOptions, 'graceMs'> = {},
  serverOptions: FastifyServerOptions = {},
): Promise<FastifyInstance> {
  const filename = join(await directory(), 'app.db');
  const app = fastify({ forceCloseConnections: true, ...serverOptions });
  onTestFinished(() => app.close());
  await app.register(sqlitePool, { filename, poolSize: 2, closeTimeoutMs: 100, ...options });
  await app.sqlite.script(SCHEMA);
  return app;
}

async function count(app: FastifyInstance): Promise<number> {
  const row = await app.sqlite.get<{ n: number }>('SELECT count(*) AS n FROM notes');
  return row?.n ?? NaN;
}

async function port(app: FastifyInstance): Promise<number> {
  await app.listen({ port: 0, host: '127.0.0.1' });
  return (app.server.address() as AddressInfo).port;
}

describe('a route of Fastify that is one transaction', () => {
  it('commits before its response leaves', async () => {
    const app = await makeApp();
    app.post('/', TRANSACTION, async (request, reply) => {
      await request.db.run(NOTE);
      expect(await count(app)).toBe(0);
      await request.db.run(NOTE);
      return reply.code(201).send({ done: true });
    });
    const response = await app.inject({ method: 'POST', url: '/' });
    expect([response.statusCode, response.json()]).toEqual([201, { done: true }]);
    expect(await count(app)).toBe(2);
    expect(app.sqlite.stats()).toMatchObject(FREE);
  });

  it.each(['throws', 'answers 400', 'calls the 404 handler', 'fails after its handler'])(
    'rolls back when it %s',
    async (how) => {
      const app = await makeApp();
      app.post(
        '/',
        {
          ...TRANSACTION,
          preSerialization: async (_request, _reply, payload) => {
            if (how === 'fails after its handler') throw new Error('cannot be serialized');
            return payload;
          },
        },
        async (request, reply) => {
          await request.db.run(NOTE);
          if (how === 'throws') throw new Error('refused');
          if (how === 'answers 400') return reply.code(400).send({ why: 'no' });
          if (how.includes('404')) {
            reply.callNotFound();
            return reply;
          }
          return {};
        },
      );
      const { statusCode } = await app.inject({ method: 'POST', url: '/' });
      expect(statusCode).toBeGreaterThanOrEqual(400);
      expect(await count(app)).toBe(0);
      expect(app.sqlite.stats()).toMatchObject(FREE);
    },
  );

  it('rolls back when it throws, even if an error handler makes a redirect of it', async () => {
    const app = await makeApp();
    app.setErrorHandler((_error, _request, reply) => reply.redirect('/login'));
    app.post('/', TRANSACTION, async (request) => {
      await request.db.run(NOTE);
      throw new Error('log in first');
    });
    expect((await app.inject({ method: 'POST', url: '/' })).statusCode).toBe(302);
    expect(await count(app)).toBe(0);
  });

  it('answers 500 when its COMMIT fails, and not what the handler said', async () => {
    const app = await makeApp();
    app.post('/', TRANSACTION, async (request, reply) => {
      await request.db.run(ORPHAN);
      return reply.code(201).send({ done: true });
    });
    const response = await app.inject({ method: 'POST', url: '/' });
    expect(response.statusCode).toBe(500);
    expect(response.json()).toMatchObject({ message: expect.stringContaining('FOREIGNKEY') as string });
    expect(await app.sqlite.all('SELECT * FROM child')).toEqual([]);
    expect(app.sqlite.stats()).toMatchObject(FREE);
  });

  it('answers 500 when its COMMIT fails before a stream, which it destroys', async () => {
    const app = await makeApp();
    const body = Readable.from(['never read']);
    app.post('/', TRANSACTION, async (request, reply) => {
      await request.db.run(ORPHAN);
      return reply.send(body);
    });
    const response = await app.inject({ method: 'POST', url: '/' });
    expect([response.statusCode, body.destroyed]).toEqual([500, true]);
    expect(response.body).not.toContain('never read');
  });

  it('takes nothing if its handler does not use the database, or its body is refused', async () => {
    const app = await makeApp();
    const schema = { body: { type: 'object', required: ['body'] } };
    app.post('/', { ...TRANSACTION, schema }, async () => ({}));
    const { acquires } = app.sqlite.stats();
    expect((await app.inject({ method: 'POST', url: '/', payload: { body: 'a' } })).statusCode).toBe(200);
    expect((await app.inject({ method: 'POST', url: '/', payload: {} })).statusCode).toBe(400);
    expect(app.sqlite.stats().acquires).toBe(acquires);
  });

  it('does not begin before the body is there: a slow sender keeps nobody from writing', async () => {
    const app = await makeApp();
    app.addHook('onRequest', async (request) => {
      await request.db.run(NOTE);
    });
    app.post('/', TRANSACTION, async (request) => {
      await request.db.run(NOTE);
      throw new Error('refused');
    });
    const slow = send({ port: await port(app), host: '127.0.0.1', method: 'POST', path: '/' });
    slow.setHeader('content-type', 'application/json').setHeader('content-length', 2).write('{');
    await vi.waitFor(async () => expect(await count(app)).toBe(1));
    expect(app.sqlite.stats()).toMatchObject({ writerHeld: false });
    slow.end('}');
    const [response] = (await once(slow, 'response')) as [Readable];
    response.resume();
    // What the hook wrote is no part of the transaction.
    expect(await count(app)).toBe(1);
  });

  it('is over before the first byte of a stream, which reads what was committed', async () => {
    const app = await makeApp();
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(NOTE);
      const lines = async function* () {
        for await (const row of request.db.iterate('SELECT body FROM notes')) {
          expect(app.sqlite.stats().writerHeld).toBe(false);
          yield JSON.stringify(row);
        }
      };
      return reply.send(Readable.from(lines()));
    });
    const response = await app.inject('/');
    expect([response.statusCode, response.body]).toEqual([200, '{"body":"a"}']);
    await vi.waitFor(() => expect(app.sqlite.stats()).toMatchObject(FREE));
  });

  it('refuses a write after the response, which would be committed alone', async () => {
    const app = await makeApp();
    const late: unknown[] = [];
    app.addHook('onResponse', async (request) => {
      await request.db.run(NOTE).catch((error: unknown) => late.push(error));
    });
    app.post('/', TRANSACTION, async (request) => request.db.run(NOTE));
    await app.inject({ method: 'POST', url: '/' });
    await vi.waitFor(() => expect(late).toMatchObject([{ code: 'LEASE_ENDED' }]));
    expect(await count(app)).toBe(1);
  });

  it('is rolled back when its reply is hijacked', async () => {
    const app = await makeApp();
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(NOTE);
      reply.hijack();
      reply.raw.end('mine');
    });
    expect((await app.inject('/')).body).toBe('mine');
    await vi.waitFor(() => expect(app.sqlite.stats()).toMatchObject(FREE));
    expect(await count(app)).toBe(0);
  });

  it.each([
    ['GET', 60_000],
    ['POST', 50],
  ] as const)(
    'F62 of a %s that never answers is rolled back when its client leaves',
    async (method, graceMs) => {
      const app = await makeApp({ graceMs });
      app.route({
        method,
        url: '/',
        config: { sqlite: { transaction: true } },
        handler: async (request) => {
          await request.db.run(NOTE);
          await new Promise(() => undefined);
        },
      });
      const client = send({ port: await port(app), host: '127.0.0.1', method, path: '/' });
      client.on('error', () => undefined).end();
      await vi.waitFor(() => expect(app.sqlite.stats().writerHeld).toBe(true));
      client.destroy();
      await vi.waitFor(() => expect(app.sqlite.stats()).toMatchObject(FREE));
      expect(await count(app)).toBe(0);
    },
  );

  it('F63 is rolled back at handlerTimeout, and what the handler does then is refused', async () => {
    const app = await makeApp();
    const late: unknown[] = [];
    app.post('/', { ...TRANSACTION, handlerTimeout: 30 }, async (request) => {
      await request.db.run(NOTE);
      while (app.sqlite.stats().writerHeld) await turn();
      await request.db.run(NOTE).catch((error: unknown) => late.push(error));
      return {};
    });
    expect((await app.inject({ method: 'POST', url: '/' })).statusCode).toBe(503);
    await vi.waitFor(() => expect(late).toMatchObject([{ code: 'LEASE_ENDED' }]));
    expect(await count(app)).toBe(0);
  });

  it('may be of another database, or of several', async () => {
    const app = await makeApp();
    await app.register(sqlitePool, { filename: join(await directory(), 'audit.db'), name: 'audit' });
    await app.auditPool.script('CREATE TABLE log (line TEXT)');
    const line = "INSERT INTO log VALUES ('x')";
    for (const [url, transaction] of Object.entries({
      '/both': ['db', 'audit'],
      '/audit': 'audit',
      '/none': false,
    } as const)) {
      app.post(url, { config: { sqlite: { transaction } } }, async (request, reply) => {
        await request.db.run(NOTE);
        await request.audit.run(line);
        return reply.code(409).send();
      });
    }
    const rows = async (url: string) => {
      expect((await app.inject({ method: 'POST', url })).statusCode).toBe(409);
      return [await count(app), (await app.auditPool.all('SELECT * FROM log')).length];
    };
    expect(await rows('/both')).toEqual([0, 0]);
    expect(await rows('/audit')).toEqual([1, 0]);
    expect(await rows('/none')).toEqual([2, 1]);
  });

  it('may only read, without the turn to write', async () => {
    const app = await makeApp();
    app.get('/', { config: { sqlite: { transaction: true, mode: 'deferred' } } }, async (request) => {
      const before = await request.db.get('SELECT count(*) AS n FROM notes');
      await app.sqlite.run(NOTE);
      return [before, await request.db.get('SELECT count(*) AS n FROM notes')];
    });
    expect((await app.inject('/')).json()).toEqual([{ n: 0 }, { n: 0 }]);
  });

  it.each([true, { transaction: 1 }, { transaction: true, retries: 1 }, { transactions: true }])(
    'is refused when it is declared with %o',
    async (sqlite) => {
      const app = await makeApp();
      // Mistakes that TypeScript would catch.
      const options = { config: { sqlite } } as unknown as RouteShorthandOptions;
      expect(() => app.get('/', options, () => 'never')).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error,
      );
    },
  );

  it('shares a pool that was given with routes that are none', async () => {
    const pool = createPool({ filename: join(await directory(), 'app.db') });
    onTestFinished(() => pool.close());
    const app = fastify();
    onTestFinished(() => app.close());
    await app.register(sqlitePool, { pool });
    app.setNotFoundHandler(async (request, reply) =>
      reply.code(404).send(await request.db.get('SELECT 1 AS one')),
    );
    expect((await app.inject('/nowhere')).json()).toEqual({ one: 1 });
  });
});

describe('an answer of a transaction that goes wrong', () => {
  const refused: Record<string, (reply: FastifyReply) => unknown> = {
    'a header that Node.js refuses': (reply) => reply.header('x-name', '\u0119').send({ a: 1 }),
    'a payload that Fastify refuses': (reply) => reply.type('text/plain').send({ a: 1 }),
  };
  it.each(Object.entries(refused))('is answered with 500, and ends no process: %s', async (_how, answer) => {
    const app = await makeApp();
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(NOTE);
      await answer(reply);
    });
    const response = await fetch(`http://127.0.0.1:${String(await port(app))}/`);
    expect(response.status).toBe(500);
    expect(app.sqlite.stats()).toMatchObject(FREE);
  });

  it('is answered with 500 when its stream fails before the COMMIT is done', async () => {
    const app = await makeApp();
    app.get('/', TRANSACTION, async (request) => {
      await request.db.run(NOTE);
      const body = new Readable({ read: () => undefined });
      process.nextTick(() => body.destroy(new Error('cannot be read')));
      return body;
    });
    const response = await fetch(`http://127.0.0.1:${String(await port(app))}/`);
    expect(response.status).toBe(500);
  });

  it.each(['sends another one', 'throws'])('is the first one when its handler %s', async (how) => {
    const app = await makeApp();
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(NOTE);
      void reply.code(201).send({ a: 1 });
      if (how === 'throws') throw new Error('too late');
      return { b: 1 };
    });
    const response = await fetch(`http://127.0.0.1:${String(await port(app))}/`);
    expect([response.status, await response.json()]).toEqual([201, { a: 1 }]);
    expect(await count(app)).toBe(1);
  });

  it('is an error when the COMMIT fails, although its handler sends another one', async () => {
    const app = await makeApp();
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(ORPHAN);
      void reply.send({ a: 1 });
      return { b: 1 };
    });
    const response = await fetch(`http://127.0.0.1:${String(await port(app))}/`);
    expect([response.status, await response.json()]).toMatchObject([500, { code: 'SQLITE_ERROR' }]);
  });
});
