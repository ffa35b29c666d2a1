import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { createPool, type PoolOptions } from '@sqlite-pool/core';
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Response } from 'express';
import request from 'supertest';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { deferred, outcome, temporaryFile } from '../../../conformance/framework.ts';
import { sqlitePool, type DatabaseName, type SqlitePoolHandler } from '../src/index.ts';
import { express4 } from './express.ts';

const LONG =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT hex(zeroblob(500)) AS x FROM n';

async function makeDb(options: PoolOptions = {}): Promise<SqlitePoolHandler> {
  const db = sqlitePool({
    poolSize: 1,
    acquireTimeoutMs: 2000,
    closeTimeoutMs: 100,
    ...options,
    filename: await temporaryFile(),
  });
  onTestFinished(() => db.close());
  await db.ready;
  return db;
}

/** Sends a GET over a socket of its own. */
async function open(app: Express) {
  const server = createServer(app).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  return socket;
}

describe('every way to respond in Express', () => {
  it.each<[string, (res: Response) => unknown]>([
    ['res.json()', (res) => res.json({})],
    ['res.end()', (res) => res.end()],
    ['res.sendStatus()', (res) => res.sendStatus(204)],
    [
      'res.redirect()',
      (res) => {
        res.redirect('/elsewhere');
      },
    ],
    ['res.writeHead()', (res) => res.writeHead(200)],
    [
      'res.flushHeaders()',
      (res) => {
        res.flushHeaders();
      },
    ],
    ['res.write()', (res) => res.write('x')],
  ])('releases the connection: %s', async (_way, respond) => {
    const db = await makeDb();
    const leased: number[] = [];
    const app = express().use(db);
    app.get('/', async (req, res) => {
      await req.db.get('SELECT 1');
      leased.push(db.pool.stats().leased);
      respond(res);
      leased.push(db.pool.stats().leased);
      res.end();
    });
    await request(app).get('/').redirects(0);
    expect(leased).toEqual([1, 0]);
  });

  it('releases the connection: res.sendFile()', async () => {
    const db = await makeDb();
    const file = await temporaryFile('page.txt');
    await writeFile(file, 'a page');
    const app = express().use(db);
    app.get('/', async (req, res) => {
      await req.db.get('SELECT 1');
      res.sendFile(file);
    });
    expect(await request(app).get('/')).toMatchObject({ status: 200, text: 'a page' });
    expect(await request(app).head('/')).toMatchObject({ status: 200 });
    expect(db.pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });

  it('lets others replace res.writeHead too, before and after', async () => {
    const db = await makeDb();
    const seen: string[] = [];
    const replace =
      (name: string): RequestHandler =>
      (_req, res, next) => {
        const writeHead = res.writeHead.bind(res);
        res.writeHead = (...args: unknown[]) => {
          seen.push(name);
          return writeHead(...(args as [number]));
        };
        next();
      };
    const app = express().use(
      replace('before'),
      db,
      (req, _res, next) =>
        void req.db.get('SELECT 1').then(() => {
          next();
        }, next),
      replace('after'),
    );
    app.get('/', (_req, res) => void res.status(201).json({ leased: db.pool.stats().leased }));
    expect(await request(app).get('/')).toMatchObject({ status: 201, body: { leased: 1 } });
    expect(seen).toEqual(['after', 'before']);
    expect(db.pool.stats().leased).toBe(0);
  });

  it('F62 closes the cursor behind pipe(), which ends no source by itself', async () => {
    const db = await makeDb();
    const app = express().use(db);
    app.get('/', (req, res) => {
      const source = Readable.from(rows(req.db.iterate(LONG)));
      source.on('error', () => undefined);
      source.pipe(res);
    });
    const socket = await open(app);
    await once(socket, 'data');
    socket.pause();
    expect(db.pool.stats().leased).toBe(1);
    socket.destroy();
    await vi.waitFor(() => {
      expect(db.pool.stats().leased).toBe(0);
    });
  });

  it('F63 takes an error after the response without losing the connection', async () => {
    const db = await makeDb();
    const app = express().set('env', 'test').use(db);
    const error = deferred<unknown>();
    app.get('/', async (req, res) => {
      res.json(await req.db.get('SELECT 1 AS one'));
      throw new Error('a mistake');
    });
    app.use(((reason, _req, _res, _next) => {
      error.resolve(reason);
    }) satisfies express.ErrorRequestHandler);
    expect(await request(app).get('/')).toMatchObject({ status: 200, body: { one: 1 } });
    expect(await error.promise).toMatchObject({ message: 'a mistake' });
    expect(db.pool.stats()).toMatchObject({ leased: 0, idle: 1, size: 1 });
  });

  it('refuses what belongs to a transaction that the response has rolled back', async () => {
    const db = await makeDb();
    await db.pool.script('CREATE TABLE notes (body TEXT)');
    const late = deferred<unknown>();
    const app = express().use(db);
    app.get('/', async (req, res) => {
      await req.db.run('BEGIN');
      await req.db.run("INSERT INTO notes VALUES ('first')");
      res.json({});
      late.resolve(await outcome(req.db.run("INSERT INTO notes VALUES ('second')")));
    });
    await request(app).get('/');
    const error = await late.promise;
    expect(error).toMatchObject({ code: 'LEASE_ENDED' });
    expect(String(error)).toContain('rolled back');
    expect(await db.pool.all('SELECT * FROM notes')).toEqual([]);
  });
});

describe('async errors', () => {
  it('are forwarded by Express 5 itself, with their status and headers', async () => {
    const db = await makeDb();
    const app = express().use(db);
    app.get('/', async (req, res) => res.json(await req.db.get('SELECT 1')));
    await db.close();
    const answer = await request(app).get('/');
    expect(answer).toMatchObject({ status: 503 });
    expect(answer.headers).toMatchObject({ 'retry-after': '1' });
  });

  it('reach Express 4 through next()', async () => {
    const db = await makeDb();
    const app = express4();
    app.use(db);
    app.get('/', (req, res, next) => {
      req.db.get('SELECT 1').then((row) => res.json(row), next);
    });
    await db.close();
    const answer = await request(app).get('/');
    expect(answer).toMatchObject({ status: 503 });
    expect(answer.headers).toMatchObject({ 'retry-after': '1' });
  });
});

describe('names in Express', () => {
  it('give a second database its own handle', async () => {
    const [main, audit] = [await makeDb(), sqlitePool({ filename: await temporaryFile(), name: 'audit' })];
    onTestFinished(() => audit.close());
    await audit.pool.script('CREATE TABLE log (line TEXT)');
    const app = express().use(main, audit);
    app.get('/', async (req, res) => {
      const tables = 'SELECT name FROM sqlite_schema';
      res.json([await req.db.all(tables), await req.audit.all(tables)]);
    });
    expect((await request(app).get('/')).body).toEqual([[], [{ name: 'log' }]]);
  });

  it('that are taken, by another database or by Express, are an error and no silent replacement', async () => {
    const pool = createPool({ filename: await temporaryFile() });
    onTestFinished(() => pool.close());
    const db = await makeDb();
    for (const second of [
      sqlitePool({ pool }),
      sqlitePool({ pool: db.pool, lease: 'statement' }),
      // What TypeScript refuses, because nobody has declared it.
      sqlitePool({ pool, name: 'headers' as DatabaseName }),
    ]) {
      const handler = vi.fn<RequestHandler>();
      const app = express().set('env', 'test').use(db, second).get('/', handler);
      const errors = vi.fn();
      app.use(((error, _req, _res, next) => {
        errors(error);
        next(error);
      }) satisfies ErrorRequestHandler);
      expect((await request(app).get('/')).status).toBe(500);
      expect(errors).toHaveBeenCalledWith(expect.objectContaining({ code: 'NAME_TAKEN' }));
      expect(handler).not.toHaveBeenCalled();
    }
  });

  it('are one handle, and one connection, when an application and its sub-application apply the plugin', async () => {
    const db = await makeDb();
    const inner = express().use(db);
    inner.get('/', async (req, res) => res.json(await req.db.get('SELECT 1 AS one')));
    const app = express().use(db, async (req, _res, next) => {
      await req.db.get('SELECT 1');
      next();
    });
    app.use('/inner', inner);
    expect(await request(app).get('/inner')).toMatchObject({ status: 200, body: { one: 1 } });
  });

  it('cannot be assigned to', async () => {
    const db = await makeDb();
    const app = express().set('env', 'test').use(db);
    app.get('/', (req) => {
      // What JavaScript would let pass without a word.
      Object.assign(req, { db: 'mine' });
    });
    expect(await request(app).get('/')).toMatchObject({ status: 500 });
  });
});

async function* rows(cursor: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const row of cursor) yield JSON.stringify(row);
}
