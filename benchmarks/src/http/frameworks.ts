import { createServer, type Server } from 'node:http';

import { createAdaptorServer } from '@hono/node-server';
import { sqlite3 } from '@sqlite-pool/core/sqlite3';
import BetterSqlite3 from 'better-sqlite3';

import { HandConnection, PRAGMAS, pragmaSql } from '../by-hand.ts';
import type { Row } from '../contender.ts';
import { POST } from '../contenders/workload.ts';

export const frameworks = ['Fastify', 'Hono', 'Express'] as const;
export type Framework = (typeof frameworks)[number];

/** Where a route has its row from: `req.db` on the default driver or on sqlite3; `none` is the framework by itself. */
export type Way = 'req.db' | 'req.db on sqlite3' | 'by hand' | 'none' | 'better-sqlite3 inline';

interface Reader {
  get(sql: string, params: number[]): Promise<Row | undefined>;
}

const COUNT =
  'WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) SELECT count(*) AS n FROM c';

const post = (db: Reader, id: string) => db.get(POST, [Number(id)]);
/** As slow as its caller says. */
const count = (db: Reader, rows: string) => db.get(COUNT, [Number(rows)]);

/** The two routes, on a framework as its own documentation has it; not listening yet. */
export async function serve(framework: Framework, way: Way, filename: string): Promise<Server> {
  const database = { filename, pragmas: PRAGMAS };
  const options = way === 'req.db on sqlite3' ? { driver: sqlite3(database) } : database;
  const reader = await readerOf(way, filename);
  switch (framework) {
    case 'Fastify': {
      const [{ fastify }, { sqlitePool }] = await Promise.all([
        import('fastify'),
        import('@sqlite-pool/fastify'),
      ]);
      const app = fastify();
      if (!reader) await app.register(sqlitePool, options);
      app.get<{ Params: { id: string } }>('/posts/:id', (request) =>
        post(reader ?? request.db, request.params.id),
      );
      app.get<{ Params: { rows: string } }>('/count/:rows', (request) =>
        count(reader ?? request.db, request.params.rows),
      );
      await app.ready();
      return app.server;
    }
    case 'Hono': {
      const [{ Hono }, { sqlitePool }] = await Promise.all([import('hono'), import('@sqlite-pool/hono')]);
      const app = new Hono<{ Variables: { db: Reader } }>();
      if (!reader) app.use(sqlitePool(options));
      app.get('/posts/:id', async (c) => c.json(await post(reader ?? c.get('db'), c.req.param('id'))));
      app.get('/count/:rows', async (c) => c.json(await count(reader ?? c.get('db'), c.req.param('rows'))));
      return createAdaptorServer(app) as Server;
    }
    case 'Express': {
      const [{ default: express }, { sqlitePool }] = await Promise.all([
        import('express'),
        import('@sqlite-pool/express'),
      ]);
      const app = express();
      if (!reader) app.use(sqlitePool(options));
      app.get('/posts/:id', async (req, res) => {
        res.json(await post(reader ?? req.db, req.params.id));
      });
      app.get('/count/:rows', async (req, res) => {
        res.json(await count(reader ?? req.db, req.params.rows));
      });
      return createServer(app);
    }
  }
}

/** `undefined`: the request's own. */
async function readerOf(way: Way, filename: string): Promise<Reader | undefined> {
  switch (way) {
    case 'req.db':
    case 'req.db on sqlite3':
      return undefined;
    case 'none':
      return { get: async (_, [id]) => ({ id, body: 'Notes on joins', createdAt: 0, author: 'Ada Allen' }) };
    case 'by hand': {
      const connection = await HandConnection.open(filename, PRAGMAS);
      return { get: async (sql, params) => (await connection.all(sql, params))[0] };
    }
    case 'better-sqlite3 inline': {
      const database = new BetterSqlite3(filename);
      database.exec(pragmaSql(PRAGMAS));
      const statements = new Map([POST, COUNT].map((sql) => [sql, database.prepare<number[], Row>(sql)]));
      return { get: async (sql, params) => statements.get(sql)?.get(...params) };
    }
  }
}
