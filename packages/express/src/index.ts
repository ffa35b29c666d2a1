/**
 * A connection pool for SQLite in Express 4 and 5: `req.db` is a request's own connection, taken when it is first used
 * and given back when the response begins.
 *
 * @module
 */
import {
  NameTakenError,
  pluginSettings,
  RequestLease,
  type PluginOptions,
  type RequestDb,
  type SqlitePool,
} from '@sqlite-pool/core';
import type { RequestHandler } from 'express';

/**
 * The names of your databases: declare those besides `db` here, and `req` has them. A name that is not declared is a
 * compile error.
 *
 * @example
 * declare module '@sqlite-pool/express' {
 *   interface Databases {
 *     audit: true; // req.audit
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

declare global {
  // Express declares this namespace for plugins to add to.

  namespace Express {
    interface Request extends Handles {
      /** This request's use of the pool. */
      readonly db: RequestDb;
    }
  }
}

/** The middleware, and what outlives a request. */
export interface SqlitePoolHandler extends RequestHandler {
  /** The connection pool. */
  readonly pool: SqlitePool;
  /** Resolves when a first connection is open; rejects if the database cannot be opened. Await it before you listen. */
  readonly ready: Promise<void>;
  /** Closes the pool, unless it was given and `closePool` is not set. Call it after the server has closed. */
  close(): Promise<void>;
}

/**
 * Makes the middleware, and opens its pool at once.
 *
 * @example
 * const db = sqlitePool({ filename: 'app.db' });
 * app.use(db);
 * app.get('/users/:id', async (req, res) => res.json(await req.db.get('SELECT * FROM users WHERE id = ?', [req.params.id])));
 * await db.ready;
 */
export function sqlitePool(options: SqlitePoolOptions): SqlitePoolHandler {
  const { pool, closesPool, mode, name, graceMs } = pluginSettings(options);
  const middleware: RequestHandler = (req, res, next) => {
    const before: unknown = Reflect.get(req, name);
    if (before === undefined) {
      const value = new RequestLease(pool, { mode, graceMs, method: req.method, response: res });
      Object.defineProperty(req, name, { value, configurable: true });
      next();
    } else if (before instanceof RequestLease && before.isFor(pool, mode)) {
      // Applied twice, to an application and to a sub-application: one handle, and so one connection.
      next();
    } else next(new NameTakenError(`req.${name}`));
  };
  const ready = pool.open().then(() => undefined);
  // Whoever awaits it hears of a failure; otherwise the first request does.
  ready.catch(() => undefined);
  const close = async (): Promise<void> => {
    if (closesPool) await pool.close();
  };
  return Object.assign(middleware, { pool, ready, close });
}

export { type RequestDb, type SqlitePool } from '@sqlite-pool/core';

export default sqlitePool;
