import { createAdaptorServer } from '@hono/node-server';
import { createPool, type PoolOptions, type RequestDb } from '@sqlite-pool/core';
import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { stream, streamSSE } from 'hono/streaming';
import { requestId } from 'hono/request-id';
import { timeout } from 'hono/timeout';
import request from 'supertest';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { deferred, outcome, temporaryFile } from '../../../conformance/framework.ts';
import { sqlitePool, type SqlitePoolMiddleware } from '../src/index.ts';

async function makeDb(options: PoolOptions = {}): Promise<SqlitePoolMiddleware<'db'>> {
  const db = sqlitePool({
    poolSize: 1,
    acquireTimeoutMs: 2000,
    closeTimeoutMs: 100,
    ...options,
    filename: await temporaryFile(),
  });
  onTestFinished(() => db.close());
  await db.ready;
  await db.pool.script('CREATE TABLE notes (body TEXT)');
  return db;
}

interface Env {
  readonly Variables: { readonly db: RequestDb; readonly requestId: string };
}

/** The middleware, and what it logs. */
async function makeLogged(): Promise<{ db: SqlitePoolMiddleware<'db'>; lines: object[] }> {
  const lines: object[] = [];
  const warn = (fields: object): void => void lines.push(fields);
  const db = await makeDb({ logger: { debug: () => undefined, warn } });
  return { db, lines };
}

const FREE = { leased: 0, idle: 1, size: 1, waiting: 0 };

describe('app.request() in Hono, where there is no socket to follow', () => {
  it('answers, and releases the connection', async () => {
    const db = await makeDb();
    const app = new Hono().use(db).get('/', async (c) => c.json(await c.get('db').get('SELECT 1 AS one')));
    expect(await (await app.request('/')).json()).toEqual({ one: 1 });
    expect(db.pool.stats()).toMatchObject(FREE);
  });

  it('releases it for an answer that nobody reads', async () => {
    const db = await makeDb();
    const app = new Hono().use(db).get('/', async (c) => {
      await c.var.db.get('SELECT 1');
      return stream(c, async (body) => {
        await body.write('unread');
      });
    });
    await app.request('/');
    await app.request('/', { method: 'HEAD' });
    expect(db.pool.stats()).toMatchObject(FREE);
  });

  it('takes an env of another runtime, whatever it calls "outgoing"', async () => {
    const db = await makeDb();
    const app = new Hono().use(db).get('/', async (c) => c.json(await c.get('db').get('SELECT 1 AS one')));
    for (const env of [{ outgoing: 'mail.example' }, { outgoing: null }, { outgoing: { once: 1 } }, {}]) {
      expect(await (await app.request('/', {}, env)).json()).toEqual({ one: 1 });
    }
  });
});

describe('the log of a request in Hono, where no event tells the end of its response', () => {
  it('has an error of SQLite that becomes a 500, once, with the id and the route of the request', async () => {
    const { db, lines } = await makeLogged();
    const app = new Hono<Env>()
      .use(requestId({ generator: () => 'req-1' }))
      .use(db)
      .get('/users/:id', async (c) =>
        c.json(await c.get('db').get('SELECT secret FROM users WHERE id = ?', [7])),
      );
    const answer = await app.request('/users/7');
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain('secret');
    expect(lines).toMatchObject([
      {
        code: 'SQLITE_POOL_REQUEST_FAILED',
        sql: 'SELECT secret FROM users WHERE id = ?',
        requestId: 'req-1',
        route: 'GET /users/:id',
      },
    ]);
  });

  it('has a COMMIT that failed, although its handler had answered', async () => {
    const { db, lines } = await makeLogged();
    await db.pool.script(
      'CREATE TABLE posts (id INTEGER PRIMARY KEY, parent REFERENCES posts DEFERRABLE INITIALLY DEFERRED)',
    );
    const app = new Hono<Env>().use(db).post('/', db.transaction(), async (c) => {
      await c.get('db').run('INSERT INTO posts VALUES (1, 7)');
      return c.json({ ok: true });
    });
    expect((await app.request('/', { method: 'POST' })).status).toBe(500);
    expect(lines).toMatchObject([{ code: 'SQLITE_POOL_REQUEST_FAILED' }]);
  });

  it('has a BEGIN whose handler answered before the COMMIT', async () => {
    const { db, lines } = await makeLogged();
    const app = new Hono<Env>().use(db).post('/', async (c) => {
      await c.get('db').run('BEGIN');
      return c.json({ ok: true });
    });
    expect((await app.request('/', { method: 'POST' })).status).toBe(200);
    expect(lines).toMatchObject([{ code: 'SQLITE_POOL_FORGOTTEN_COMMIT', route: 'POST /' }]);
  });

  it('has no error that the application answered with less than 500', async () => {
    const { db, lines } = await makeLogged();
    const app = new Hono<Env>().use(db).get('/', async (c) => {
      await c.get('db').get('SELECT nothing FROM nowhere');
      return c.json({});
    });
    app.onError((_error, c) => c.json({}, 409));
    expect((await app.request('/')).status).toBe(409);
    expect((await app.request('/nowhere')).status).toBe(404);
    expect(lines).toEqual([]);
  });
});

describe('the signal of a request in Hono, where there is no socket to follow', () => {
  it('F62 that aborts revokes a GET under way', async () => {
    const db = await makeDb();
    const client = new AbortController();
    const ended = deferred<unknown>();
    const app = new Hono().use(db).get('/', async (c) => {
      await c.var.db.get('SELECT 1');
      client.abort();
      ended.resolve(await outcome(c.var.db.get('SELECT 2')));
      return c.text('');
    });
    await app.request('/', { signal: client.signal });
    expect(await ended.promise).toMatchObject({ code: 'LEASE_ENDED' });
    expect(db.pool.stats()).toMatchObject(FREE);
  });

  it('F62 that has aborted before the first statement refuses it', async () => {
    const db = await makeDb();
    const app = new Hono().use(db).get('/', async (c) => c.json(await outcome(c.var.db.get('SELECT 1'))));
    const response = await app.request('/', { signal: AbortSignal.abort() });
    expect(await response.json()).toMatchObject({ code: 'LEASE_ENDED' });
  });

  it('that aborts after the handler changes nothing: Deno aborts it after every response', async () => {
    const db = await makeDb();
    const client = new AbortController();
    const app = new Hono().use(db).get('/', async (c) => {
      await c.var.db.get('SELECT 1');
      return stream(c, async (body) => {
        await vi.waitFor(() => expect(client.signal.aborted).toBe(true));
        await body.write(JSON.stringify(await c.var.db.get('SELECT 2 AS two')));
      });
    });
    const response = await app.request('/', { signal: client.signal });
    client.abort();
    expect(await response.text()).toBe('{"two":2}');
    await vi.waitFor(() => expect(db.pool.stats()).toMatchObject(FREE));
  });

  it('is not touched by a request that uses no database', async () => {
    const db = await makeDb();
    const app = new Hono().use(db).get('/', (c) => c.text('nothing'));
    const incoming = new Request('http://127.0.0.1/');
    const touched = vi.spyOn(incoming, 'signal', 'get');
    expect(await (await app.fetch(incoming)).text()).toBe('nothing');
    expect(touched).not.toHaveBeenCalled();
  });

  it('is missed by nobody on a runtime that has none', async () => {
    const db = await makeDb();
    const app = new Hono().use(db).get('/', async (c) => c.json(await c.var.db.get('SELECT 1 AS one')));
    const incoming = new Request('http://127.0.0.1/');
    Object.defineProperty(incoming, 'signal', { value: undefined });
    expect(await (await app.fetch(incoming)).json()).toEqual({ one: 1 });
    expect(db.pool.stats()).toMatchObject(FREE);
  });
});

describe('what a handler throws in Hono', () => {
  it.each([
    ['an Error', new Error('a mistake'), 500],
    ['an HTTPException', new HTTPException(418), 418],
  ])('F63 releases the connection: %s', async (_what, thrown, status) => {
    vi.spyOn(console, 'error').mockReturnValue();
    const db = await makeDb();
    const app = new Hono().use(db).get('/', async (c) => {
      await c.get('db').get('SELECT 1');
      throw thrown;
    });
    expect((await app.request('/')).status).toBe(status);
    expect(db.pool.stats()).toMatchObject(FREE);
  });

  it('F63 releases the connection for what is not an Error, too', async () => {
    const db = await makeDb();
    const app = new Hono().use(db).get('/', async (c) => {
      await c.get('db').get('SELECT 1');
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- Hono lets it through, where an Error is handled
      throw 'a string';
    });
    expect(await outcome(Promise.resolve(app.request('/')))).toBe('a string');
    expect(db.pool.stats()).toMatchObject(FREE);
  });

  it('reaches onError() with the same connection', async () => {
    const db = await makeDb();
    const app = new Hono<{ Variables: { db: RequestDb } }>().use(db).get('/', async (c) => {
      await c.get('db').run('CREATE TEMP TABLE mine AS SELECT 1 AS one');
      throw new Error('a mistake');
    });
    app.onError(async (_error, c) => c.json(await c.get('db').get('SELECT * FROM mine'), 500));
    expect(await (await app.request('/')).json()).toEqual({ one: 1 });
    expect(db.pool.stats()).toMatchObject({ leased: 0 });
  });
});

describe('streaming in Hono', () => {
  it('leases per statement in stream() and streamSSE()', async () => {
    const db = await makeDb();
    const leased: number[] = [];
    const app = new Hono()
      .use(db)
      .get('/stream', async (c) => {
        await c.get('db').get('SELECT 0');
        return stream(c, async (body) => {
          for (const n of [1, 2]) {
            await body.write(JSON.stringify(await c.get('db').get(`SELECT ${String(n)} AS n`)));
            leased.push(db.pool.stats().leased);
          }
        });
      })
      .get('/sse', async (c) => {
        await c.get('db').get('SELECT 0');
        return streamSSE(c, async (body) => {
          await body.writeSSE({ data: JSON.stringify(await c.get('db').get('SELECT 3 AS n')) });
          leased.push(db.pool.stats().leased);
        });
      });
    expect(await (await app.request('/stream')).text()).toBe('{"n":1}{"n":2}');
    expect(await (await app.request('/sse')).text()).toBe('data: {"n":3}\n\n');
    expect(leased).toEqual([0, 0, 0]);
    expect(db.pool.stats()).toMatchObject(FREE);
  });
});

describe('timeout() in Hono', () => {
  it('F63 leaves a zombie handler that cannot keep the connection, nor end the transaction of another', async () => {
    const db = await makeDb();
    const [replied, zombie] = [deferred(), deferred<unknown[]>()];
    const app = new Hono()
      .use(timeout(500))
      .use(db)
      .get('/zombie', async (c) => {
        await c.get('db').run('BEGIN IMMEDIATE');
        await c.get('db').run("INSERT INTO notes VALUES ('of the zombie')");
        await replied.promise;
        const late = [c.get('db').run("INSERT INTO notes VALUES ('late')"), c.get('db').run('COMMIT')];
        zombie.resolve(await Promise.all(late.map(outcome)));
        return c.text('too late');
      });
    const server = createAdaptorServer({ fetch: app.fetch });
    onTestFinished(() => void server.close());
    expect(await request(server).get('/zombie')).toMatchObject({ status: 504 });
    await vi.waitFor(() => {
      expect(db.pool.stats()).toMatchObject(FREE);
    });
    await db.pool.transaction(async (tx) => {
      await tx.run("INSERT INTO notes VALUES ('of another')");
      replied.resolve();
      expect(await zombie.promise).toMatchObject([{ code: 'LEASE_ENDED' }, { code: 'LEASE_ENDED' }]);
    });
    expect(await db.pool.all('SELECT * FROM notes')).toEqual([{ body: 'of another' }]);
  });
});

describe('names in Hono', () => {
  it('give a second database its own variable', async () => {
    const audit = sqlitePool({ filename: await temporaryFile(), name: 'audit' });
    onTestFinished(() => audit.close());
    const app = new Hono()
      .use(await makeDb())
      .use(audit)
      .get('/', async (c) => {
        const tables = 'SELECT name FROM sqlite_schema';
        return c.json([await c.get('db').all(tables), await c.var.audit.all(tables)]);
      });
    expect(await (await app.request('/')).json()).toEqual([[{ name: 'notes' }], []]);
  });

  it('that are taken are an error and no silent replacement', async () => {
    vi.spyOn(console, 'error').mockReturnValue();
    const pool = createPool({ filename: await temporaryFile() });
    onTestFinished(() => pool.close());
    const db = await makeDb();
    for (const second of [sqlitePool({ pool }), sqlitePool({ pool: db.pool, lease: 'statement' })]) {
      let seen: unknown;
      const app = new Hono()
        .use(db)
        .use(second)
        .get('/', (c) => c.text('never'));
      app.onError((error, c) => {
        seen = error;
        return c.text('error', 500);
      });
      expect((await app.request('/')).status).toBe(500);
      expect(seen).toMatchObject({ code: 'NAME_TAKEN', handle: "c.get('db')" });
    }
  });

  it('are one handle, and one connection, when an application and a route of it apply the plugin', async () => {
    const db = await makeDb();
    const inner = new Hono().use(db).get('/', async (c) => c.json(await c.get('db').get('SELECT 1 AS one')));
    const app = new Hono()
      .use(db)
      .use(async (c, next) => {
        await c.get('db').get('SELECT 1');
        await next();
      })
      .route('/inner', inner);
    expect(await (await app.request('/inner')).json()).toEqual({ one: 1 });
  });
});
