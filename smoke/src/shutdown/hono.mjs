import { serve } from '@hono/node-server';
import { sqlitePool } from '@sqlite-pool/hono';
import { Hono } from 'hono';
import { INSERT, SCHEMA, SLOW, started } from './app.mjs';

const db = sqlitePool({ filename: process.argv[2] ?? '' });
await db.ready;
await db.pool.script(SCHEMA);

const app = new Hono()
  .use(db)
  .get('/', async (c) => c.json((await c.get('db').get(SLOW)) ?? null))
  .post('/', async (c) => {
    await c.get('db').get(SLOW);
    const { changes } = await c.get('db').run(INSERT);
    return c.json({ changes });
  });

const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => started(server));
db.closeWith(server, { signals: ['SIGTERM'] });
