/**
 * A connection pool for SQLite in Express 4 and 5: `req.db` is a request's own connection, taken when it is first used
 * and given back when the response begins.
 *
 * @module
 */
import { pluginSettings, RequestLease, type PluginOptions, type RequestDb, type SqlitePool } from '@sqlite-pool/core';
import { type RequestHandler, type Response } from 'express';

/** The options of {@link sqlitePool}: those of a pool, or `{ pool }` for one that exists, and `lease`, `name`, `graceMs`. */
export type SqlitePoolOptions = PluginOptions;

declare global {
  // Express declares this namespace for plugins to add to.
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    interface Request {
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
    const onFirstUse = (): void => {
      onResponse(res, () => {
        lease.respond();
      });
    };
    const lease = new RequestLease(pool, { mode, graceMs, method: req.method, response: res, onFirstUse });
    Object.defineProperty(req, name, { value: lease, configurable: true });
    next();
  };
  const ready = pool.open().then(() => undefined);
  // Whoever awaits it hears of a failure; otherwise the first request does.
  ready.catch(() => undefined);
  const close = async (): Promise<void> => {
    if (closesPool) await pool.close();
  };
  return Object.assign(middleware, { pool, ready, close });
}

/**
 * Calls `begins` when the response begins. Express has no hook for it: Node.js calls `writeHead` for every response, by
 * itself before the first byte if the application did not.
 */
function onResponse(res: Response, begins: () => void): void {
  const { writeHead } = res;
  res.writeHead = function (this: Response, ...args: unknown[]): Response {
    begins();
    return Reflect.apply(writeHead, this, args) as Response;
  } as typeof res.writeHead;
}

export default sqlitePool;
