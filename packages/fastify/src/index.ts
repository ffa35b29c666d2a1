/**
 * A connection pool for SQLite in Fastify. `app.sqlite` is the pool. `request.db` is the connection of a request: the request acquires
 * it at its first statement, and releases it when the response begins.
 *
 * @module
 */
import { NameTakenError, type RequestDb, type SqlitePool } from '@sqlite-pool/core';
import { pluginSettings, type PluginOptions, type RouteTransaction } from '@sqlite-pool/core/plugin';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { isOn, serveRequests } from './requests.ts';

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

/** The options of {@link sqlitePool}: those of a pool, or `{ pool }` for one that exists, and `lease`, `name`, `disconnectGraceMs`. */
export type SqlitePoolOptions = PluginOptions<DatabaseName>;

/** What a route says in its `config.sqlite`: `{ transaction: true }`, or the names of databases; and `mode`, `timeoutMs`. */
export type SqliteRouteConfig<Name extends string = string> = RouteTransaction<Name>;

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
  interface FastifyContextConfig {
    /** `{ transaction: true }` makes the handler of the route one transaction. */
    sqlite?: SqliteRouteConfig<DatabaseName> | undefined;
  }
}

async function plugin(app: FastifyInstance, options: SqlitePoolOptions): Promise<void> {
  const settings = pluginSettings(options, { logger: isOn(app.log) ? app.log : undefined });
  const { pool, closesPool, name } = settings;
  unlessTaken(`request.${name}`, () => {
    serveRequests(app, settings);
  });
  const poolName = name === 'db' ? 'sqlite' : `${name}Pool`;
  unlessTaken(`app.${poolName}`, () => app.decorate(poolName, pool));
  if (closesPool) {
    // A hook that resolved to a value would make close() reject with it.
    app.addHook('onClose', async () => {
      await pool.close();
    });
  }
  // A database that does not open fails the boot.
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

export * from '@sqlite-pool/core';

export default sqlitePool;
