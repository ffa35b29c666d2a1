import { createAdaptorServer } from '@hono/node-server';
import { sqlitePool, type SqlitePoolOptions } from '@sqlite-pool/hono';
import { createInspector } from '@sqlite-pool/inspector';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { mount } from 'hono/mount';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { validator } from 'hono/validator';

import { homePage, type Links } from './pages/home.ts';
import { answerTo } from './shared/errors.ts';
import { addComment, addLike, findPost, findUser, readFeed } from './shared/queries.ts';
import { schema } from './shared/schema.ts';
import { listen, main, type RunningServer } from './shared/server.ts';
import { feedQuery, idParams, newComment, newLike, parse } from './shared/validation.ts';

/** The social API on Hono; `db.closeWith(server)` closes the server first, then the pool. */
export async function createHonoApp(options: SqlitePoolOptions, links: Links = {}) {
  const db = sqlitePool(options);
  await db.pool.script(schema);

  const withId = validator('param', (value) => parse(idParams, value));
  const withPage = validator('query', (value) => parse(feedQuery, value));
  const withComment = validator('json', (value) => parse(newComment, value));
  const withLike = validator('json', (value) => parse(newLike, value));

  const app = new Hono()
    .all('/sqlite/*', mount(createInspector({ pool: db.pool }).fetch))
    .use(bodyLimit({ maxSize: 100 * 1024 }))
    .use(db)
    .get('/', async (c) => {
      const { host } = new URL(c.req.url);
      const about = { host, db: c.get('db'), pool: db.pool, links };
      const { headers, html } = await homePage({ framework: 'Hono', ...about });
      return c.body(html, 200, headers);
    })
    .get('/users/:id', withId, async (c) => {
      const { id } = c.req.valid('param');
      return c.json(await findUser(c.get('db'), id));
    })
    .get('/posts/:id', withId, async (c) => {
      const { id } = c.req.valid('param');
      return c.json(await findPost(c.get('db'), id));
    })
    .get('/feed', withPage, async (c) => {
      return c.json(await readFeed(c.get('db'), c.req.valid('query')));
    })
    .post('/posts/:id/comments', withId, withComment, async (c) => {
      const { id } = c.req.valid('param');
      return c.json(await addComment(c.get('db'), id, c.req.valid('json')), 201);
    })
    .post('/posts/:id/likes', withId, withLike, async (c) => {
      const { id } = c.req.valid('param');
      const { created, likes } = await addLike(c.get('db'), id, c.req.valid('json'));
      return c.json({ likes }, created ? 201 : 200);
    })
    .onError((error, c) => {
      const { status, headers, body } = answerTo(error);
      if (status === 500) console.error(error);
      return c.json(body, status as ContentfulStatusCode, headers);
    });

  return { app, db };
}

/** Listens on 127.0.0.1; port 0 is any free one. */
export async function startHono(
  port: number,
  options: SqlitePoolOptions,
  links?: Links,
): Promise<RunningServer> {
  const { app, db } = await createHonoApp(options, links);
  return listen(createAdaptorServer({ fetch: app.fetch }), port, db);
}

if (import.meta.main) await main(startHono, 3002);
