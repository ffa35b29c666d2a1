import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createPool, type SqlitePool } from '../../pool.ts';
import { casesOf, chunks, deferred, ending, has, INSERT, LONG, never, type Bench } from './bench.ts';
import { fetchOnce } from './clients.ts';
import type { PluginCase } from './contract.ts';

/** Starting and stopping an application with its pool. */
const STARTING = casesOf('start and stop', [], {
  'F08 fails at the start, and names no path, when the database cannot be opened': async ({
    serve,
    directory,
  }) => {
    const filename = join(directory, 'no-such-directory', 'app.db');
    await assert.rejects(
      serve({ options: { filename }, routes: [] }),
      (error: Error & { code?: unknown }) => {
        assert.equal(error.code, 'OPEN_FAILED');
        return !String(error).includes('no-such-directory');
      },
    );
  },
  'F08 fails at the start when a pool that was given cannot open its database': async ({
    serve,
    directory,
  }) => {
    await usingPool(join(directory, 'no-such-directory', 'app.db'), async (pool) => {
      assert.equal(await ending(serve({ options: { pool }, routes: [] })), 'OPEN_FAILED');
    });
  },
  'closes its own pool with the application, and leaves no WAL behind': async ({ start }) => {
    const { close, fetch, filename, pool } = await start({}, { 'POST /': ({ db }) => db.run(INSERT, ['a']) });
    await fetch('POST', '/');
    assert.ok(existsSync(`${filename}-wal`));
    await close();
    assert.ok(pool.closed);
    assert.ok(!existsSync(`${filename}-wal`));
  },
  ...Object.fromEntries(
    [undefined, false, true].map((closePool) => [
      `with closePool ${String(closePool)} leaves a given pool ${closePool === true ? 'closed' : 'open'}`,
      ({ serve, directory }: Bench) =>
        usingPool(join(directory, 'app.db'), async (pool) => {
          const server = await serve({ options: { pool, closePool }, routes: [] });
          assert.equal(server.pool, pool);
          await server.close();
          assert.equal(pool.closed, closePool === true);
        }),
    ]),
  ),
  'F48 is not kept from closing by a handler that goes on with its transaction': async ({ start }) => {
    const [begun, ended] = [deferred(), deferred<string>()];
    const { close, fetch, pool } = await start(
      { closeTimeoutMs: 20 },
      {
        'POST /': async ({ db }) => {
          const transaction = db.transaction(async (tx) => {
            await tx.run(INSERT, ['lost']);
            begun.resolve();
            await never();
          });
          ended.resolve(await ending(transaction));
          return {};
        },
      },
    );
    const request = ending(fetch('POST', '/'));
    await begun.promise;
    await close();
    assert.equal(await ended.promise, 'POOL_CLOSED');
    has(pool.stats(), { size: 0, leased: 0 });
    await request;
  },
  'F48 is not kept from closing by a client that does not read a stream': async ({ start }) => {
    const { close, send, pool } = await start(
      { closeTimeoutMs: 20 },
      { 'GET /': async ({ db }) => Readable.from(chunks(db.iterate(LONG))) },
    );
    await send('GET /').begun();
    assert.equal(pool.stats().leased, 1);
    await close();
    has(pool.stats(), { size: 0, leased: 0 });
  },
  'F48 lets a statement that runs while the application closes end, and refuses the next one': async ({
    start,
    unreached,
  }) => {
    const [begun, goOn, ended] = [deferred(), deferred(), deferred<string>()];
    const { close, fetch, pool } = await start(
      { closeTimeoutMs: 2000 },
      {
        'POST /': async ({ db }) => {
          await db.transaction(async (tx) => {
            begun.resolve();
            await goOn.promise;
            await tx.run(INSERT, ['committed']);
          });
          ended.resolve(await ending(db.transaction(unreached)));
          return {};
        },
      },
    );
    const request = ending(fetch('POST', '/'));
    await begun.promise;
    const closed = close();
    goOn.resolve();
    assert.match(await ended.promise, /POOL_CLOSED|LEASE_ENDED/);
    await closed;
    has(pool.stats(), { size: 0, leased: 0 });
    await request;
  },
  'keeps two applications in one process apart': async ({ start }) => {
    const routes = { 'GET /': async () => ({ one: 1 }) };
    const [one, two] = [await start({}, routes), await start({}, routes)];
    await one.close();
    assert.ok(!two.pool.closed);
    has(await fetchOnce(two.port, 'GET', '/'), { status: 200 });
  },
});

const CLOSED = casesOf('start and stop', ['error-status'], {
  'answers 503 with Retry-After once its pool is closed': async ({ start }) => {
    const { fetch, pool } = await start({}, { 'GET /': async ({ db }) => db.get('SELECT 1') });
    await pool.close();
    const answer = await fetch('GET', '/');
    has(answer, { status: 503 });
    has(answer.headers, { 'retry-after': '1' });
  },
});

export const STARTUP: readonly PluginCase[] = [...STARTING, ...CLOSED];

async function usingPool(filename: string, use: (pool: SqlitePool) => Promise<void>): Promise<void> {
  const pool = createPool({ filename });
  try {
    await use(pool);
  } finally {
    await pool.close();
  }
}
