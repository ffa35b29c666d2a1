import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type * as nodeServer from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { RequestDb } from '@sqlite-pool/core';
import type {
  PluginAbility,
  PluginAnswer,
  PluginContext,
  PluginRoute,
  RunningPlugin,
  StartPlugin,
} from '@sqlite-pool/core/testing';
import { Hono, type Context, type MiddlewareHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { stream } from 'hono/streaming';
import { WebSocketServer } from 'ws';
import { sqlitePool, type SqlitePoolMiddleware } from '../src/index.ts';

/** What every supported version can do. */
export const CAN: readonly PluginAbility[] = [
  'after',
  'before',
  'child-scope',
  'http2',
  'inject',
  'transaction',
  'origin',
];

/** What differs from version to version. */
interface Versioned extends Pick<typeof nodeServer, 'createAdaptorServer'> {
  readonly timeout?: (ms: number, error: HTTPException) => MiddlewareHandler;
  /** Hono 4.0 does not catch what the callback of `stream()` rejects with, so its users have to. */
  readonly streamsReject?: boolean;
  readonly upgradeWebSocket?: typeof nodeServer.upgradeWebSocket;
}

interface Env {
  Bindings: nodeServer.HttpBindings;
  Variables: { db: RequestDb };
}

/** Starts applications of Hono on Node.js. */
export function starter({ createAdaptorServer, ...versioned }: Versioned): StartPlugin {
  return async ({ options, routes, http2 = false }) => {
    const db = sqlitePool({ ...options, name: 'db' });
    await db.ready;
    const app = new Hono<Env>();
    app.use('*', db);
    for (const route of routes.filter(({ child }) => !child)) addRoute(app, db, route.path, route, versioned);
    const child = new Hono<Env>();
    for (const route of routes.filter((each) => each.child))
      addRoute(child, db, route.path.replace('/child', ''), route, versioned);
    app.route('/child', child);
    const server = createAdaptorServer({
      fetch: app.fetch,
      ...(http2 && { createServer: createHttp2Server }),
      ...(routes.some(({ websocket }) => websocket) && { websocket: { server: webSockets() } }),
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const close = async (): Promise<void> => {
      if ('closeAllConnections' in server) server.closeAllConnections();
      server.close();
      await db.close();
    };
    const inject: RunningPlugin['inject'] = async (method, path) => {
      const answer = await app.request(path, { method });
      return { status: answer.status, body: await answer.text() };
    };
    return { port: (server.address() as AddressInfo).port, pool: db.pool, close, inject };
  };
}

function webSockets(): nodeServer.WebSocketServerLike {
  // Declared without undefined, where ws allows it.
  return new WebSocketServer({ noServer: true }) as nodeServer.WebSocketServerLike;
}

function addRoute(
  app: Hono<Env>,
  db: Pick<SqlitePoolMiddleware<'db'>, 'transaction'>,
  path: string,
  route: PluginRoute,
  { timeout, streamsReject = false, upgradeWebSocket }: Omit<Versioned, 'createAdaptorServer'>,
): void {
  const { method, handler, before, after, timeoutMs, transaction, websocket } = route;
  const steps: MiddlewareHandler<Env>[] = [];
  if (timeout && timeoutMs !== undefined) steps.push(timeout(timeoutMs, new HTTPException(503)));
  if (after) {
    steps.push(async (c, next) => {
      await next();
      if (c.error === undefined) await after(contextOf(c, undefined));
    });
  }
  if (before) {
    steps.push(async (c, next) => {
      const answer = await before(contextOf(c, undefined));
      if (answer !== undefined) return send(c, answer, streamsReject);
      await next();
      return undefined;
    });
  }
  // Its type has no bindings.
  if (transaction === true) steps.push(db.transaction() as MiddlewareHandler);
  if (websocket && upgradeWebSocket) {
    steps.push(
      upgradeWebSocket((c) => ({
        onMessage: ({ data }, socket) => {
          const { db } = (c as Context<Env>).var;
          // What a message is answered with when it fails is up to the application.
          websocket({ db, body: data }).then(
            (answer) => {
              socket.send(JSON.stringify(answer));
            },
            () => {
              socket.close();
            },
          );
        },
      })),
    );
  }
  app.on(method, [path], ...steps, async (c) => {
    const body: unknown = c.req.header('content-type') === undefined ? undefined : await c.req.json();
    return send(c, await handler(contextOf(c, body)), streamsReject);
  });
}

function contextOf(c: Context<Env>, body: unknown): PluginContext {
  // app.request() has no bindings, and no case asks for them there.
  const { incoming: request, outgoing: response } = Object(c.env) as Env['Bindings'];
  return { db: c.get('db'), body, request, response };
}

function send(c: Context<Env>, value: PluginAnswer, streamsReject: boolean): Response {
  if (value === undefined) return RESPONSE_ALREADY_SENT;
  if (typeof value === 'string') return c.text(value);
  if (value instanceof Uint8Array) return c.body(new Uint8Array(value));
  if (!(value instanceof Readable)) return c.json(value);
  // The lowest server makes one piece of a text of which middleware has asked the status.
  c.header('content-type', 'application/octet-stream');
  return stream(c, async (body) => {
    try {
      for await (const chunk of value) await body.write(chunk as string);
    } catch (error) {
      if (!streamsReject) throw error;
    }
  });
}
