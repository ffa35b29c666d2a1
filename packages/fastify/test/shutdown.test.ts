import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { expect, it, onTestFinished, vi } from 'vitest';
import { sqlitePool } from '../src/index.ts';

it('F48 a request that has its connection is answered by its handler when Fastify closes the pool beside it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const app = fastify();
  await app.register(sqlitePool, { filename: join(directory, 'app.db') });
  let goOn = (): void => undefined;
  const paused = new Promise<void>((resolve) => (goOn = resolve));
  app.get('/', async ({ db }) => {
    await db.get('SELECT 1');
    await paused;
    return [await db.get('SELECT 2 AS two'), app.sqlite.closed];
  });
  // inject() has no connection that Fastify could wait for.
  const answer = app.inject('/');
  await vi.waitFor(() => expect(app.sqlite.stats().leased).toBe(1));
  const closed = app.close();
  await vi.waitFor(() => expect(app.sqlite.closed).toBe(true));
  goOn();
  expect((await answer).json()).toEqual([{ two: 2 }, true]);
  await closed;
});
