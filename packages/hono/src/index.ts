/**
 * A connection pool for SQLite in Hono on Node.js: `c.get('db')` is a request's own connection, taken when it is first
 * used and given back when the handler is done.
 *
 * @module
 */
import { validateHeaderValue, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import {
  checkRequestTransaction,
  closeWithServer,
  NameTakenError,
  pluginSettings,
  RequestLease,
  RequestTransaction,
  type ClosableServer,
  type HoldableResponse,
  type PluginOptions,
  type RequestDb,
  type RequestTransactionOptions,
  type ShutdownOptions,
  type ResponseEvents,
  type SqlitePool,
} from '@sqlite-pool/core';
import type { Context, MiddlewareHandler, Next } from 'hono';
import { createMiddleware } from 'hono/factory';

/** The options of {@link sqlitePool}: those of a pool, or `{ pool }` for one that exists, and `lease`, `name`, `graceMs`. */
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
}> & {
  /** The connection pool. */
  readonly pool: SqlitePool;
  /** Resolves when a first connection is open; rejects if the database cannot be opened. Await it before you listen. */
  readonly ready: Promise<void>;
  /**
   * Middleware that makes what comes after it one transaction: committed before the response leaves, rolled back if the
   * handler failed or the status is 400 or higher. If the COMMIT fails, `onError` answers instead. Throws
   * `InvalidArgumentError` for an option that cannot work.
   * @example app.post('/orders', db.transaction(), async (c) => { … });
   */
  transaction(options?: RequestTransactionOptions): MiddlewareHandler<{ Variables: Record<Name, RequestDb> }>;
  /** Closes the pool, unless it was given and `closePool` is not set. Call it after the server has closed. */
  close(): Promise<void>;
  /**
   * Closes the pool after its server; the function returned closes both, as do `signals` and `server.close()`. Every
   * request that has begun is answered, or ended after `timeoutMs` (10 seconds). Throws `InvalidArgumentError`.
   * @example db.closeWith(server, { signals: ['SIGTERM', 'SIGINT'] });
   */
  closeWith(server: ClosableServer, options?: ShutdownOptions): () => Promise<void>;
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
  const { pool, closesPool, mode, name, graceMs } = pluginSettings(options);
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
    const socket = webSocketOf(c);
    const response = nodeResponse(c) ?? (socket && eventsOf(socket)) ?? signalled;
    const lease = new RequestLease(pool, { mode, graceMs, method: c.req.method, response });
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
  const ready = pool.open().then(() => undefined);
  // Whoever awaits it hears of a failure; otherwise the first request does.
  ready.catch(() => undefined);
  const close = async (): Promise<void> => {
    if (closesPool) await pool.close();
  };
  const closeWith = (server: ClosableServer, shutdown?: ShutdownOptions): (() => Promise<void>) =>
    closeWithServer(server, close, shutdown);
  return Object.assign(middleware, { pool, ready, transaction, close, closeWith });
}

/** An answer that is written past Hono, to `c.env.outgoing`, waits for the COMMIT too. */
function begin(transaction: RequestTransaction, c: Context): RequestTransaction {
  const response = nodeResponse(c);
  if (response !== undefined) {
    transaction.commitBefore(response, (error) => {
      // Hono has no part in such an answer, so nobody else hears of it.
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

/** Throws for an answer that cannot be, or that Node.js would refuse: after the COMMIT it would be too late. */
function statusOf(c: Context): number {
  // A handler that forgot its answer has none: asking for `c.res` would make one.
  if (c.error !== undefined || !c.finalized) return 500;
  const { res } = c;
  // @hono/node-server makes the response when its body is asked for.
  Reflect.get(res, 'body');
  for (const [header, value] of res.headers) validateHeaderValue(header, value);
  return res.status;
}

/** Nobody reads an answer whose place another one takes, and its headers, a Content-Encoding for example, are not for that. */
function discard(c: Context): void {
  // It would become a WebSocket all the same.
  webSocketOf(c)?.destroy();
  const { res } = c;
  c.res = undefined;
  try {
    res.body?.cancel().catch(() => undefined);
  } catch {
    // It is one that cannot be.
  }
}

/**
 * What there is of a response on other runtimes than Node.js, and in `app.request()`: the signal of the request, which aborts
 * when the client leaves. Deno aborts it after every response, too, so it counts only until the handler is done. It is
 * not touched before the first statement, because reading it has a price.
 */
class SignalledResponse implements ResponseEvents {
  readonly headersSent = false;
  writableEnded = false;
  readonly #request: { readonly signal?: AbortSignal | undefined };

  /** Not every runtime gives its requests a signal. */
  constructor(request: { readonly signal?: AbortSignal | undefined }) {
    this.#request = request;
  }

  get closed(): boolean {
    return this.#request.signal?.aborted === true;
  }

  once(_event: 'close', listener: () => void): void {
    this.#request.signal?.addEventListener('abort', listener, { once: true });
  }

  writeHead(): void {
    // Nobody calls it: there is no head but that of the Response.
  }
}

/** What @hono/node-server gives. */
interface NodeEnv {
  readonly incoming?: Partial<IncomingMessage>;
  readonly outgoing?: HoldableResponse;
}

/** The response of Node.js; there is none in app.request() and on other runtimes, where the name could be anybody's. */
function nodeResponse({ env }: Context): HoldableResponse | undefined {
  const { outgoing } = Object(env) as NodeEnv;
  return typeof outgoing?.writeHead === 'function' ? outgoing : undefined;
}

/** The connection that a request asks to make a WebSocket of. */
function webSocketOf({ env }: Context): Socket | undefined {
  const { incoming, outgoing } = Object(env) as NodeEnv;
  const socket = outgoing === undefined ? incoming?.socket : undefined;
  return typeof socket?.once === 'function' ? socket : undefined;
}

/** It has no response: once its request is answered, all that follows are messages, until it closes. */
function eventsOf(socket: Socket): ResponseEvents {
  return {
    closed: socket.closed,
    headersSent: false,
    writableEnded: false,
    once: (event, listener) => socket.once(event, listener),
    writeHead: () => undefined,
  };
}

export { type RequestDb, type SqlitePool } from '@sqlite-pool/core';

export default sqlitePool;
