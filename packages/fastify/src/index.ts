/**
 * A connection pool for SQLite in Fastify: `app.sqlite` is the pool, `request.db` a request's own connection, taken
 * when it is first used and given back when the response is sent.
 *
 * @module
 */
import {
  LeaseEndedError,
  NameTakenError,
  pluginSettings,
  RequestLease,
  type PluginOptions,
  type RequestDb,
  type SqlitePool,
} from '@sqlite-pool/core';
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

/**
 * The names of your databases: declare those besides `db` here, and `request` and `app` have them. A name that is not
 * declared is a compile error.
 *
 * @example
 * declare module '@sqlite-pool/fastify' {
 *   interface Databases {
 *     audit: true; // request.audit and app.auditPool
 *   }
 * }
 */
export interface Databases {
  db: true;
}

/** One of the names in {@link Databases}. */
export type DatabaseName = Extract<keyof Databases, string>;

/** The options of {@link sqlitePool}: those of a pool, or `{ pool }` for one that exists, and `lease`, `name`, `graceMs`. */
export type SqlitePoolOptions = PluginOptions<DatabaseName>;

/** A request's use of each pool, by its name. */
type Handles = Readonly<Record<DatabaseName, RequestDb>>;

/** The pools, which outlive requests: `sqlite`, and `auditPool` for the name `audit`. */
type Pools = { [Name in DatabaseName as Name extends 'db' ? 'sqlite' : `${Name}Pool`]: SqlitePool };

declare module 'fastify' {
  interface FastifyInstance extends Pools {
    /** The connection pool; it outlives requests. */
    sqlite: SqlitePool;
  }
  interface FastifyRequest extends Handles {
    /** This request's use of the pool. */
    readonly db: RequestDb;
  }
}

async function plugin(app: FastifyInstance, options: SqlitePoolOptions): Promise<void> {
  const { pool, closesPool, mode, name, graceMs } = pluginSettings(options);
  const lease = Symbol(name);
  type Request = FastifyRequest & { [lease]: RequestLease | null };
  app.decorateRequest(lease, null);
  unlessTaken(`request.${name}`, () =>
    app.decorateRequest(name, {
      getter(this: FastifyRequest) {
        const own = (this as Request)[lease];
        if (own === null) throw new LeaseEndedError(`request.${name} ${TOO_EARLY}`);
        return own;
      },
    }),
  );
  const poolName = name === 'db' ? 'sqlite' : `${name}Pool`;
  unlessTaken(`app.${poolName}`, () => app.decorate(poolName, pool));

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

/** Fastify refuses a name that is taken; nothing has been opened yet. */
function unlessTaken(handle: string, decorate: () => unknown): void {
  try {
    decorate();
  } catch (error) {
    const isTaken = (error as { code?: unknown }).code === 'FST_ERR_DEC_ALREADY_PRESENT';
    throw isTaken ? new NameTakenError(handle, error) : error;
  }
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

export { type RequestDb, type SqlitePool } from '@sqlite-pool/core';

export default sqlitePool;
