import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createAdaptorServer,
  upgradeWebSocket,
  type HttpBindings,
  type WebSocketServerLike,
} from '@hono/node-server';
import { Hono, type Context, type MiddlewareHandler } from 'hono';
import { compress } from 'hono/compress';
import { etag } from 'hono/etag';
import { stream } from 'hono/streaming';
import { timeout } from 'hono/timeout';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import {
  sqlitePool,
  type SqlitePoolMiddleware,
  type SqlitePoolOptions,
  type SqlitePoolVariables,
} from '../src/index.ts';

/** `child` is checked at the COMMIT, so that one can fail. */
const SCHEMA = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
  CREATE TABLE child (parent REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED);
`;
const NOTE = "INSERT INTO notes (body) VALUES ('a')";
const ORPHAN = 'INSERT INTO child VALUES (1)';
const FREE = { leased: 0, waiting: 0, writersWaiting: 0, writerHeld: false };

type Db = SqlitePoolMiddleware<'db'>;
interface Env {
  Variables: SqlitePoolVariables;
  Bindings: HttpBindings;
}

async function makeDb(options: Pick<SqlitePoolOptions, 'disconnectGraceMs'> = {}): Promise<Db> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  const db = sqlitePool({
    filename: join(directory, 'app.db'),
    poolSize: 2,
    closeTimeoutMs: 100,
    ...options,
  });
  onTestFinished(async () => {
    await db.close();
    await rm(directory, { recursive: true });
  });
  await db.pool.script(SCHEMA);
  return db;
}

async function count({ pool }: Db): Promise<number> {
  const row = await pool.get<{ n: number }>('SELECT count(*) AS n FROM notes');
  return row?.n ?? NaN;
}

async function listen({ fetch }: Pick<Hono<Env>, 'fetch'>): Promise<number> {
  const server = createAdaptorServer({ fetch }).listen(0, '127.0.0.1');
  onTestFinished(() => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function makeApp(): Hono<Env> {
  const app = new Hono<Env>();
  app.onError((error, c) => c.text(error.message, 500));
  return app;
}

describe('a route of Hono that is one transaction', () => {
  it('commits before its response leaves', async () => {
    const db = await makeDb();
    const app = makeApp().post('/', db.transaction(), async (c) => {
      await c.get('db').run(NOTE);
      expect(await count(db)).toBe(0);
      return c.json({ done: true }, 201);
    });
    const response = await app.request('/', { method: 'POST' });
    expect([response.status, await response.json(), await count(db)]).toEqual([201, { done: true }, 1]);
    expect(db.pool.stats()).toMatchObject(FREE);
  });

  it.each<[string, (c: Context) => Response | Promise<Response>]>([
    ['throws', () => Promise.reject(new Error('refused'))],
    ['answers 409', (c) => c.text('no', 409)],
    ['is not found', (c) => c.notFound()],
    // Hono passes on what is no Error.
    ['rejects with what is no Error', () => Promise.reject(Object.create(null) as Error)],
  ])('rolls back when its handler %s', async (_how, answer) => {
    const db = await makeDb();
    const app = makeApp().post('/', db.transaction(), async (c) => {
      await c.get('db').run(NOTE);
      return answer(c);
    });
    const response = await Promise.resolve(app.request('/', { method: 'POST' })).catch(() => undefined);
    expect(response?.status ?? 500).toBeGreaterThanOrEqual(400);
    expect(await count(db)).toBe(0);
    expect(db.pool.stats()).toMatchObject(FREE);
  });

  it('rolls back when its handler throws, even if onError makes a redirect of it', async () => {
    const db = await makeDb();
    const app = makeApp().post('/', db.transaction(), async (c) => {
      await c.get('db').run(NOTE);
      throw new Error('log in first');
    });
    app.onError((_error, c) => c.redirect('/login'));
    expect((await app.request('/', { method: 'POST' })).status).toBe(302);
    expect(await count(db)).toBe(0);
  });

  it.each(['json', 'stream'])(
    'answers 500 through onError when its COMMIT fails, and not its %s',
    async (how) => {
      const db = await makeDb();
      const cancelled = vi.fn();
      const app = makeApp().post('/', db.transaction(), async (c) => {
        await c.get('db').run(ORPHAN);
        return how === 'json'
          ? c.json({ done: true }, 201)
          : c.body(new ReadableStream({ cancel: cancelled }));
      });
      const port = await listen(app);
      const response = await fetch(`http://127.0.0.1:${String(port)}/`, { method: 'POST' });
      expect([response.status, await response.text()]).toEqual([
        500,
        expect.stringContaining('FOREIGNKEY') as string,
      ]);
      expect(cancelled).toHaveBeenCalledTimes(how === 'stream' ? 1 : 0);
      expect(await db.pool.all('SELECT * FROM child')).toEqual([]);
      expect(db.pool.stats()).toMatchObject(FREE);
    },
  );

  it('takes nothing if its handler does not use the database', async () => {
    const db = await makeDb();
    const { acquires } = db.pool.stats();
    expect(
      (
        await makeApp()
          .get('/', db.transaction(), (c) => c.text(''))
          .request('/')
      ).status,
    ).toBe(200);
    expect(db.pool.stats().acquires).toBe(acquires);
  });

  it('is one transaction when it is applied twice, beside the middleware itself', async () => {
    const db = await makeDb();
    const inner = new Hono<Env>().use(db).post('/', db.transaction({ mode: 'deferred' }), async (c) => {
      await c.get('db').run(NOTE);
      return c.text('no', 400);
    });
    const app = makeApp().use(db).use(db.transaction()).route('/', inner);
    expect((await app.request('/', { method: 'POST' })).status).toBe(400);
    expect(await count(db)).toBe(0);
  });

  it('F71 is over before the first byte of a stream: what comes later reads, and may not write', async () => {
    const db = await makeDb();
    const late: unknown[] = [];
    const app = makeApp().get('/', db.transaction(), async (c) => {
      await c.get('db').run(NOTE);
      return stream(c, async (body) => {
        await vi.waitFor(() => expect(db.pool.stats().writerHeld).toBe(false));
        for await (const row of c.get('db').iterate('SELECT body FROM notes'))
          await body.write(JSON.stringify(row));
        await c
          .get('db')
          .run(NOTE)
          .catch((error: unknown) => late.push(error));
      });
    });
    const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`);
    expect(await response.text()).toBe('{"body":"a"}');
    await vi.waitFor(() => expect(late).toMatchObject([{ code: 'LEASE_ENDED' }]));
    await vi.waitFor(() => expect(db.pool.stats()).toMatchObject(FREE));
    expect(await count(db)).toBe(1);
  });

  it('F63 is rolled back at timeout(), and what the handler does then is refused', async () => {
    const db = await makeDb();
    const late: unknown[] = [];
    const app = makeApp().post('/', db.transaction(), timeout(30), async (c) => {
      await c.get('db').run(NOTE);
      await vi.waitFor(() => expect(db.pool.stats().writerHeld).toBe(false));
      await c
        .get('db')
        .run(NOTE)
        .catch((error: unknown) => late.push(error));
      return c.text('');
    });
    expect((await app.request('/', { method: 'POST' })).status).toBeGreaterThanOrEqual(500);
    await vi.waitFor(() => expect(late).toMatchObject([{ code: 'LEASE_ENDED' }]));
    expect(await count(db)).toBe(0);
  });

  it.each([
    ['GET', 60_000],
    ['POST', 50],
  ] as const)(
    'F62 of a %s that never answers is rolled back when its client leaves',
    async (method, disconnectGraceMs) => {
      const db = await makeDb({ disconnectGraceMs });
      const app = makeApp().all('/', db.transaction(), async (c) => {
        await c.get('db').run(NOTE);
        return new Promise<Response>(() => undefined);
      });
      const client = send({ port: await listen(app), host: '127.0.0.1', method, path: '/' });
      client.on('error', () => undefined).end();
      await vi.waitFor(() => expect(db.pool.stats().writerHeld).toBe(true));
      client.destroy();
      await vi.waitFor(() => expect(db.pool.stats()).toMatchObject(FREE));
      expect(await count(db)).toBe(0);
    },
  );

  it('rolls back when its handler forgets to answer', async () => {
    const db = await makeDb();
    const app = new Hono<Env>().use(db.transaction());
    app.get('/', (async (c: Context<Env>) => {
      await c.get('db').run(NOTE);
    }) as never);
    app.onError((_error, c) => c.text('no', 500));
    const response = await app.request('/');
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(await count(db)).toBe(0);
  });

  it('leaves nothing of an answer whose COMMIT failed in the one that takes its place', async () => {
    const db = await makeDb();
    const app = new Hono<Env>().use(db.transaction()).use(compress());
    app.get('/', async (c) => {
      await c.get('db').run(ORPHAN);
      return c.text('done '.repeat(1000));
    });
    app.onError((_error, c) => c.text('no', 500));
    const response = await app.request('/', { headers: { 'accept-encoding': 'gzip' } });
    expect([response.status, await response.text()]).toEqual([500, 'no']);
    expect([response.headers.get('content-encoding'), response.headers.get('location')]).toEqual([
      null,
      null,
    ]);
  });

  describe.each(['an application that begins with the plugin', 'a route alone'])('F70 in %s', (where) => {
    /** What an application does with the answers of its routes. */
    const make = (db: Db, ...middleware: MiddlewareHandler[]) => {
      const app = makeApp();
      app.onError((error, c) => c.json({ error: error.message }, 500));
      if (where !== 'a route alone') app.use(db);
      for (const each of middleware) app.use(each);
      return app;
    };
    const refused: Record<string, (c: Context) => Response> = {
      'a body that a 204 has not': (c) => c.json({ done: true }, 204 as 200),
      'a header with what no header may have': (c) => c.json({}, 200, { 'x-name': '\u0119' }),
      'a header that Node.js refuses': (c) => c.json({}, 200, { 'x-name': '\u0001' }),
      'a status that there is not': (c) => c.json({}, 600 as 200),
    };
    const among: Record<string, MiddlewareHandler[]> = {
      'no middleware': [],
      'compress()': [compress()],
      'etag()': [etag()],
      both: [etag(), compress()],
    };
    const each = Object.keys(refused).flatMap((answer) => Object.keys(among).map((names) => [answer, names]));
    it.each(each)('an answer that cannot be is not kept: %s, with %s', async (answer, names) => {
      const db = await makeDb();
      const app = make(db, ...among[names]!);
      app.get('/', db.transaction(), async (c) => {
        await c.get('db').run(NOTE);
        return refused[answer]!(c);
      });
      const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`);
      expect(response.status).toBeGreaterThanOrEqual(500);
      if (response.status === 500) expect(await response.json()).toHaveProperty('error');
      expect(await count(db)).toBe(0);
      expect(db.pool.stats()).toMatchObject(FREE);
    });

    it.each(Object.entries(among))('an answer that succeeds is kept, with %s', async (_names, middleware) => {
      const db = await makeDb();
      const app = make(db, ...middleware);
      app.get('/', db.transaction(), async (c) => {
        await c.get('db').run(NOTE);
        return c.text('done '.repeat(1000));
      });
      const url = `http://127.0.0.1:${String(await listen(app))}/`;
      expect(await (await fetch(url)).text()).toBe('done '.repeat(1000));
      expect((await fetch(url, { method: 'HEAD' })).status).toBe(200);
      expect(await count(db)).toBe(2);
    });
  });

  it.each(['throws', 'answers 502'])(
    'F70 of an application that begins with the plugin is not kept when middleware after it %s',
    async (how) => {
      const db = await makeDb();
      const app = makeApp();
      app.use(db);
      app.use(async (c, next) => {
        await next();
        if (how === 'throws') throw new Error('too late');
        c.res = c.text('no', 502);
      });
      app.post('/', db.transaction(), async (c) => {
        await c.get('db').run(NOTE);
        return c.text('done');
      });
      const response = await app.request('/', { method: 'POST' });
      expect(response.status).toBe(how === 'throws' ? 500 : 502);
      expect(await count(db)).toBe(0);
      expect(db.pool.stats()).toMatchObject(FREE);
    },
  );

  it('F70 of a route is rolled back before the answer of a timeout() around it leaves', async () => {
    const db = await makeDb();
    const ended = vi.fn();
    const app = makeApp().post('/', timeout(30), db.transaction(), async (c) => {
      await c.get('db').run(NOTE);
      await vi.waitFor(() => expect(db.pool.stats().writerHeld).toBe(false));
      ended();
      return c.text('too late');
    });
    const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`, { method: 'POST' });
    expect([response.status, await count(db)]).toEqual([500, 0]);
    await vi.waitFor(() => expect(ended).toHaveBeenCalled());
    await vi.waitFor(() => expect(db.pool.stats()).toMatchObject(FREE));
  });

  it('F95 commits what was written before a WebSocket begins, and is over then', async () => {
    const db = await makeDb();
    const app = makeApp().get(
      '/',
      db.transaction(),
      async (c, next) => {
        await c.get('db').run(c.req.header('x-orphan') === undefined ? NOTE : ORPHAN);
        await next();
      },
      upgradeWebSocket(() => ({})),
    );
    const websocket = { server: new WebSocketServer({ noServer: true }) as WebSocketServerLike };
    const server = createAdaptorServer({ fetch: app.fetch, websocket }).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const url = `ws://127.0.0.1:${String((server.address() as AddressInfo).port)}/`;
    const refused = new WebSocket(url, { headers: { 'x-orphan': 'yes' } });
    expect(await once(refused, 'error')).toMatchObject([{ code: 'ECONNRESET' }]);
    const client = new WebSocket(url);
    await once(client, 'open');
    expect([await count(db), db.pool.stats()]).toMatchObject([1, FREE]);
    client.terminate();
  });

  it('refuses options that cannot work at once', async () => {
    const db = await makeDb();
    // A mistake that TypeScript would catch.
    expect(() => db.transaction({ retries: 1 } as object)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error,
    );
  });
});
