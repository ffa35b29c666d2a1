import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type ErrorRequestHandler } from 'express';
import { fastify, type RouteOptions } from 'fastify';
import { Hono } from 'hono';
import { mount } from 'hono/mount';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createInspector, type Inspector, type InspectorOptions } from '../src/index.ts';
import { FakePool } from './fake-pool.ts';

type Ask = (path: string, method?: string) => Promise<Response>;

/** An inspector mounted at /sqlite, and how to ask it. */
type Mount = (inspector: Inspector) => Promise<Ask>;

async function askServer(server: Server): Promise<Ask> {
  if (!server.listening) await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return async (path, method = 'GET') => await fetch(`http://127.0.0.1:${String(port)}${path}`, { method });
}

const MOUNTS: Record<string, Mount> = {
  async Fastify(inspector) {
    const app = fastify();
    await app.register(inspector.fastify, { prefix: '/sqlite' });
    await app.listen({ host: '127.0.0.1', port: 0 });
    onTestFinished(() => app.close());
    return await askServer(app.server);
  },
  async Hono(inspector) {
    const app = new Hono();
    app.onError((_error, context) => context.body(null, 500));
    app.all('/sqlite/*', mount(inspector.fetch));
    return async (path, method = 'GET') => await app.request(path, { method });
  },
  async Express(inspector) {
    const app = express();
    app.use('/sqlite', inspector.listener);
    const answerWith500: ErrorRequestHandler = (_error, _request, response, _next) => {
      response.status(500).end();
    };
    app.use(answerWith500);
    return await askServer(app.listen(0, '127.0.0.1'));
  },
  async 'node:http'(inspector) {
    const ask = await askServer(createServer(inspector.listener).listen(0, '127.0.0.1'));
    return async (path, method) => await ask(path.replace('/sqlite', ''), method);
  },
};

function inspectorOf(options: Omit<InspectorOptions, 'pool' | 'pools'> = {}): Inspector {
  const inspector = createInspector({ pool: new FakePool(), ...options });
  onTestFinished(() => inspector.close());
  return inspector;
}

describe.each(Object.entries(MOUNTS))('in %s', (name, mountIn) => {
  it('the page is at the place of the mount, with and without a slash', async () => {
    const ask = await mountIn(inspectorOf());
    for (const path of ['/sqlite', '/sqlite/', '/sqlite?x=1']) {
      const response = await ask(path);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(await response.text()).toContain('<title>sqlite-pool</title>');
    }
  });

  it('the data is below it, and takes its query', async () => {
    const ask = await mountIn(inspectorOf({ now: () => 1_000_000 }));
    const response = await ask('/sqlite/state.json?after=999');
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(await response.json()).toMatchObject({ pool: { name: 'fake', seconds: [[1000, 0, 0, 0, 0]] } });
    expect((await ask('/sqlite/state.json?pool=7')).status).toBe(404);
    expect((await ask('/sqlite/no/such/path')).status).toBe(404);
  });

  it('a HEAD has the headers and no body, and nothing else than reading is allowed', async () => {
    const ask = await mountIn(inspectorOf());
    const head = await ask('/sqlite/state.json', 'HEAD');
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect(head.headers.get('cache-control')).toBe('no-store');
    for (const method of ['POST', 'DELETE']) expect((await ask('/sqlite/', method)).status).toBe(405);
  });

  it('auth is asked with the headers of the request, and an error of it shows nothing', async () => {
    const ask = await mountIn(
      inspectorOf({ auth: ({ headers }) => String(headers['user-agent']).includes('admin') }),
    );
    expect((await ask('/sqlite/')).status).toBe(401);
    const failing = inspectorOf({
      auth: () => {
        throw new Error('secret');
      },
    });
    const response = await (await mountIn(failing))('/sqlite/');
    expect(response.status).toBe(500);
    // What Fastify answers is for its error handler to say.
    if (name !== 'Fastify') expect(await response.text()).not.toContain('secret');
  });
});

describe('in Fastify', () => {
  it('the routes do not log, and are hidden from OpenAPI documents', async () => {
    const routes: RouteOptions[] = [];
    const lines: string[] = [];
    const app = fastify({ logger: { stream: { write: (line: string) => lines.push(line) } } });
    app.addHook('onRoute', (route) => void routes.push(route));
    await app.register(inspectorOf().fastify, { prefix: '/sqlite' });
    await app.inject('/sqlite/state.json');
    onTestFinished(() => app.close());
    expect(routes.every(({ schema }) => (schema as { hide?: boolean } | undefined)?.hide === true)).toBe(
      true,
    );
    expect(routes.length).toBeGreaterThan(1);
    expect(lines).toEqual([]);
  });

  it('hooks of the scope around it protect it', async () => {
    const app = fastify();
    await app.register(
      async (scope) => {
        scope.addHook('onRequest', async (_request, reply) => reply.code(403).send('no'));
        await scope.register(inspectorOf().fastify);
      },
      { prefix: '/sqlite' },
    );
    onTestFinished(() => app.close());
    expect((await app.inject('/sqlite/state.json')).statusCode).toBe(403);
  });
});
