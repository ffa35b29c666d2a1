import { createPool } from '@sqlite-pool/core';
import { fakeClock } from '@sqlite-pool/core/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { emptyDatabase, missing, nowhere, seededDatabase } from './database.ts';
import { examples } from './examples.ts';
import { get, post } from './http.ts';

describe.skipIf(missing).each(examples)('trouble behind the social API on $name', ({ start }) => {
  it('is answered with 503 and Retry-After when no connection comes free in time', async () => {
    const clock = fakeClock();
    const pool = createPool({ ...(await seededDatabase()), poolSize: 1, acquireTimeoutMs: 500, clock });
    const server = await start(0, { pool });
    onTestFinished(async () => {
      await server.close();
      await pool.close();
    });

    const connection = await pool.acquire();
    const answer = get(`${server.url}/users/1`);
    await vi.waitUntil(() => pool.stats().waiting === 1);
    await clock.advance(500);
    const refused = await answer;
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toMatch(/^\d+$/);
    expect(refused.body).toEqual({ message: 'Service Unavailable' });

    await connection.release();
    expect((await get(`${server.url}/users/1`)).status).toBe(200);
  });

  it('is answered with 500 and nothing of what SQLite said', async () => {
    const pool = createPool(await seededDatabase());
    const server = await start(0, { pool });
    onTestFinished(async () => {
      await server.close();
      await pool.close();
    });
    const log = vi.spyOn(console, 'error').mockReturnValue();

    await pool.script('PRAGMA foreign_keys = OFF; DROP TABLE users;');
    const { status, body } = await get(`${server.url}/users/1`);
    expect(status).toBe(500);
    expect(body).toEqual({ message: 'Internal Server Error' });
    expect(log).toHaveBeenCalledOnce();
  });

  it('ends the start when the database cannot be opened', async () => {
    await expect(start(0, await nowhere())).rejects.toMatchObject({ code: 'OPEN_FAILED' });
  });

  it('answers a request that is under way when the server is closed', async () => {
    const pool = createPool(await seededDatabase());
    const server = await start(0, { pool, closePool: true });

    const { promise: slow, resolve: finish } = Promise.withResolvers<undefined>();
    const transaction = pool.transaction(() => slow);
    const comment = post(`${server.url}/posts/1/comments`, { userId: 1, body: 'Just in time' });
    await vi.waitUntil(() => pool.stats().writersWaiting === 1);
    const closed = server.close();
    finish(undefined);

    expect((await comment).status).toBe(201);
    await Promise.all([transaction, closed]);
    expect(pool.closed).toBe(true);
  });

  it('ends the start when the port is taken', async () => {
    const database = await emptyDatabase();
    const server = await start(0, database);
    onTestFinished(() => server.close());
    const port = Number(new URL(server.url).port);
    await expect(start(port, database)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
