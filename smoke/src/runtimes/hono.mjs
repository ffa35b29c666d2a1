import { sqlite3 } from '@sqlite-pool/core/sqlite3';
import { sqlitePool } from '@sqlite-pool/hono';
import { Hono } from 'hono';
import { stream } from 'hono/streaming';

/* global Bun, Deno, setTimeout */

const [, , filename = '', driver] = process.argv;
const source = driver === 'sqlite3' ? { driver: sqlite3({ filename }) } : { filename };
const db = sqlitePool({ ...source, poolSize: 2, disconnectGraceMs: 200 });
await db.ready;
await db.pool.script('CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)');

/** How the handlers ended whose clients have left. */
const ends = [];
const insert = "INSERT INTO notes (body) VALUES ('a')";

/** Uses its connection until the pool revokes it. */
const endless = async (c) => {
  try {
    for (;;) {
      await c.get('db').get('SELECT 1');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } catch (error) {
    ends.push(error.code);
  }
  return c.text('ended');
};

const app = new Hono()
  .use('/db/*', db)
  .get('/db/one', async (c) => c.json(await c.get('db').get('SELECT 1 AS one')))
  .get('/db/error', async (c) => c.json(await c.get('db').get('SELECT * FROM nowhere')))
  .get('/db/context', async (c) => {
    await c.get('db').get('SELECT 1');
    let context = 'there';
    try {
      void c.executionCtx;
    } catch {
      context = 'absent';
    }
    return c.text(context);
  })
  .get('/db/stream', async (c) => {
    const handle = c.get('db');
    await handle.get('SELECT 1');
    return stream(c, async (body) => {
      await body.sleep(10);
      for (let n = 1; n <= 3; n += 1)
        await body.write(JSON.stringify(await handle.get('SELECT ? AS n', [n])));
    });
  })
  .post('/db/failed', db.transaction(), async (c) => {
    await c.get('db').run(insert);
    return c.text('no', 409);
  })
  .post('/db/notes', db.transaction(), async (c) => {
    await c.get('db').run(insert);
    return c.json(await c.get('db').get('SELECT count(*) AS count FROM notes'), 201);
  })
  .on(['GET', 'POST'], '/db/endless', endless)
  .get('/stats', (c) => c.json({ ...db.pool.stats(), ends }));

const hostname = '127.0.0.1';
const runtime = globalThis.Bun ? 'bun' : 'deno';
const server = globalThis.Bun
  ? Bun.serve({ port: 0, hostname, fetch: app.fetch })
  : Deno.serve({ port: 0, hostname, onListen: () => undefined }, app.fetch);
console.log(String(runtime === 'bun' ? server.port : server.addr.port));

process.once('SIGTERM', async () => {
  await (runtime === 'bun' ? server.stop() : server.shutdown());
  await db.close();
});
