import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request as send, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import express5, { type ErrorRequestHandler, type RequestHandler } from 'express';
import supertest from 'supertest';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { sqlitePool, type SqlitePoolHandler, type SqlitePoolOptions } from '../src/index.ts';
import { transaction } from '../src/transaction.ts';
import { express4 } from './express.ts';

/** `child` is checked at the COMMIT, so that one can fail. */
const SCHEMA = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
  CREATE TABLE child (parent REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED);
`;
const NOTE = "INSERT INTO notes (body) VALUES ('a')";
const ORPHAN = 'INSERT INTO child VALUES (1)';
const FREE = { leased: 0, waiting: 0, writersWaiting: 0, writerHeld: false };
const LARGE = 'x'.repeat(1_000_000);

const versions: [string, () => ReturnType<typeof express4>][] = [
  ['Express 5', express5],
  ['Express 4', express4],
];

async function temporaryFile(name: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  return join(directory, name);
}

async function makeDb(
  options: Pick<SqlitePoolOptions, 'disconnectGraceMs' | 'name'> = {},
): Promise<SqlitePoolHandler> {
  const db = sqlitePool({
    filename: await temporaryFile('app.db'),
    poolSize: 2,
    closeTimeoutMs: 100,
    ...options,
  });
  onTestFinished(() => db.close());
  await db.pool.script(SCHEMA);
  return db;
}

async function count({ pool }: SqlitePoolHandler): Promise<number> {
  const row = await pool.get<{ n: number }>('SELECT count(*) AS n FROM notes');
  return row?.n ?? NaN;
}

async function listen(app: RequestListener): Promise<number> {
  const server = createServer(app).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Express 4 forwards nothing by itself. */
const forwarding =
  (handler: (...args: Parameters<RequestHandler>) => unknown): RequestHandler =>
  (req, res, next) => {
    void Promise.resolve(handler(req, res, next)).catch(next);
  };

/** Every way in which a handler can answer; `status` and `body` are what the client then has. */
const answers: Record<string, { status: number; body: string; answer: RequestHandler }> = {
  'res.json()': { status: 201, body: '{"a":1}', answer: (_req, res) => res.status(201).json({ a: 1 }) },
  'res.send()': { status: 200, body: 'text', answer: (_req, res) => res.send('text') },
  'a large res.send()': { status: 200, body: LARGE, answer: (_req, res) => res.send(LARGE) },
  'res.sendStatus()': { status: 202, body: 'Accepted', answer: (_req, res) => res.sendStatus(202) },
  'res.redirect()': {
    status: 302,
    body: 'Found. Redirecting to /there',
    answer: (_req, res) => {
      res.redirect('/there');
    },
  },
  'res.end() alone': { status: 204, body: '', answer: (_req, res) => res.status(204).end() },
  'res.sendFile()': {
    status: 200,
    body: LARGE,
    answer: async (_req, res) => {
      const file = await temporaryFile('large.txt');
      await writeFile(file, LARGE);
      res.sendFile(file);
    },
  },
  'pipe()': {
    status: 200,
    body: LARGE,
    answer: (_req, res) => Readable.from(LARGE.match(/.{1,10000}/g) ?? []).pipe(res),
  },
  'pipeline()': {
    status: 200,
    body: LARGE,
    answer: (_req, res) => pipeline(Readable.from(LARGE.match(/.{1,10000}/g) ?? []), res, () => undefined),
  },
  'a stream that waits for drain': {
    status: 200,
    body: 'onetwo',
    answer: async (_req, res) => {
      expect(res.write('one')).toBe(false);
      await once(res, 'drain');
      res.end('two');
    },
  },
  'res.writeHead()': {
    status: 203,
    body: 'raw',
    answer: (_req, res) => res.writeHead(203, { 'x-raw': 'yes' }).end('raw'),
  },
  'res.flushHeaders()': {
    status: 200,
    body: 'later',
    answer: (_req, res) => {
      res.flushHeaders();
      res.end('later');
    },
  },
};

describe.each(versions)('a route of %s that is one transaction', (_name, makeApp) => {
  it.each(Object.entries(answers))('commits before %s leaves', async (_how, { answer, status, body }) => {
    const db = await makeDb();
    const app = makeApp();
    app.use(db);
    app.use(transaction(db));
    app.get(
      '/',
      forwarding(async (req, res, next) => {
        await req.db.run(NOTE);
        expect(await count(db)).toBe(0);
        await answer(req, res, next);
      }),
    );
    const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`, { redirect: 'manual' });
    expect(await count(db)).toBe(1);
    expect([response.status, await response.text()]).toEqual([status, body]);
    await vi.waitFor(() => expect(db.pool.stats()).toMatchObject(FREE));
  });

  it.each(Object.entries(answers))(
    'answers 500, and not %s, when its COMMIT fails',
    async (_how, { answer }) => {
      const db = await makeDb();
      const app = makeApp();
      const seen: unknown[] = [];
      app.use((_req, res, next) => {
        res.setHeader('x-before', 'kept');
        next();
      });
      app.use(transaction(db));
      app.get(
        '/',
        forwarding(async (req, res, next) => {
          await req.db.run(ORPHAN);
          res.setHeader('x-handler', 'forgotten');
          await answer(req, res, next);
        }),
      );
      app.use(((error, _req, res, _next) => {
        seen.push(error);
        expect(res.headersSent).toBe(false);
        res.status(500).send('not done');
      }) satisfies ErrorRequestHandler as never);
      const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`, { redirect: 'manual' });
      expect([response.status, await response.text()]).toEqual([500, 'not done']);
      expect(response.headers.get('x-before')).toBe('kept');
      for (const name of ['x-handler', 'x-raw', 'location']) expect(response.headers.has(name)).toBe(false);
      expect(seen).toMatchObject([{ sqliteCode: 'SQLITE_CONSTRAINT_FOREIGNKEY' }]);
      await vi.waitFor(() => expect(db.pool.stats()).toMatchObject(FREE));
      expect(await db.pool.all('SELECT * FROM child')).toEqual([]);
    },
  );

  it.each(['throws', 'answers 404', 'writes a head of 500'])('rolls back when it %s', async (how) => {
    const db = await makeDb();
    const app = makeApp();
    app.use(transaction(db));
    app.get(
      '/',
      forwarding(async (req, res) => {
        await req.db.run(NOTE);
        if (how === 'throws') throw new Error('refused');
        if (how === 'answers 404') res.status(404).send('no');
        else res.writeHead(500).end('no');
      }),
    );
    app.use(((_error, _req, res, _next) => res.status(409).end()) satisfies ErrorRequestHandler as never);
    const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`);
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(await count(db)).toBe(0);
    expect(db.pool.stats()).toMatchObject(FREE);
  });

  it('keeps its first answer when the handler fails after it', async () => {
    const db = await makeDb();
    const app = makeApp();
    app.use(transaction(db));
    app.get(
      '/',
      forwarding(async (req, res) => {
        await req.db.run(NOTE);
        res.status(201).json({ done: true });
        throw new Error('too late');
      }),
    );
    app.use(((_error, _req, res, _next) =>
      res.status(500).set('x-error', 'yes').send('a second one')) satisfies ErrorRequestHandler as never);
    const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`);
    expect([response.status, await response.json()]).toEqual([201, { done: true }]);
    expect(response.headers.has('x-error')).toBe(false);
    expect(await count(db)).toBe(1);
  });

  it('ends an answer that has begun, and not with another one, when the handler fails in the middle of it', async () => {
    const db = await makeDb();
    const app = makeApp();
    const refused: unknown[] = [];
    app.use(transaction(db));
    app.get(
      '/',
      forwarding(async (req, res) => {
        await req.db.run(NOTE);
        res.write('half');
        throw new Error('too late');
      }),
    );
    app.use(((error, _req, res, next) => {
      expect(res.headersSent).toBe(true);
      try {
        res.setHeader('x-error', 'yes');
      } catch (cause) {
        refused.push(cause);
      }
      next(error);
    }) satisfies ErrorRequestHandler as never);
    const answer = fetch(`http://127.0.0.1:${String(await listen(app))}/`).then((response) =>
      response.text(),
    );
    await expect(answer).rejects.toThrow();
    expect(refused).toMatchObject([{ code: 'ERR_HTTP_HEADERS_SENT' }]);
  });

  it('waits for nothing when its handler does not use the database', async () => {
    const db = await makeDb();
    const app = makeApp();
    app.use(transaction(db));
    app.get('/', (_req, res) => {
      res.json(1);
      expect(res.writableEnded).toBe(true);
    });
    const { acquires } = db.pool.stats();
    expect((await fetch(`http://127.0.0.1:${String(await listen(app))}/`)).status).toBe(200);
    expect(db.pool.stats().acquires).toBe(acquires);
  });

  it('is one transaction when it is applied twice, beside the middleware itself', async () => {
    const db = await makeDb();
    const app = makeApp();
    app.use(db);
    app.use(transaction(db));
    app.use(transaction(db, { mode: 'deferred' }));
    app.use(db);
    app.get(
      '/',
      forwarding(async (req, res) => {
        await req.db.run(NOTE);
        res.status(400).end();
      }),
    );
    expect((await fetch(`http://127.0.0.1:${String(await listen(app))}/`)).status).toBe(400);
    expect(await count(db)).toBe(0);
  });

  it('refuses a name that is taken', async () => {
    const db = await makeDb();
    const app = makeApp();
    app.use(await makeDb());
    app.use(transaction(db));
    const seen: unknown[] = [];
    app.use(((error, _req, res, _next) => {
      seen.push(error);
      res.status(500).end();
    }) satisfies ErrorRequestHandler as never);
    await fetch(`http://127.0.0.1:${String(await listen(app))}/`);
    expect(seen).toMatchObject([{ code: 'NAME_TAKEN' }]);
  });

  it.each([
    ['GET', 60_000],
    ['POST', 50],
  ] as const)(
    'F62 of a %s that never answers is rolled back when its client leaves',
    async (method, disconnectGraceMs) => {
      const db = await makeDb({ disconnectGraceMs });
      const app = makeApp();
      app.use(transaction(db));
      app.use(forwarding((req) => req.db.run(NOTE)));
      const client = send({ port: await listen(app), host: '127.0.0.1', method, path: '/' });
      client.on('error', () => undefined).end();
      await vi.waitFor(() => expect(db.pool.stats().writerHeld).toBe(true));
      client.destroy();
      await vi.waitFor(() => expect(db.pool.stats()).toMatchObject(FREE));
      expect(await count(db)).toBe(0);
    },
  );
});

it('options of a transaction that cannot work are refused at once', async () => {
  const db = await makeDb();
  // A mistake that TypeScript would catch.
  expect(() => transaction(db, { retries: 1 } as object)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error,
  );
});

it('a transaction of what is not the middleware of a database is refused at once', () => {
  // A mistake that TypeScript would catch.
  expect(() => transaction({} as SqlitePoolHandler)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error,
  );
});

it('a transaction of a name that is taken is an error of the request, and sends no statement', async () => {
  const db = await makeDb({ name: 'body' as 'db' });
  const app = express5();
  app.use(express5.json());
  app.post('/', transaction(db), (_req, res) => void res.send('unreached'));
  const answers: unknown[] = [];
  const answer: ErrorRequestHandler = (error: unknown, _req, res, next) => {
    answers.push(error);
    if (res.headersSent) next(error);
    else res.status(500).end();
  };
  app.use(answer);
  const { status } = await supertest(app).post('/').send({ a: 1 });
  expect(status).toBe(500);
  expect(answers).toMatchObject([{ code: 'NAME_TAKEN', handle: 'req.body' }]);
});

describe.each(versions)('an answer of a transaction of %s that goes wrong', (_name, makeApp) => {
  const refused: Record<string, RequestHandler> = {
    'res.end(number)': (_req, res) => res.end(42),
    'res.write(null)': (_req, res) => void res.write(null),
    'a header that Node.js refuses': (_req, res) => res.writeHead(200, { 'x-name': '\u0119' }).end(),
    'a status that Node.js refuses': (_req, res) => {
      res.statusCode = 1000;
      res.end();
    },
  };
  it.each(Object.entries(refused))('F70 is refused before the COMMIT: %s', async (_how, answer) => {
    const db = await makeDb();
    const app = makeApp();
    app.use(transaction(db));
    app.get(
      '/',
      forwarding(async (req, res, next) => {
        await req.db.run(NOTE);
        await answer(req, res, next);
      }),
    );
    app.use(((_error, _req, res, _next) => res.status(500).end('no')) satisfies ErrorRequestHandler as never);
    const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`);
    expect(response.status).toBe(500);
    expect(await count(db)).toBe(0);
  });

  const turned: Record<string, RequestHandler> = {
    'when its head is written': (_req, res, next) => {
      // As on-headers does for compression, cookie-session and others.
      const writeHead = res.writeHead.bind(res) as (status: number) => typeof res;
      Reflect.set(res, 'writeHead', () => writeHead((res.statusCode = 503)));
      next();
    },
    'when it ends': (_req, res, next) => {
      const end = res.end.bind(res);
      Reflect.set(res, 'end', () => {
        Reflect.set(res, 'end', end);
        // As express-session does, which saves the session first.
        setImmediate(() => {
          next(new Error('cannot be saved'));
        });
        return res;
      });
      next();
    },
    'with a stream that fails before its first byte': (_req, res, next) => {
      const source = new Readable({
        read() {
          this.destroy(new Error('cannot be read'));
        },
      });
      Reflect.set(res, 'json', () => pipeline(source, res, () => undefined));
      next();
    },
  };
  it.each(Object.entries(turned))(
    'F70 is not kept when middleware after it makes an error of it %s',
    async (_when, middleware) => {
      const db = await makeDb();
      const app = makeApp();
      app.use(transaction(db));
      app.use(middleware);
      app.post(
        '/',
        forwarding(async (req, res) => {
          await req.db.run(NOTE);
          res.json({ done: true });
        }),
      );
      app.use(((_error, _req, res, _next) =>
        res.status(500).end('no')) satisfies ErrorRequestHandler as never);
      const status = await fetch(`http://127.0.0.1:${String(await listen(app))}/`, { method: 'POST' }).then(
        (response) => response.status,
        () => 'none',
      );
      expect(status).not.toBe(200);
      await vi.waitFor(() => expect(db.pool.stats()).toMatchObject(FREE));
      expect(await count(db)).toBe(0);
    },
  );

  it('ends no process when Node.js refuses a later part of it', async () => {
    const db = await makeDb();
    const app = makeApp();
    const seen: unknown[] = [];
    app.use(transaction(db));
    app.get(
      '/',
      forwarding(async (req, res) => {
        await req.db.run(NOTE);
        res.write('a');
        res.end(42);
      }),
    );
    app.use(((error, _req, res, _next) => {
      seen.push(error);
      res.destroy();
    }) satisfies ErrorRequestHandler as never);
    await expect(
      fetch(`http://127.0.0.1:${String(await listen(app))}/`).then((r) => r.text()),
    ).rejects.toThrow();
    expect(seen).toMatchObject([{ code: 'ERR_INVALID_ARG_TYPE' }]);
  });

  it('has one head when middleware writes it before each part, because it sees none', async () => {
    const db = await makeDb();
    const app = makeApp();
    app.use(transaction(db));
    app.get(
      '/',
      forwarding(async (req, res) => {
        await req.db.run(NOTE);
        // As compression 1.7 does while res._header is null.
        res.writeHead(200).write('a');
        res.writeHead(200).end('b');
      }),
    );
    const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`);
    expect([response.status, await response.text()]).toEqual([200, 'ab']);
  });

  it('is replaced when the COMMIT fails, although middleware has seen its end already', async () => {
    const db = await makeDb();
    const app = makeApp();
    app.use(transaction(db));
    app.use((_req, res, next) => {
      const end = res.end.bind(res) as (chunk: unknown) => typeof res;
      let ended = false;
      // As compression and express-session do.
      Reflect.set(res, 'end', (chunk: unknown) => {
        if (ended) return false;
        ended = true;
        return end(chunk);
      });
      next();
    });
    app.get(
      '/',
      forwarding(async (req, res) => {
        await req.db.run(ORPHAN);
        res.end('done');
      }),
    );
    app.use(((_error, _req, res, _next) => res.status(500).end('no')) satisfies ErrorRequestHandler as never);
    const response = await fetch(`http://127.0.0.1:${String(await listen(app))}/`);
    expect([response.status, await response.text()]).toEqual([500, 'no']);
  });
});
