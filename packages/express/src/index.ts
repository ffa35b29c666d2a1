/**
 * A connection pool for SQLite in Express 4 and 5. `req.db` is the connection of a request: the request acquires it at its first
 * statement, and releases it when the response begins.
 *
 * @module
 */
import type { Logger, RequestDb } from '@sqlite-pool/core';
import type { RequestOrigin } from '@sqlite-pool/core/channels';
import {
  beginTransaction,
  leaseRequest,
  pluginHandle,
  pluginSettings,
  type PluginHandle,
  type PluginOptions,
  type RequestTransaction,
  type RequestTransactionOptions,
} from '@sqlite-pool/core/plugin';
import type { Request, RequestHandler } from 'express';

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

/** The middleware, and what outlives a request. For a route that is one transaction, see `@sqlite-pool/express/transaction`. */
export interface SqlitePoolHandler extends RequestHandler, PluginHandle {
  /** Makes a request that has passed the middleware one transaction, unless it is one already. @internal */
  begin(req: Request, options: RequestTransactionOptions): RequestTransaction | undefined;
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
  const { name } = settings;
  const put = (req: Request, value: RequestDb): void => {
    Object.defineProperty(req, name, { value, configurable: true });
  };
  const middleware: RequestHandler = (req, res, next) => {
    try {
      const { method } = req;
      const found: unknown = Reflect.get(req, name);
      const request = (): RequestOrigin => originOf(req);
      const lease = leaseRequest(settings, { handle: `req.${name}`, found, method, response: res, request });
      if (lease !== undefined) put(req, lease);
    } catch (error) {
      next(error);
      return;
    }
    next();
  };
  const begin: SqlitePoolHandler['begin'] = (req, options) => {
    const transaction = beginTransaction(Reflect.get(req, name), options);
    if (transaction !== undefined) put(req, transaction);
    return transaction;
  };
  return Object.assign(middleware, pluginHandle(settings), { begin });
}

/** What the pool may say of a request. Middleware such as pino-http gives it an id and a log. */
function originOf(req: Request): RequestOrigin {
  const { method, baseUrl, route, id, log } = req as RequestWithId;
  return {
    id: typeof id === 'string' || typeof id === 'number' ? String(id) : undefined,
    route: `${method} ${baseUrl}${String(route?.path ?? '*')}`,
    log: typeof log?.warn === 'function' ? log : undefined,
  };
}

type RequestWithId = Pick<Request, 'method' | 'baseUrl'> & {
  readonly route?: { readonly path?: string | RegExp };
  readonly id?: unknown;
  readonly log?: Logger;
};

export * from '@sqlite-pool/core';

export default sqlitePool;
