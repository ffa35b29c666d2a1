import { once } from 'node:events';
import { mkdtemp, rm, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import underPressure from '@fastify/under-pressure';
import { createTerminus } from '@godaddy/terminus';
import { serve } from '@hono/node-server';
import { createPool, type SqlitePool } from '@sqlite-pool/core';
import express from 'express';
import { fastify } from 'fastify';
import { Hono } from 'hono';
import { describe, expect, it, onTestFinished } from 'vitest';

import { get } from './http.ts';

/** The recipes of docs/sight.md, each with a server that listens. */
const RECIPES: Readonly<Record<string, (pool: SqlitePool) => Promise<Listening>>> = {
  '@fastify/under-pressure': async (pool) => {
    const app = fastify();
    await app.register(underPressure, {
      exposeStatusRoute: '/health',
      healthCheck: async () => ({ ...(await pool.health({ write: true })) }),
    });
    await app.listen({ port: 0, host: '127.0.0.1' });
    return { server: app.server, close: () => app.close() };
  },
  '@godaddy/terminus': async (pool) => {
    const server = createServer((_request, response) => response.end());
    createTerminus(server, { healthChecks: { '/health': () => pool.health({ write: true }) } });
    return listening(server.listen(0, '127.0.0.1'));
  },
  Fastify: async (pool) => {
    const app = fastify();
    app.get('/health', () => pool.health({ write: true }));
    await app.listen({ port: 0, host: '127.0.0.1' });
    return { server: app.server, close: () => app.close() };
  },
  Express: async (pool) => {
    const app = express();
    app.get('/health', async (_request, response) => {
      response.json(await pool.health({ write: true }));
    });
    return listening(app.listen(0, '127.0.0.1'));
  },
  Hono: async (pool) => {
    const app = new Hono();
    app.get('/health', async (c) => {
      const health = await pool.health({ write: true }).catch(() => undefined);
      return health === undefined ? c.json({ status: 'unhealthy' }, 503) : c.json(health);
    });
    return listening(serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server);
  },
};

interface Listening {
  readonly server: Server;
  close(): PromiseLike<unknown>;
}

async function listening(server: Server): Promise<Listening> {
  if (!server.listening) await once(server, 'listening');
  return {
    server,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

describe.each(Object.entries(RECIPES))('the health check with %s', (_name, start) => {
  async function app(): Promise<{ filename: string; url: string }> {
    const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-health-'));
    const filename = join(folder, 'app.db');
    const pool = createPool({ filename, logger: { debug: () => undefined, warn: () => undefined } });
    await pool.script('CREATE TABLE t (x)');
    const { server, close } = await start(pool);
    onTestFinished(async () => {
      await close();
      await pool.close();
      await rm(folder, { recursive: true, force: true });
    });
    return { filename, url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/health` };
  }

  it('answers 200 if the database can be read and written', async () => {
    const { url } = await app();
    expect(await get(url)).toMatchObject({ status: 200, body: { status: 'ok' } });
  });

  // Windows deletes no file that is open.
  it.skipIf(process.platform === 'win32')(
    'answers 503 if the file was unlinked, although its connections can still read',
    async () => {
      const { url, filename } = await app();
      await unlink(filename);
      expect((await get(url)).status).toBe(503);
    },
  );

  it('answers 503 while a writer is stuck, and 200 after it', async () => {
    const { url, filename } = await app();
    const writer = new DatabaseSync(filename);
    writer.exec('BEGIN IMMEDIATE');
    expect((await get(url)).status).toBe(503);
    writer.exec('ROLLBACK');
    writer.close();
    expect((await get(url)).status).toBe(200);
  });
});
