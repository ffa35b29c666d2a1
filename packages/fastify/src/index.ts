/**
 * A connection pool for SQLite in Fastify: `app.sqlite` is the pool, `request.db` a request's own connection, taken
 * when it is first used and given back when the response is sent.
 *
 * @module
 */
import {
  LeaseEndedError,
  pluginSettings,
  RequestLease,
  type PluginOptions,
  type RequestDb,
  type SqlitePool,
} from '@sqlite-pool/core';
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

/** The options of {@link sqlitePool}: those of a pool, or `{ pool }` for one that exists, and `lease`, `name`, `graceMs`. */
export type SqlitePoolOptions = PluginOptions;

declare module 'fastify' {
  interface FastifyInstance {
    /** The connection pool; it outlives requests. */
    sqlite: SqlitePool;
  }
  interface FastifyRequest {
    /** This request's use of the pool. */
    readonly db: RequestDb;
  }
}

async function plugin(app: FastifyInstance, options: SqlitePoolOptions): Promise<void> {
  const { pool, closesPool, mode, name, graceMs } = pluginSettings(options);
  // A second database has names of its own: `audit` gives request.audit and app.auditPool. Fastify throws
  // FST_ERR_DEC_ALREADY_PRESENT for a name that is taken; nothing has been opened yet.
  app.decorate(name === 'db' ? 'sqlite' : `${name}Pool`, pool);
  const lease = Symbol(name);
  type Request = FastifyRequest & { [lease]: RequestLease | null };
  app.decorateRequest(lease, null);
  app.decorateRequest(name, {
    getter(this: FastifyRequest) {
      const own = (this as Request)[lease];
      if (own === null) throw new LeaseEndedError(`request.${name} ${TOO_EARLY}`);
      return own;
    },
  });

  app.addHook('onRequest', (request, reply, done) => {
    const { method } = request;
    (request as Request)[lease] = new RequestLease(pool, { mode, graceMs, method, response: reply.raw });
    done();
  });
  // The handler is done, and the bytes have not travelled yet: a slow reader holds no connection. An earlier hook that
  // replied by itself has skipped ours, so there may be no lease.
  app.addHook('onSend', (request, _reply, _payload, done) => {
    (request as Request)[lease]?.respond();
    done();
  });
  if (closesPool) {
    // A hook that resolved to a value would make close() reject with it.
    app.addHook('onClose', async () => {
      await pool.close();
    });
  }
  // A database that cannot be opened fails the boot.
  await pool.open();
}

const TOO_EARLY =
  "is there from this plugin's onRequest hook on: register the plugin before hooks that use it.";

/**
 * The plugin. Registering it opens the pool, and rejects with the reason if that fails; closing the application closes
 * the pool.
 *
 * @example
 * await app.register(sqlitePool, { filename: 'app.db' });
 * app.get('/users/:id', (request) => request.db.get('SELECT * FROM users WHERE id = ?', [request.params.id]));
 */
export const sqlitePool: FastifyPluginAsync<SqlitePoolOptions> = fp(plugin, {
  name: '@sqlite-pool/fastify',
  fastify: '5.x',
});

export default sqlitePool;
