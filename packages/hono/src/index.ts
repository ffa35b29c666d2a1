/**
 * A connection pool for SQLite in Hono on Node.js. `c.get('db')` is the connection of a request: the request acquires it at its first
 * statement, and releases it when the handler is done.
 *
 * @module
 */
import type { RequestDb } from '@sqlite-pool/core';
import type { RequestOrigin } from '@sqlite-pool/core/channels';
import { commitBefore } from '@sqlite-pool/core/held-response';
import {
  beginTransaction,
  checkRequestTransaction,
  FetchResponse,
  leaseRequest,
  pluginHandle,
  pluginSettings,
  type FetchHandling,
  type PluginHandle,
  type PluginOptions,
  type RequestTransaction,
  type RequestTransactionOptions,
} from '@sqlite-pool/core/plugin';
import type { Context, MiddlewareHandler, Next } from 'hono';
import { createMiddleware } from 'hono/factory';

/** The options of {@link sqlitePool}: those of a pool, or `{ pool }` for one that exists, and `lease`, `name`, `disconnectGraceMs`. */
export type SqlitePoolOptions<Name extends string = string> = PluginOptions<Name>;

/**
 * The variables of an application that does not chain its calls, from which Hono infers nothing.
 *
 * @example const app = new Hono<{ Variables: SqlitePoolVariables<'db' | 'audit'> }>();
 */
export type SqlitePoolVariables<Name extends string = 'db'> = Record<Name, RequestDb>;

/** The middleware, and what outlives a request. */
export type SqlitePoolMiddleware<Name extends string> = MiddlewareHandler<{
  Variables: Record<Name, RequestDb>;
}> &
  PluginHandle & {
    /**
     * Middleware that makes what comes after it one transaction: committed before the response leaves, rolled back if the
     * handler failed or the status is 400 or higher. If the COMMIT fails, `onError` answers instead. Throws
     * `InvalidArgumentError` for an option that cannot work.
     * @example app.post('/orders', db.transaction(), async (c) => { … });
     */
    transaction(
      options?: RequestTransactionOptions,
    ): MiddlewareHandler<{ Variables: Record<Name, RequestDb> }>;
  };

/**
 * Makes the middleware, and opens its pool at once.
 *
 * @example
 * const db = sqlitePool({ filename: 'app.db' });
 * const app = new Hono().use(db).get('/users/:id', async (c) => {
 *   return c.json(await c.get('db').get('SELECT * FROM users WHERE id = ?', [c.req.param('id')]));
 * });
 * await db.ready;
 */
export function sqlitePool<const Name extends string = 'db'>(
  options: SqlitePoolOptions<Name>,
): SqlitePoolMiddleware<Name> {
  const settings = pluginSettings(options);
  const { name } = settings;
  const middleware = createMiddleware<{ Variables: Record<string, RequestDb> }>(async (c, next) => {
    const response = new FetchResponse(c.req.raw, c.env);
    const arrival = { handle: `c.get('${name}')`, found: c.get(name) as unknown, method: c.req.method };
    const request = (): RequestOrigin => originOf(c);
    const lease = leaseRequest(settings, { ...arrival, response: response.events, request });
    if (lease === undefined) {
      await next();
      return;
    }
    c.set(name, lease);
    let status = 500;
    try {
      await response.settle(handling(c, next, name));
      // A handler that forgot its answer has none: asking for `c.res` would make one.
      if (c.finalized) ({ status } = c.res);
    } finally {
      response.end(status);
      lease.respond();
    }
  });
  const transaction = (transactionOptions: RequestTransactionOptions = {}): typeof middleware => {
    checkRequestTransaction(transactionOptions);
    return createMiddleware((c, next) =>
      // Applied alone, it brings the handle of the request with it.
      middleware(c, async () => {
        const own = begin(c, name, transactionOptions);
        await (own === undefined ? next() : own.around(next));
      }),
    );
  };
  return Object.assign(middleware, pluginHandle(settings), { transaction });
}

/** Makes the request one transaction. An answer that is written past Hono, to `c.env.outgoing`, waits for the COMMIT too. */
function begin(c: Context, name: string, options: RequestTransactionOptions): RequestTransaction | undefined {
  const transaction = beginTransaction(c.get(name), options);
  if (transaction === undefined) return undefined;
  c.set(name, transaction);
  const { outgoing } = new FetchResponse(c.req.raw, c.env);
  if (outgoing === undefined) return transaction;
  commitBefore(outgoing, transaction, (error) => {
    // Hono has no part in such an answer, so no error handler gets the error.
    process.emitWarning(error as Error);
    outgoing.statusCode = 500;
    outgoing.end();
  });
  return transaction;
}

/** What the pool may say of a request. The middleware `requestId` of Hono gives it an id. */
function originOf(c: Context): RequestOrigin {
  const id: unknown = c.get('requestId');
  // Hono 4.0, which this package supports, has no other way to know the route.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  const { method, routePath } = c.req;
  return { id: typeof id === 'string' ? id : undefined, route: `${method} ${routePath}` };
}

function handling(c: Context, run: Next, name: string): FetchHandling {
  return {
    run,
    handle: () => c.get(name) as unknown,
    result: () => (c.error !== undefined || !c.finalized ? undefined : c.res),
    // The headers of this answer, a Content-Encoding for example, do not fit the one that takes its place.
    drop: () => {
      const { res } = c;
      c.res = undefined;
      return res;
    },
  };
}

export * from '@sqlite-pool/core';

export default sqlitePool;
