import { existsSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPool } from '../packages/core/dist/index.js';
import { deferred, fetchOnce, outcome, start, temporaryFile, type Framework } from './framework.ts';

/** Starting and stopping an application with its pool. */
export function startupCases(framework: Framework): void {
  describe(`start and stop in ${framework.name}`, () => {
    it('F08 fails at the start, and names no path, when the database cannot be opened', async () => {
      const filename = await temporaryFile('no-such-directory/app.db');
      const error = await outcome(framework.serve({ filename }, {}));
      expect(error).toMatchObject({ code: 'OPEN_FAILED', reason: 'missing-directory' });
      expect(String(error)).not.toContain('no-such-directory');
    });

    it('F08 fails at the start when a pool that was given cannot open its database', async () => {
      const pool = createPool({ filename: await temporaryFile('no-such-directory/app.db') });
      onTestFinished(() => pool.close());
      expect(await outcome(framework.serve({ pool }, {}))).toMatchObject({ code: 'OPEN_FAILED' });
    });

    it('closes its own pool with the application, and leaves no WAL behind', async () => {
      const { close, fetch, filename, pool } = await start(
        framework,
        {},
        {
          'POST /': async ({ db }) => db.run("INSERT INTO notes (body) VALUES ('a')"),
        },
      );
      await fetch('POST', '/');
      expect(existsSync(`${filename}-wal`)).toBe(true);
      await close();
      expect(pool.closed).toBe(true);
      expect(existsSync(`${filename}-wal`)).toBe(false);
    });

    it.each([
      { closePool: undefined, closed: false },
      { closePool: false, closed: false },
      { closePool: true, closed: true },
    ])('with closePool $closePool leaves a given pool closed: $closed', async ({ closePool, closed }) => {
      const pool = createPool({ filename: await temporaryFile() });
      onTestFinished(() => pool.close());
      const server = await framework.serve({ pool, closePool }, {});
      expect(server.pool).toBe(pool);
      await server.close();
      expect(pool.closed).toBe(closed);
    });

    it('F48 is not kept from closing by a handler that goes on with its transaction', async () => {
      const [begun, ended] = [deferred(), deferred<unknown>()];
      const { close, fetch, pool } = await start(
        framework,
        { closeTimeoutMs: 20 },
        {
          'POST /': async ({ db }) => {
            const transaction = db.transaction(async (tx) => {
              await tx.run("INSERT INTO notes (body) VALUES ('lost')");
              begun.resolve();
              await new Promise(() => undefined);
            });
            ended.resolve(await outcome(transaction));
            return {};
          },
        },
      );
      const request = outcome(fetch('POST', '/'));
      await begun.promise;
      await close();
      expect(await ended.promise).toMatchObject({ code: 'POOL_CLOSED' });
      expect(pool.stats()).toMatchObject({ size: 0, leased: 0 });
      await request;
    });

    it('answers 503 with Retry-After once its pool is closed', async () => {
      const { fetch, pool } = await start(
        framework,
        {},
        {
          'GET /': async ({ db }) => (await db.get('SELECT 1')) ?? {},
        },
      );
      await pool.close();
      expect(await fetch('GET', '/')).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    });

    it('keeps two applications in one process apart', async () => {
      const routes = { 'GET /': async () => ({}) };
      const [one, two] = [await start(framework, {}, routes), await start(framework, {}, routes)];
      await one.close();
      expect(two.pool.closed).toBe(false);
      expect(await fetchOnce(two.port, 'GET', '/')).toMatchObject({ status: 200 });
    });
  });
}
