/**
 * A connection pool for SQLite in Hono on Node.js. `c.get('db')` is the connection of a request: the request acquires it at its first
 * statement, and releases it when the handler is done.
 *
 * @module
 */
import { validateHeaderValue } from 'node:http';
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
import type { Context, MiddlewareHandler, Next } from 'hono';
import { createMiddleware } from 'hono/factory';
import { nodeResponse, SignalledResponse, webSocketEvents, webSocketOf } from './response.ts';

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
  const { pool, mode, name, disconnectGraceMs } = settings;
  const middleware = createMiddleware<{ Variables: Record<string, RequestDb> }>(async (c, next) => {
    const before: unknown = c.get(name);
    // Applied twice, to the application and to a route of it: one handle, and so one connection.
    const isHandle = before instanceof RequestLease || before instanceof RequestTransaction;
    if (isHandle && before.isFor(pool, mode)) {
      await next();
      return;
    }
    if (before !== undefined) {
      throw new NameTakenError(`c.get('${name}')`);
    }
    const signalled = new SignalledResponse(c.req.raw);
    const response = nodeResponse(c) ?? webSocketEvents(c) ?? signalled;
    const lease = new RequestLease(pool, { mode, disconnectGraceMs, method: c.req.method, response });
    c.set(name, lease);
    try {
      await answer(c, next, name);
    } finally {
      signalled.writableEnded = true;
      lease.respond();
    }
  });
  const transaction = (transactionOptions: RequestTransactionOptions = {}): typeof middleware => {
    checkRequestTransaction(transactionOptions);
    return createMiddleware((c, next) =>
      // Applied alone, it brings the handle of the request with it.
      middleware(c, async () => {
        const lease: unknown = c.get(name);
        // Applied twice, it is one transaction.
        if (lease instanceof RequestLease)
          c.set(name, begin(new RequestTransaction(lease, transactionOptions), c));
        await next();
      }),
    );
  };
  return Object.assign(middleware, pluginHandle(settings), { transaction });
}

/** An answer that is written past Hono, to `c.env.outgoing`, waits for the COMMIT too. */
function begin(transaction: RequestTransaction, c: Context): RequestTransaction {
  const response = nodeResponse(c);
  if (response !== undefined) {
    transaction.commitBefore(response, (error) => {
      // Hono has no part in such an answer, so no error handler gets the error.
      process.emitWarning(error as Error);
      response.statusCode = 500;
      response.end();
    });
  }
  return transaction;
}

/** Runs what comes after the plugin, and then ends the transaction that the request may have become. */
async function answer(c: Context, next: Next, name: string): Promise<void> {
  const transaction = (): RequestTransaction | undefined => {
    const handle: unknown = c.get(name);
    return handle instanceof RequestTransaction ? handle : undefined;
  };
  try {
    await next();
    const own = transaction();
    if (own?.isPending === true) await own.settle(statusOf(c));
  } catch (error) {
    const own = transaction();
    if (own !== undefined) {
      await own.settle(500);
      discard(c);
    }
    throw error;
  }
}

/** Throws for an answer that is not valid or that Node.js would refuse. After the COMMIT this would be too late. */
function statusOf(c: Context): number {
  // A handler that forgot its answer has none: asking for `c.res` would make one.
  if (c.error !== undefined || !c.finalized) return 500;
  const { res } = c;
  // @hono/node-server makes the response when its body is asked for.
  Reflect.get(res, 'body');
  for (const [header, value] of res.headers) validateHeaderValue(header, value);
  return res.status;
}

/** Another answer takes the place of this one. The headers of this one, a Content-Encoding for example, do not fit the other. */
function discard(c: Context): void {
  // The socket would still become a WebSocket.
  webSocketOf(c)?.destroy();
  const { res } = c;
  c.res = undefined;
  try {
    res.body?.cancel().catch(() => undefined);
  } catch {
    // This answer is not valid.
  }
}

export * from '@sqlite-pool/core';

export default sqlitePool;
