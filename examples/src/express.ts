import { createServer } from 'node:http';

import { sqlitePool, type SqlitePoolOptions } from '@sqlite-pool/express';
import { createInspector } from '@sqlite-pool/inspector';
import express, { type ErrorRequestHandler } from 'express';

import { homePage, type Links } from './pages/home.ts';
import { answerTo } from './shared/errors.ts';
import { addComment, addLike, findPost, findUser, readFeed } from './shared/queries.ts';
import { schema } from './shared/schema.ts';
import { listen, main, type RunningServer } from './shared/server.ts';
import { feedQuery, idParams, newComment, newLike, parse } from './shared/validation.ts';

/** The social API on Express; `db.closeWith(server)` closes the server first, then the pool. */
export async function createExpressApp(options: SqlitePoolOptions, links: Links = {}) {
  const db = sqlitePool(options);
  await db.pool.script(schema);

  const app = express();
  app.use('/sqlite', createInspector({ pool: db.pool }).listener);
  app.use(express.json());
  app.use(db);

  app.get('/', async (req, res) => {
    const about = { host: req.host, db: req.db, pool: db.pool, links };
    const { headers, html } = await homePage({ framework: 'Express', ...about });
    res.set(headers).send(html);
  });

  app.get('/users/:id', async (req, res) => {
    const { id } = parse(idParams, req.params);
    res.json(await findUser(req.db, id));
  });

  app.get('/posts/:id', async (req, res) => {
    const { id } = parse(idParams, req.params);
    res.json(await findPost(req.db, id));
  });

  app.get('/feed', async (req, res) => {
    res.json(await readFeed(req.db, parse(feedQuery, req.query)));
  });

  app.post('/posts/:id/comments', async (req, res) => {
    const { id } = parse(idParams, req.params);
    res.status(201).json(await addComment(req.db, id, parse(newComment, req.body)));
  });

  app.post('/posts/:id/likes', async (req, res) => {
    const { id } = parse(idParams, req.params);
    const { created, likes } = await addLike(req.db, id, parse(newLike, req.body));
    res.status(created ? 201 : 200).json({ likes });
  });

  // Four parameters: that is how Express tells an error handler from any other.
  app.use(((error, _req, res, next) => {
    // An answer that has begun can only be ended, which the default handler does.
    if (res.headersSent) {
      next(error);
      return;
    }
    const { status, headers, body } = answerTo(error);
    if (status === 500) console.error(error);
    res.status(status).set(headers).json(body);
  }) satisfies ErrorRequestHandler);

  return { app, db };
}

/** Listens on 127.0.0.1; port 0 is any free one. */
export async function startExpress(
  port: number,
  options: SqlitePoolOptions,
  links?: Links,
): Promise<RunningServer> {
  const { app, db } = await createExpressApp(options, links);
  return listen(createServer(app), port, db);
}

if (import.meta.main) await main(startExpress, 3003);
