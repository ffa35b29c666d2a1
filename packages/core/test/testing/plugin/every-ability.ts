import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import inject from 'light-my-request';
import { WebSocketServer } from 'ws';
import type { RequestDb, RetryableError } from '../../../src/index.ts';
import { commitBefore } from '../../../src/request/held-response.ts';
import {
  pluginSettings,
  RequestLease,
  RequestTransaction,
  type PluginSettings,
  type ResponseEvents,
} from '../../../src/plugin.ts';
import type { RequestOrigin } from '../../../src/channels.ts';
import type {
  PluginAbility,
  PluginAnswer,
  PluginContext,
  PluginRoute,
  StartPlugin,
} from '../../../src/testing/index.ts';

/** Whatever a case may need. */
export const everything: readonly PluginAbility[] = [
  'http2',
  'error-status',
  'hijack',
  'before',
  'after',
  'child-scope',
  'handler-timeout',
  'inject',
  'websocket',
  'transaction',
  'origin',
];

/** Makes what a request gets; a test replaces it with one that makes a mistake. */
export type MakeDb = (
  settings: PluginSettings,
  method: string,
  response: ResponseEvents,
  route?: string,
) => RequestDb;

const lease: MakeDb = ({ pool, mode, disconnectGraceMs }, method, response, route) => {
  const request = (): RequestOrigin => ({ id: undefined, route });
  return new RequestLease(pool, { mode, disconnectGraceMs, method, response, request });
};

function wholeRequest(db: RequestDb): RequestTransaction {
  assert.ok(db instanceof RequestLease);
  return new RequestTransaction(db);
}

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

/** A server of Node.js that can do whatever the frameworks can do, by hand. */
export function starter(makeDb: MakeDb = lease): StartPlugin {
  return async ({ options, routes, http2 }) => {
    const settings = pluginSettings(options);
    const { pool, closesPool } = settings;
    await pool.open();
    const serve = (request: Request, response: Response): void => {
      const { method = 'GET', url } = request;
      const path = url?.split('?')[0];
      const route = routes.find(
        (each) => each.path === path && each.method === method.replace('HEAD', 'GET'),
      );
      const fail = (error: unknown): void => {
        if (response.headersSent) return;
        const { statusCode = 500, headers } = error as Partial<RetryableError>;
        (response as ServerResponse).writeHead(statusCode, headers).end();
      };
      const own = makeDb(settings, method, response, `${method} ${route?.path ?? '*'}`);
      const db = route?.transaction === true ? wholeRequest(own) : own;
      if (db instanceof RequestTransaction) commitBefore(response, db, fail);
      const handle = (): Promise<void> => answer({ db, body: undefined, request, response }, route);
      (db instanceof RequestTransaction ? db.around(handle) : handle()).catch(fail);
    };
    const server = http2 === true ? createHttp2Server(serve) : createServer(serve);
    const ended = endable(server);
    addWebSockets(server, settings, makeDb, routes);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return {
      port: (server.address() as AddressInfo).port,
      pool,
      inject: async (method, path) => {
        const { statusCode, body } = await inject(serve, { method: method as 'GET', url: path });
        return { status: statusCode, body };
      },
      close: async () => {
        ended();
        if (closesPool) await pool.close();
      },
    };
  };
}

async function answer(context: PluginContext, route: PluginRoute | undefined): Promise<void> {
  const { request } = context;
  const response = context.response as ServerResponse;
  if (route === undefined) return void response.writeHead(404).end();
  const { handler, before, after, timeoutMs } = route;
  if (timeoutMs !== undefined) {
    const timer = setTimeout(() => response.writeHead(503).end(), timeoutMs);
    response.once('close', () => {
      clearTimeout(timer);
    });
  }
  const early = await before?.(context);
  if (early !== undefined) {
    send(early, response);
    return;
  }
  const body = request.headers['content-type'] === undefined ? undefined : await json(request);
  const value = await handler({ ...context, body });
  await after?.(context);
  if (value !== undefined) send(value, response);
}

function send(value: NonNullable<PluginAnswer>, response: ServerResponse): void {
  if (value instanceof Readable) pipeline(value, response, () => undefined);
  else response.end(typeof value === 'string' || value instanceof Uint8Array ? value : JSON.stringify(value));
}

/** Closes a server and ends whatever is connected to it: HTTP/2 and WebSockets have no closeAllConnections(). */
function endable(server: Server): () => void {
  const sockets = new Set<{ destroy(): unknown }>();
  server.on('connection', (socket) => sockets.add(socket));
  return () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
}

function addWebSockets(
  server: Server,
  settings: PluginSettings,
  makeDb: MakeDb,
  routes: readonly PluginRoute[],
): void {
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request: IncomingMessage, _socket, head: Buffer) => {
    const route = routes.find(({ path }) => path === request.url);
    // The response has begun, and lasts as long as the socket.
    const response = {
      headersSent: true,
      writableEnded: false,
      once: (event: 'close', listener: () => void) => request.socket.once(event, listener),
      writeHead: () => undefined,
    };
    const own = makeDb(settings, 'GET', response);
    const db = route?.transaction === true ? wholeRequest(own) : own;
    sockets.handleUpgrade(request, request.socket, head, (client) => {
      client.on('message', (body: Buffer) => {
        void route?.websocket?.({ db, body: String(body) }).then((value) => {
          client.send(JSON.stringify(value));
        });
      });
    });
  });
}
