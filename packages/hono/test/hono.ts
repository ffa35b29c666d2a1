import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { createAdaptorServer, type HttpBindings } from '@hono/node-server';
import { sqlitePool } from '../src/index.ts';
import { Hono } from 'hono';
import { stream } from 'hono/streaming';
import { vi } from 'vitest';
import type { Framework } from '../../../conformance/framework.ts';

/** Hono on Node.js, for the cases the plugins share. */
export const framework: Framework = {
  name: 'Hono',
  async serve(options, routes) {
    // Hono's own answer to an error prints it.
    vi.spyOn(console, 'error').mockReturnValue();
    const db = sqlitePool({ ...options, name: 'db' });
    await db.ready;
    const app = new Hono<{ Bindings: HttpBindings }>();
    const withDb = app.use(db);
    for (const [route, handler] of Object.entries(routes)) {
      const [method = '', path = ''] = route.split(' ');
      withDb.on(method, [path], async (c) => {
        const closed = once(c.env.outgoing, 'close').then(() => undefined);
        const value = await handler({ db: c.get('db'), closed });
        if (typeof value === 'string') return c.text(value);
        if (value instanceof Buffer) return c.body(new Uint8Array(value));
        if (!(value instanceof Readable)) return c.json(value);
        return stream(c, async (body) => {
          for await (const chunk of value) await body.write(chunk as string);
        });
      });
    }
    const server = createAdaptorServer({ fetch: app.fetch }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const close = async (): Promise<void> => {
      if ('closeAllConnections' in server) server.closeAllConnections();
      server.close();
      await db.close();
    };
    return { port: (server.address() as AddressInfo).port, pool: db.pool, close };
  },
};
