import { sqlitePool, type SqlitePoolOptions } from '@sqlite-pool/fastify';
import { createInspector } from '@sqlite-pool/inspector';
import { fastify, type FastifyInstance } from 'fastify';

import { homePage, type Links } from './pages/home.ts';
import { answerTo } from './shared/errors.ts';
import { addComment, addLike, findPost, findUser, readFeed } from './shared/queries.ts';
import { schema } from './shared/schema.ts';
import { main, type RunningServer } from './shared/server.ts';
import { feedQuery, idParams, newComment, newLike, parse } from './shared/validation.ts';

/** The social API on Fastify; `app.close()` closes the pool too. */
export async function createFastifyApp(
  options: SqlitePoolOptions,
  links: Links = {},
): Promise<FastifyInstance> {
  const app = fastify();
  await app.register(sqlitePool, options);
  await app.sqlite.script(schema);

  await app.register(createInspector({ pool: app.sqlite }).fastify, { prefix: '/sqlite' });

  app.get('/', async ({ db, host }, reply) => {
    const { headers, html } = await homePage({ framework: 'Fastify', host, db, pool: app.sqlite, links });
    return reply.headers(headers).send(html);
  });

  app.get('/users/:id', async (request) => {
    const { id } = parse(idParams, request.params);
    return findUser(request.db, id);
  });

  app.get('/posts/:id', async (request) => {
    const { id } = parse(idParams, request.params);
    return findPost(request.db, id);
  });

  app.get('/feed', async (request) => readFeed(request.db, parse(feedQuery, request.query)));

  app.post('/posts/:id/comments', async (request, reply) => {
    const { id } = parse(idParams, request.params);
    return reply.code(201).send(await addComment(request.db, id, parse(newComment, request.body)));
  });

  app.post('/posts/:id/likes', async (request, reply) => {
    const { id } = parse(idParams, request.params);
    const { created, likes } = await addLike(request.db, id, parse(newLike, request.body));
    return reply.code(created ? 201 : 200).send({ likes });
  });

  app.setErrorHandler((error, _request, reply) => {
    const { status, headers, body } = answerTo(error);
    if (status === 500) console.error(error);
    return reply.code(status).headers(headers).send(body);
  });

  return app;
}

/** Listens on 127.0.0.1; port 0 is any free one. */
export async function startFastify(
  port: number,
  options: SqlitePoolOptions,
  links?: Links,
): Promise<RunningServer> {
  const app = await createFastifyApp(options, links);
  const url = await app.listen({ host: '127.0.0.1', port });
  return { url, close: () => app.close() };
}

if (import.meta.main) await main(startFastify, 3001);
