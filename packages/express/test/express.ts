import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import { sqlitePool } from '../src/index.ts';
import express5, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import express4Itself from 'express4';
import type { Framework, Handler } from '../../../conformance/framework.ts';

/** What the two versions have in common here: their types do not fit each other. */
interface Application {
  (req: IncomingMessage, res: ServerResponse): unknown;
  use(handler: RequestHandler): unknown;
  get(path: string, handler: RequestHandler): unknown;
  post(path: string, handler: RequestHandler): unknown;
}

/** An application of Express 4, for what Express 5 declares. */
export function express4(): Application {
  return express4Itself();
}

/** Express 5 and Express 4; the second does not forward what an async handler rejects with. */
export const frameworks: readonly Framework[] = [
  framework('Express 5', express5),
  framework('Express 4', express4),
];

function framework(name: string, makeApp: () => Application): Framework {
  return {
    name,
    async serve(options, routes) {
      const db = sqlitePool({ ...options, name: 'db' });
      await db.ready;
      const app = makeApp();
      app.use(db);
      for (const [route, handler] of Object.entries(routes)) {
        const [method, path = ''] = route.split(' ');
        app[method === 'POST' ? 'post' : 'get'](path, adapt(handler));
      }
      const server = createServer(app).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const close = async (): Promise<void> => {
        server.closeAllConnections();
        server.close();
        await db.close();
      };
      return { port: (server.address() as AddressInfo).port, pool: db.pool, close };
    },
  };
}

/** With `catch(next)`, as Express 4 needs it. */
function adapt(handler: Handler): RequestHandler {
  return (req: Request, res: Response, next: NextFunction): void => {
    const closed = once(res, 'close').then(() => undefined);
    handler({ db: req.db, closed })
      .then((value) => {
        if (value instanceof Readable) pipeline(value, res, () => undefined);
        else res.send(value);
      })
      .catch(next);
  };
}
