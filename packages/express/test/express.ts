import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import type {
  PluginAbility,
  PluginAnswer,
  PluginRoute,
  RunningPlugin,
  StartPlugin,
} from '@sqlite-pool/core/testing';
import express53, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import express416 from 'express-4.16';
import express50 from 'express-5.0';
import express422 from 'express4';
import supertest from 'supertest';
import type { Framework } from '../../../conformance/plugin-cases.ts';
import { sqlitePool, type SqlitePoolHandler } from '../src/index.ts';
import { transaction } from '../src/transaction.ts';

/** What all versions have in common here: their types do not fit each other. */
interface Application {
  (req: IncomingMessage, res: ServerResponse): unknown;
  set(name: string, value: unknown): unknown;
  use(...handlers: (RequestHandler | Application)[]): unknown;
  use(path: string, ...handlers: (RequestHandler | Application)[]): unknown;
  get(path: string, ...handlers: RequestHandler[]): unknown;
  post(path: string, ...handlers: RequestHandler[]): unknown;
}

interface Express {
  (): Application;
  json(): RequestHandler;
}

/** An application of Express 4, for what Express 5 declares. */
export function express4(): Application {
  return express422() as Application;
}

/** No HTTP/2 (its response is no response of node:http), and no request for a WebSocket: those are no requests to Express. */
const CAN: readonly PluginAbility[] = [
  'before',
  'child-scope',
  'error-status',
  'handler-timeout',
  'hijack',
  'inject',
  'transaction',
  'origin',
];

/** The highest and the lowest version of Express 5 and of Express 4; 4 does not forward what an async handler rejects with. */
export const frameworks: readonly Framework[] = [
  { name: 'Express 5.3', can: CAN, start: starter(express53 as Express) },
  { name: 'Express 5.0', can: CAN, start: starter(express50) },
  { name: 'Express 4.22', can: CAN, start: starter(express422 as Express) },
  { name: 'Express 4.16', can: CAN, start: starter(express416) },
];

function starter(express: Express): StartPlugin {
  return async ({ options, routes }) => {
    const db = sqlitePool({ ...options, name: 'db' });
    await db.ready;
    const app = express();
    // Or it prints every error.
    app.set('env', 'test');
    app.use(db);
    for (const route of routes.filter(({ child }) => !child)) addRoute(app, express, db, route.path, route);
    const child = express();
    for (const route of routes.filter((each) => each.child))
      addRoute(child, express, db, route.path.replace('/child', ''), route);
    app.use('/child', child);
    const server = createServer(app).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const close = async (): Promise<void> => {
      server.closeAllConnections();
      server.close();
      await db.close();
    };
    const inject: RunningPlugin['inject'] = async (method, path) => {
      const agent = supertest(app);
      const { status, text } = await (method === 'HEAD' ? agent.head(path) : agent.get(path));
      return { status, body: text };
    };
    return { port: (server.address() as AddressInfo).port, pool: db.pool, close, inject };
  };
}

function addRoute(
  app: Application,
  express: Express,
  db: SqlitePoolHandler,
  path: string,
  { method, handler, before, timeoutMs, transaction: isTransaction = false }: PluginRoute,
) {
  const step = (run: typeof handler, goesOn: boolean): RequestHandler => {
    return (req: Request, res: Response, next: NextFunction): void => {
      run({ db: req.db, body: req.body as unknown, request: req, response: res })
        .then((answer) => {
          if (answer !== undefined) send(res, answer);
          else if (goesOn) next();
        })
        // As Express 4 needs it.
        .catch(next);
    };
  };
  const steps = [
    ...(timeoutMs === undefined ? [] : [timeout(timeoutMs)]),
    ...(before ? [step(before, true)] : []),
    express.json(),
    ...(isTransaction ? [transaction(db)] : []),
    step(handler, false),
  ];
  app[method === 'POST' ? 'post' : 'get'](path, ...steps);
}

function send(res: Response, answer: NonNullable<PluginAnswer>): void {
  if (answer instanceof Readable) pipeline(answer, res, () => undefined);
  else res.send(answer);
}

/** As users of Express write it; there is none in it. */
function timeout(ms: number): RequestHandler {
  return (_req, res, next) => {
    const timer = setTimeout(() => res.sendStatus(503), ms);
    res.once('close', () => {
      clearTimeout(timer);
    });
    next();
  };
}
