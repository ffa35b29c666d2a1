/**
 * A connection pool for SQLite in Express 4 and 5. `req.db` is the connection of a request: the request acquires it at its first
 * statement, and releases it when the response begins.
 *
 * @module
 */
import { NameTakenError, type RequestDb } from '@sqlite-pool/core';
import {
  checkRequestTransaction,
  pluginHandle,
  pluginSettings,
  RequestLease,
  RequestTransaction,
  type PluginHandle,
  type PluginOptions,
  type RequestTransactionOptions,
} from '@sqlite-pool/core/plugin';
import type { Request, RequestHandler, Response } from 'express';

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

/** The options of {@link sqlitePool}: those of a pool, or `{ pool }` for one that exists, and `lease`, `name`, `disconnectGraceMs`. */
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
export interface SqlitePoolHandler extends RequestHandler, PluginHandle {
  /**
   * Middleware that makes what comes after it one transaction: committed before the response leaves, rolled back if its
   * status is 400 or higher. If the COMMIT fails, the error handlers answer instead. Throws `InvalidArgumentError` for an
   * option that cannot work.
   * @example app.post('/orders', db.transaction(), async (req, res) => { … });
   */
  transaction(options?: RequestTransactionOptions): RequestHandler;
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
  const settings = pluginSettings(options);
  const { pool, mode, name, disconnectGraceMs } = settings;
  /** The handle of a request, made if there is none; `undefined` if something else has its name. */
  const handleOf = (req: Request, res: Response): RequestLease | RequestTransaction | undefined => {
    const before: unknown = Reflect.get(req, name);
    if (before instanceof RequestLease || before instanceof RequestTransaction) {
      // Applied twice, to an application and to a sub-application: one handle, and so one connection.
      return before.isFor(pool, mode) ? before : undefined;
    }
    if (before !== undefined) return undefined;
    const lease = new RequestLease(pool, { mode, disconnectGraceMs, method: req.method, response: res });
    Object.defineProperty(req, name, { value: lease, configurable: true });
    return lease;
  };
  const middleware: RequestHandler = (req, res, next) => {
    if (handleOf(req, res) === undefined) next(new NameTakenError(`req.${name}`));
    else next();
  };
  const transaction = (transactionOptions: RequestTransactionOptions = {}): RequestHandler => {
    checkRequestTransaction(transactionOptions);
    return (req, res, next) => {
      const lease = handleOf(req, res);
      if (lease === undefined) {
        next(new NameTakenError(`req.${name}`));
        return;
      }
      // Applied twice, it is one transaction.
      if (lease instanceof RequestLease) {
        const own = new RequestTransaction(lease, transactionOptions);
        Object.defineProperty(req, name, { value: own, configurable: true });
        own.commitBefore(res, next);
      }
      next();
    };
  };
  return Object.assign(middleware, pluginHandle(settings), { transaction });
}

export * from '@sqlite-pool/core';

export default sqlitePool;
