import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { sqlitePool } from '../src/index.ts';
import { fastify } from 'fastify';
import type { Framework } from '../../../conformance/framework.ts';

/** Fastify, for the cases the plugins share. */
export const framework: Framework = {
  name: 'Fastify',
  async serve(options, routes) {
    const app = fastify({ forceCloseConnections: true });
    await app.register(sqlitePool, { ...options, name: 'db' });
    for (const [route, handler] of Object.entries(routes)) {
      const [method = '', url = ''] = route.split(' ');
      app.route({
        method,
        url,
        handler: (request, reply) => {
          const closed = once(reply.raw, 'close').then(() => undefined);
          return handler({ db: request.db, closed });
        },
      });
    }
    await app.listen({ port: 0, host: '127.0.0.1' });
    const { port } = app.server.address() as AddressInfo;
    return { port, pool: app.sqlite, close: () => app.close() };
  },
};
