import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as tick } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import { createPool } from '@sqlite-pool/core';
import {
  fastify,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
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
  options: Pick<SqlitePoolOptions, 'disconnectGraceMs'> = {},
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
  if (!app.server.listening) await app.listen({ port: 0, host: '127.0.0.1' });
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

  it('is over before the first byte of a stream leaves, and the stream goes on', async () => {
    const app = await makeApp();
    const late: unknown[] = [];
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(NOTE);
      const lines = async function* () {
        yield* ['rows:'];
        await vi.waitFor(() => expect(app.sqlite.stats().writerHeld).toBe(false));
        for await (const row of request.db.iterate('SELECT body FROM notes')) yield JSON.stringify(row);
        await request.db.run(NOTE).catch((error: unknown) => late.push(error));
      };
      return reply.send(Readable.from(lines()));
    });
    const response = await app.inject('/');
    expect([response.statusCode, response.body]).toEqual([200, 'rows:{"body":"a"}']);
    expect(late).toMatchObject([{ code: 'LEASE_ENDED' }]);
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

  it.each([
    [200, NOTE, 'mine', 1],
    [409, NOTE, 'mine', 0],
    [200, ORPHAN, '', 0],
  ])('F70 ends before a hijacked reply leaves: status %i after %s', async (status, sql, expected, rows) => {
    const app = await makeApp();
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(sql);
      reply.hijack();
      reply.raw.writeHead(status).end('mine');
    });
    const response = await fetch(`http://127.0.0.1:${String(await port(app))}/`);
    expect([response.status, await response.text(), await count(app)]).toEqual([
      sql === ORPHAN ? 500 : status,
      expected,
      rows,
    ]);
    await vi.waitFor(() => expect(app.sqlite.stats()).toMatchObject(FREE));
  });

  it.each([
    ['GET', 60_000],
    ['POST', 50],
  ] as const)(
    'F62 of a %s that never answers is rolled back when its client leaves',
    async (method, disconnectGraceMs) => {
      const app = await makeApp({ disconnectGraceMs });
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
      while (app.sqlite.stats().writerHeld) await tick();
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

  it('may only read, without the write lock', async () => {
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
  /** What fails after the handler, wherever: hooks are added before the plugin is used, and after it, in a parent and in a child. */
  const later: Record<string, (app: FastifyInstance) => void> = {
    'an onSend hook that throws': (app) =>
      app.addHook('onSend', async (_request, reply) => {
        if (reply.statusCode < 400) throw new Error('too late');
      }),
    'an onSend hook that sets a status': (app) =>
      app.addHook('onSend', async (_request, reply) => {
        reply.code(503);
      }),
    'an onSend hook that gives a payload that Fastify refuses': (app) =>
      app.addHook<number | string>('onSend', async (_request, reply, payload) =>
        reply.statusCode < 400 ? 42 : payload,
      ),
    'an onSend hook that gives a stream that fails before its first byte': (app) =>
      app.addHook<Readable | string>('onSend', async (_request, reply, payload) => {
        if (reply.statusCode >= 400) return payload;
        reply.removeHeader('content-length');
        return failing();
      }),
    'a header that Node.js refuses': (app) =>
      app.addHook('onSend', async (_request, reply) => {
        if (reply.statusCode < 400) reply.header('x-name', '\u0119');
        else reply.removeHeader('x-name');
      }),
  };
  const placesOf = (app: FastifyInstance, add: (app: FastifyInstance) => void) => {
    app.register(async (child) => {
      add(child);
      child.post('/child', TRANSACTION, write);
    });
    app.register(async (child) => {
      child.addHook('onRoute', (route) => {
        // As the hooks of a route itself, which are the last ones.
        const hooks: Record<string, unknown> = {};
        add({ addHook: (name: string, hook: unknown) => (hooks[name] = hook) } as unknown as FastifyInstance);
        Object.assign(route, hooks);
      });
      child.post('/route', TRANSACTION, write);
    });
  };
  const write = async (request: FastifyRequest) => {
    await request.db.run(NOTE);
    return { done: true };
  };
  const failing = () =>
    new Readable({
      read() {
        this.destroy(new Error('cannot be read'));
      },
    });

  it.each(Object.entries(later))('F70 is not kept: %s', async (_how, add) => {
    const app = await makeApp();
    placesOf(app, add);
    await app.register(async (parent) => {
      add(parent);
      await parent.register(sqlitePool, { pool: app.sqlite, name: 'audit' });
      parent.post('/before', { config: { sqlite: { transaction: 'audit' } } }, async (request) => {
        await request.audit.run(NOTE);
        return { done: true };
      });
    });
    for (const url of ['/child', '/route', '/before']) {
      const { statusCode } = await app.inject({ method: 'POST', url });
      expect([url, statusCode >= 400, await count(app)]).toEqual([url, true, 0]);
    }
    expect(app.sqlite.stats()).toMatchObject(FREE);
  });

  const refused: Record<string, (reply: FastifyReply) => unknown> = {
    'a header that Node.js refuses': (reply) => reply.header('x-name', '\u0119').send({ a: 1 }),
    'a payload that Fastify refuses': (reply) => reply.type('text/plain').send({ a: 1 }),
    'a stream that fails before its first byte': (reply) => reply.send(failing()),
    'a stream of the web that fails before its first byte': (reply) => reply.send(Readable.toWeb(failing())),
    'a Response that says so': (reply) => reply.send(new Response('no', { status: 502 })),
    'a body that is no JSON': (reply) => reply.send({ count: 1n }),
  };
  it.each(Object.entries(refused))(
    'F70 is not kept, is answered with an error, and ends no process: %s',
    async (_how, answer) => {
      const app = await makeApp();
      app.get('/', TRANSACTION, async (request, reply) => {
        await request.db.run(NOTE);
        await answer(reply);
        return reply;
      });
      const response = await fetch(`http://127.0.0.1:${String(await port(app))}/`);
      expect(response.status).toBeGreaterThanOrEqual(500);
      expect(await count(app)).toBe(0);
      expect(app.sqlite.stats()).toMatchObject(FREE);
    },
  );

  const kept: Record<string, (reply: FastifyReply) => unknown> = {
    nothing: (reply) => reply.code(204).send(),
    'a redirect': (reply) => reply.redirect('/there'),
    'a body that a 204 has not': (reply) => reply.code(204).send('none'),
    'a Response': (reply) => reply.send(new Response('yes', { status: 202 })),
    'a stream of the web': (reply) => reply.send(Readable.toWeb(Readable.from(['a', 'b']))),
    trailers: (reply) => reply.trailer('x-sum', async () => '1').send('a'),
    'bytes by hand': (reply) => reply.raw.end('a'),
    'a head by hand': (reply) => reply.raw.writeHead(200).end(),
  };
  it.each(Object.entries(kept))('F70 is kept when it succeeds: %s', async (_what, answer) => {
    const app = await makeApp();
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(NOTE);
      await answer(reply);
      return reply;
    });
    const response = await fetch(`http://127.0.0.1:${String(await port(app))}/`, { redirect: 'manual' });
    expect(response.status).toBeLessThan(400);
    expect(await count(app)).toBe(1);
    expect(app.sqlite.stats()).toMatchObject(FREE);
  });

  it('F70 is kept when it succeeds, and not when its COMMIT fails, of a HEAD too', async () => {
    const app = await makeApp();
    for (const sql of [NOTE, ORPHAN])
      app.get(`/${String(sql === NOTE)}`, TRANSACTION, async (request) => request.db.run(sql));
    const url = `http://127.0.0.1:${String(await port(app))}`;
    expect((await fetch(`${url}/false`, { method: 'HEAD' })).status).toBe(500);
    expect((await fetch(`${url}/true`, { method: 'HEAD' })).status).toBe(200);
    expect(await count(app)).toBe(1);
    expect(await app.sqlite.all('SELECT * FROM child')).toEqual([]);
  });

  it('F70 leaves no header of an answer whose COMMIT failed in the one that takes its place', async () => {
    const app = await makeApp();
    app.addHook('onRequest', async (_request, reply) => {
      reply.header('x-before', 'kept');
    });
    // As @fastify/compress does.
    app.addHook('onSend', async (_request, reply, payload) => {
      if (reply.statusCode >= 400) return payload;
      reply.header('content-encoding', 'gzip').removeHeader('content-length');
      return Readable.from([String(payload)]).pipe(createGzip());
    });
    app.get('/', TRANSACTION, async (request, reply) => {
      await request.db.run(ORPHAN);
      return reply.code(201).header('location', '/new').header('etag', '"1"').send({ done: true });
    });
    const { statusCode, headers, body } = await app.inject('/');
    expect([statusCode, JSON.parse(body)]).toMatchObject([500, { code: 'SQLITE_ERROR' }]);
    expect(headers).toMatchObject({ 'x-before': 'kept' });
    for (const name of ['content-encoding', 'location', 'etag']) expect(headers).not.toHaveProperty(name);
  });

  it('F70 is answered by the error handler of its route when the COMMIT fails', async () => {
    const app = await makeApp();
    const errorHandler = (error: Error, _request: FastifyRequest, reply: FastifyReply) => {
      void reply.code(409).send({ why: error.message });
    };
    app.get('/', { ...TRANSACTION, errorHandler }, async (request) => request.db.run(ORPHAN));
    const response = await app.inject('/');
    expect([response.statusCode, response.json()]).toEqual([
      409,
      { why: expect.stringContaining('FOREIGNKEY') as string },
    ]);
  });

  it('F70 is answered once when the COMMIT of one of two databases fails', async () => {
    const app = await makeApp();
    await app.register(sqlitePool, { filename: join(await directory(), 'audit.db'), name: 'audit' });
    await app.auditPool.script(SCHEMA);
    for (const [url, db, audit] of [
      ['/audit', NOTE, ORPHAN],
      ['/db', ORPHAN, NOTE],
    ] as const) {
      app.get(url, { config: { sqlite: { transaction: ['db', 'audit'] } } }, async (request) => {
        await request.db.run(db);
        await request.audit.run(audit);
        return { done: true };
      });
    }
    for (const url of ['/audit', '/db']) {
      const response = await fetch(`http://127.0.0.1:${String(await port(app))}${url}`);
      expect([response.status, await response.json()]).toMatchObject([500, { code: 'SQLITE_ERROR' }]);
    }
    expect(await app.sqlite.all('SELECT * FROM child')).toEqual([]);
    expect(await app.auditPool.all('SELECT * FROM child')).toEqual([]);
    expect([app.sqlite.stats(), app.auditPool.stats()]).toMatchObject([FREE, FREE]);
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
