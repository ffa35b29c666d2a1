import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { PoolOptions } from '@sqlite-pool/core';
import { fastify, type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { deferred, ENDLESS, fetchOnce, outcome, temporaryFile } from '../../../conformance/framework.ts';
import { sqlitePool } from '../src/index.ts';

/** An application with a table `notes`; `port()` listens. */
async function makeApp(options: PoolOptions = {}, server: FastifyServerOptions = {}) {
  const app: FastifyInstance = fastify({ forceCloseConnections: true, ...server });
  onTestFinished(() => app.close());
  await app.register(sqlitePool, { closeTimeoutMs: 100, ...options, filename: await temporaryFile() });
  await app.sqlite.script('CREATE TABLE notes (body TEXT)');
  const port = async (): Promise<number> => {
    await app.listen({ port: 0, host: '127.0.0.1' });
    return (app.server.address() as AddressInfo).port;
  };
  return { app, pool: app.sqlite, port };
}

describe('the hooks of Fastify', () => {
  it('share the connection of their request with the handler', async () => {
    const { app, pool } = await makeApp({ poolSize: 1 });
    app.addHook('onRequest', async (request) => {
      await request.db.get('SELECT 1');
    });
    app.addHook('preHandler', async (request) => {
      await request.db.get('SELECT 2');
    });
    app.get('/', (request) => request.db.all('SELECT 3 AS n'));
    const { acquires } = pool.stats();
    expect((await app.inject('/')).json()).toEqual([{ n: 3 }]);
    expect(pool.stats()).toMatchObject({ acquires: acquires + 1, leased: 0, idle: 1 });
  });

  it('may use the db after the response, one statement at a time', async () => {
    const { app, pool } = await makeApp({ poolSize: 1 });
    const written = deferred();
    app.get('/', (request) => request.db.get('SELECT 1 AS one'));
    app.addHook('onResponse', async (request) => {
      await request.db.run("INSERT INTO notes VALUES ('after')");
      written.resolve();
    });
    await app.inject('/');
    await written.promise;
    expect(await pool.all('SELECT * FROM notes')).toEqual([{ body: 'after' }]);
    expect(pool.stats().leased).toBe(0);
  });

  it('that reply before the hook of the plugin leave nothing behind', async () => {
    const app = fastify();
    onTestFinished(() => app.close());
    app.addHook('onRequest', (_request, reply) => reply.code(418).send('no'));
    await app.register(sqlitePool, { filename: await temporaryFile() });
    app.get('/', () => 'never');
    const { acquires } = app.sqlite.stats();
    expect(await app.inject('/')).toMatchObject({ statusCode: 418, body: 'no' });
    expect(app.sqlite.stats()).toMatchObject({ acquires, leased: 0 });
  });

  it('that want the db before the hook of the plugin get an error that says what to change', async () => {
    const app = fastify();
    onTestFinished(() => app.close());
    app.addHook('onRequest', async (request) => {
      await request.db.get('SELECT 1');
    });
    await app.register(sqlitePool, { filename: await temporaryFile() });
    app.get('/', () => 'never');
    const { statusCode, body } = await app.inject('/');
    expect(statusCode).toBe(500);
    expect(body).toContain('register the plugin before');
  });

  it('and the handlers of errors and of unknown routes have the db too', async () => {
    const { app, pool } = await makeApp({ poolSize: 1 });
    app.get('/', async (request) => {
      await request.db.run('BEGIN IMMEDIATE');
      throw new Error('a mistake');
    });
    app.setErrorHandler(async (_error, request) => request.db.get("SELECT 'error' AS handled"));
    app.setNotFoundHandler(async (request) => request.db.get("SELECT 'unknown' AS handled"));
    expect((await app.inject('/')).json()).toEqual({ handled: 'error' });
    expect((await app.inject('/unknown')).json()).toEqual({ handled: 'unknown' });
    await vi.waitFor(() => {
      expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
    });
  });

  it('release the connection of a HEAD request', async () => {
    const { app, pool, port } = await makeApp({ poolSize: 1 });
    app.get('/', (request) => request.db.get('SELECT 1 AS one'));
    expect(await fetchOnce(await port(), 'HEAD', '/')).toMatchObject({ status: 200, body: '' });
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });
});

describe('a stream in Fastify', () => {
  it('holds no connection while its first byte is not there yet', async () => {
    const { app, pool, port } = await makeApp({ poolSize: 1 });
    const first = deferred<string>();
    app.get('/late', async (request, reply) => {
      await request.db.get('SELECT 1');
      async function* body() {
        yield await first.promise;
      }
      return reply.send(Readable.from(body()));
    });
    const answer = fetchOnce(await port(), 'GET', '/late');
    await vi.waitFor(() => {
      expect(pool.stats()).toMatchObject({ acquires: 3, leased: 0 });
    });
    first.resolve('late');
    expect(await answer).toMatchObject({ status: 200, body: 'late' });
  });
});

describe('a reply that Fastify does not send', () => {
  it('by hijack() releases the connection with its head, and leases per statement after it', async () => {
    const { app, pool, port } = await makeApp({ poolSize: 1 });
    const leased: number[] = [];
    app.get('/events', async (request, reply) => {
      await request.db.get('SELECT 1');
      reply.hijack();
      leased.push(pool.stats().leased);
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream' });
      leased.push(pool.stats().leased);
      reply.raw.write(`data: ${JSON.stringify(await request.db.get('SELECT 2 AS n'))}\n\n`);
      leased.push(pool.stats().leased);
      reply.raw.end();
    });
    expect(await fetchOnce(await port(), 'GET', '/events')).toMatchObject({
      status: 200,
      body: 'data: {"n":2}\n\n',
    });
    expect(leased).toEqual([1, 0, 0]);
  });

  it('F62 by hijack() is followed to the end of its socket', async () => {
    const { app, pool, port } = await makeApp({ poolSize: 1 });
    const ended = deferred<unknown>();
    app.get('/events', async (request, reply) => {
      reply.hijack();
      reply.raw.write('data: hello\n\n');
      ended.resolve(await outcome(request.db.get(ENDLESS)));
    });
    const controller = new AbortController();
    const answer = await fetch(`http://127.0.0.1:${String(await port())}/events`, {
      signal: controller.signal,
    });
    expect(answer.status).toBe(200);
    controller.abort();
    expect(await ended.promise).toMatchObject({ code: 'LEASE_ENDED' });
    await vi.waitFor(() => {
      expect(pool.stats().leased).toBe(0);
    });
  });

  it('F63 for a handler that timed out frees its connection, and its transaction begun by hand stays rolled back', async () => {
    const { app, pool } = await makeApp({ poolSize: 1 }, { handlerTimeout: 500 });
    const [replied, zombie] = [deferred(), deferred<unknown[]>()];
    app.get('/zombie', async (request) => {
      await request.db.run('BEGIN IMMEDIATE');
      await request.db.run("INSERT INTO notes VALUES ('first')");
      await replied.promise;
      const late = [request.db.run("INSERT INTO notes VALUES ('second')"), request.db.run('COMMIT')];
      zombie.resolve(await Promise.all(late.map(outcome)));
    });
    expect(await app.inject('/zombie')).toMatchObject({ statusCode: 503 });
    replied.resolve();
    expect(await zombie.promise).toMatchObject([{ code: 'LEASE_ENDED' }, { code: 'LEASE_ENDED' }]);
    // Half a transaction would be worse than none.
    expect(await pool.all('SELECT * FROM notes')).toEqual([]);
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
  });

  it('F63 for a handler that timed out lets its transaction() end, and takes the connection then', async () => {
    const { app, pool } = await makeApp({ poolSize: 1 }, { handlerTimeout: 500 });
    const [replied, committed] = [deferred(), deferred()];
    app.get('/zombie', async (request) => {
      await request.db.transaction(async (tx) => {
        await tx.run("INSERT INTO notes VALUES ('first')");
        await replied.promise;
        await tx.run("INSERT INTO notes VALUES ('second')");
      });
      committed.resolve();
    });
    expect(await app.inject('/zombie')).toMatchObject({ statusCode: 503 });
    expect(pool.stats().leased).toBe(1);
    replied.resolve();
    await committed.promise;
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
    expect(await pool.all('SELECT * FROM notes')).toEqual([{ body: 'first' }, { body: 'second' }]);
  });

  it('F63 for a reply that cannot be serialized releases the connection', async () => {
    const { app, pool } = await makeApp({ poolSize: 1 });
    app.get('/', async (request) => {
      await request.db.get('SELECT 1');
      return {
        toJSON: () => {
          throw new Error('a mistake');
        },
      };
    });
    expect(await app.inject('/')).toMatchObject({ statusCode: 500 });
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });

  it('F63 that is sent twice releases the connection once', async () => {
    const { app, pool } = await makeApp({ poolSize: 1 });
    const done = deferred();
    app.get('/', async (request, reply) => {
      const row = await request.db.get('SELECT 1 AS one');
      await reply.send(row);
      reply.send(row);
      done.resolve();
      return reply;
    });
    expect((await app.inject('/')).json()).toEqual({ one: 1 });
    await done.promise;
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, size: 1 });
  });
});

describe('HTTP/2 in Fastify', () => {
  it('F62 interrupts the statement of a stream that was reset', async () => {
    const { connect } = await import('node:http2');
    const app = fastify({ http2: true });
    onTestFinished(() => app.close());
    await app.register(sqlitePool, { filename: await temporaryFile(), poolSize: 1 });
    const [started, ended] = [deferred(), deferred<unknown>()];
    app.get('/', async (request) => {
      const running = request.db.get(ENDLESS);
      started.resolve();
      ended.resolve(await outcome(running));
      return {};
    });
    app.get('/works', (request) => request.db.get('SELECT 1 AS one'));
    const url = await app.listen({ port: 0, host: '127.0.0.1' });
    const client = connect(url);
    onTestFinished(() => {
      client.close();
    });
    const stream = client.request({ ':path': '/' });
    stream.on('error', () => undefined);
    await started.promise;
    stream.close(8);
    expect(await ended.promise).toMatchObject({ code: 'LEASE_ENDED' });

    const next = client.request({ ':path': '/works' });
    const [bytes] = (await once(next, 'data')) as [Buffer];
    expect(String(bytes)).toBe('{"one":1}');
    await once(next, 'close');
    expect(app.sqlite.stats()).toMatchObject({ leased: 0, idle: 1 });
  });
});
