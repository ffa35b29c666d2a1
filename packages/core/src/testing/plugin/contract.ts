import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Readable } from 'node:stream';
import type { PluginOptions } from '../../request/plugin-options.ts';
import type { SqlitePool } from '../../pool.ts';
import type { RequestDb } from '../../request/request-db.ts';

/**
 * The abilities that a framework may have, and that a case may need.
 *
 * - `http2`: serves HTTP/2 without TLS when `app.http2` is set.
 * - `hijack`: a handler may write to `context.response` itself, and then resolves to `undefined`.
 * - `before`: runs `route.before` ahead of the body parser and of the handler.
 * - `after`: runs `route.after` when the handler has resolved, and answers an error if it rejects.
 * - `error-status`: answers an error of the pool with its `statusCode` and `headers`.
 * - `child-scope`: serves a route with `child` in a child scope, a sub-application or a router.
 * - `handler-timeout`: answers 503 when a handler takes longer than `route.timeoutMs`.
 * - `inject`: answers without a socket (`running.inject`).
 * - `websocket`: serves WebSockets with `route.websocket`.
 * - `transaction`: makes the handler of a route with `route.transaction` one transaction of its `db`.
 * - `origin`: passes what to say of a request (`RequestLeaseOptions.request`), and runs the handler of a transaction with
 *   `RequestTransaction.around`.
 *
 * @example const can: readonly PluginAbility[] = ['hijack', 'before', 'inject'];
 */
export type PluginAbility =
  | 'http2'
  | 'error-status'
  | 'hijack'
  | 'before'
  | 'after'
  | 'child-scope'
  | 'handler-timeout'
  | 'inject'
  | 'websocket'
  | 'transaction'
  | 'origin';

/**
 * The argument of a handler, in every framework.
 *
 * @example const handler = async ({ db, body }: PluginContext) => db.run('INSERT INTO notes (body) VALUES (?)', [String(body)]);
 */
export interface PluginContext {
  /** The `db` that the plugin under test adds to a request. */
  readonly db: RequestDb;
  /** The JSON body of a POST, parsed in the usual way of the framework. */
  readonly body: unknown;
  /** The request and the response of Node.js. The cases without a socket (`inject`) do not use them. */
  readonly request: IncomingMessage | Http2ServerRequest;
  readonly response: ServerResponse | Http2ServerResponse;
}

/**
 * The value to which a handler resolves. The application sends a string or bytes as they are, a stream in the usual way
 * of the framework, and any other object as JSON. `undefined`: the handler answers by itself, through
 * `context.response`.
 *
 * @example const answer: PluginAnswer = { id: 1 };
 */
export type PluginAnswer = object | string | Uint8Array | Readable | undefined;

/**
 * A route of the application under test. A GET also answers HEAD.
 *
 * @example const route: PluginRoute = { method: 'GET', path: '/notes', handler: ({ db }) => db.all('SELECT * FROM notes') };
 */
export interface PluginRoute {
  readonly method: 'GET' | 'POST';
  /** The whole path, without parameters. */
  readonly path: string;
  /** Resolves to the answer. The application handles a rejection in the usual way of the framework. It may never settle. */
  readonly handler: (context: PluginContext) => Promise<PluginAnswer>;
  /** Needs `before`. If it resolves to a value, that is the answer, and the handler does not run. */
  readonly before?: ((context: PluginContext) => Promise<PluginAnswer>) | undefined;
  /** Needs `after`. */
  readonly after?: ((context: PluginContext) => Promise<void>) | undefined;
  /** Needs `child-scope`. The path begins with `/child/`. */
  readonly child?: boolean | undefined;
  /** In milliseconds. Needs `handler-timeout`. */
  readonly timeoutMs?: number | undefined;
  /** Needs `transaction`. */
  readonly transaction?: boolean | undefined;
  /**
   * Needs `websocket`. Runs for each text message of a WebSocket at this path. Its result is sent to the client as
   * JSON.
   */
  readonly websocket?: ((message: Pick<PluginContext, 'db' | 'body'>) => Promise<PluginAnswer>) | undefined;
}

/**
 * The application that a case asks for.
 *
 * @example const app: PluginApp = { options: { filename: 'app.db' }, routes: [] };
 */
export interface PluginApp {
  /** The options for the plugin under test. */
  readonly options: PluginOptions;
  readonly routes: readonly PluginRoute[];
  /** Needs `http2`. */
  readonly http2?: boolean | undefined;
}

/**
 * An application that listens.
 *
 * @example const { port, pool, close }: RunningPlugin = await start({ options, routes: [] });
 */
export interface RunningPlugin {
  /** The port on 127.0.0.1. */
  readonly port: number;
  /** The plugin's pool. */
  readonly pool: SqlitePool;
  /** Needs `inject`. Resolves to the status and the body of the answer. */
  readonly inject?:
    | ((method: string, path: string) => Promise<{ readonly status: number; readonly body: string }>)
    | undefined;
  /**
   * Ends the connections and closes the server. Closes the pool, too, if it belongs to the plugin. It must not wait for
   * handlers, and may be called twice.
   */
  readonly close: () => Promise<void>;
}

/**
 * Starts an application with the plugin under test. Rejects if the database cannot be opened.
 *
 * @example
 * const start: StartPlugin = async ({ options, routes }) => {
 *   const { pool, closesPool, mode, disconnectGraceMs } = pluginSettings(options);
 *   await pool.open();
 *   const server = createServer(async (request, response) => {
 *     const { method = 'GET', url } = request;
 *     const route = routes.find(({ path, ...each }) => path === url && each.method === method.replace('HEAD', 'GET'));
 *     if (route === undefined) return response.writeHead(404).end();
 *     const db = new RequestLease(pool, { mode, disconnectGraceMs, method, response });
 *     try {
 *       const body = method === 'POST' ? await json(request) : undefined;
 *       const answer = await route.handler({ db, body, request, response });
 *       if (answer instanceof Readable) pipeline(answer, response, () => undefined);
 *       else if (answer !== undefined) response.end(isRaw(answer) ? answer : JSON.stringify(answer));
 *     } catch (error) {
 *       response.writeHead(error.statusCode ?? 500, error.headers).end();
 *     }
 *   });
 *   await once(server.listen(0, '127.0.0.1'), 'listening');
 *   const close = async () => {
 *     server.close().closeAllConnections();
 *     if (closesPool) await pool.close();
 *   };
 *   return { port: server.address().port, pool, close };
 * };
 */
export type StartPlugin = (app: PluginApp) => Promise<RunningPlugin>;

/**
 * One property of a plugin that its users rely on.
 *
 * @example const [first]: readonly PluginCase[] = pluginCases;
 */
export interface PluginCase {
  /** The topic of the case, for a report. */
  readonly group: string;
  /** What the plugin must do, as a sentence. */
  readonly title: string;
  /** The abilities that the framework must have. Otherwise the case does not apply to it, and the report must say so. */
  readonly needs: readonly PluginAbility[];
  /**
   * Rejects with an `AssertionError` if the plugin does not do it. `patienceMs`: how long the case waits for an event,
   * in milliseconds; default: 10 000.
   */
  readonly run: (start: StartPlugin, patienceMs?: number) => Promise<void>;
}
