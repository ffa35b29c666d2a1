import { Readable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { deferred, start, type Framework } from './framework.ts';

/** What becomes of a lease when a handler fails, and what a client is told. */
export function errorCases(framework: Framework): void {
  describe(`errors in ${framework.name}`, () => {
    it('F63 a handler that throws gives its connection back, once', async () => {
      const { fetch, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'GET /throws': async ({ db }) => {
            await db.get('SELECT 1');
            throw new Error('a mistake');
          },
          'GET /works': async ({ db }) => (await db.get('SELECT 1 AS n')) ?? {},
        },
      );
      const { acquires } = pool.stats();
      expect(await fetch('GET', '/throws')).toMatchObject({ status: 500 });
      expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, acquires: acquires + 1 });
      expect(await fetch('GET', '/works')).toMatchObject({ status: 200, body: '{"n":1}' });
    });

    it('F63 a body that fails midway gives its connection back, once', async () => {
      const { fetch, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'GET /broken': async ({ db }) => {
            async function* body() {
              for await (const row of db.iterate('SELECT 1 AS n UNION ALL SELECT 2')) {
                yield JSON.stringify(row);
                throw new Error('a mistake');
              }
            }
            return Readable.from(body());
          },
          'GET /works': async ({ db }) => (await db.get('SELECT 1 AS n')) ?? {},
        },
      );
      // Whether the client sees an error, or half an answer, is the framework's choice.
      await fetch('GET', '/broken').catch(() => undefined);
      await vi.waitFor(() => {
        expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
      });
      expect(await fetch('GET', '/works')).toMatchObject({ status: 200, body: '{"n":1}' });
    });

    it('F61 what SQLite refuses names no table, column, value or file in the default answer', async () => {
      const { fetch, filename } = await start(
        framework,
        {},
        {
          'POST /notes': async ({ db }) => {
            await db.run("INSERT INTO notes (body) VALUES ('secret')");
            return db.run("INSERT INTO notes (body) VALUES ('secret')");
          },
          'GET /typo': async ({ db }) => db.all('SELECT bdoy FROM notes WHERE body = ?', ['secret']),
        },
      );
      for (const answer of [await fetch('POST', '/notes'), await fetch('GET', '/typo')]) {
        expect(answer.status).toBe(500);
        // Outside production Express answers with the stack, which names source files.
        const told = JSON.stringify(answer).replaceAll(/\(?(?:file:|node:|\/)[^\s)<]+:\d+:\d+\)?/g, '');
        for (const name of ['notes', 'secret', 'bdoy', 'SELECT', 'INSERT', filename])
          expect(told).not.toContain(name);
      }
    });

    it('F15 a full queue answers 503 with Retry-After at once', async () => {
      const [entered, leave] = [deferred(), deferred()];
      const { fetch } = await start(
        framework,
        { poolSize: 1, maxWaiting: 0 },
        {
          'GET /holds': async ({ db }) => {
            await db.connection(async () => {
              entered.resolve();
              await leave.promise;
            });
            return {};
          },
          'GET /refused': async ({ db }) => (await db.get('SELECT 1')) ?? {},
        },
      );
      const holder = fetch('GET', '/holds');
      await entered.promise;
      expect(await fetch('GET', '/refused')).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
      leave.resolve();
      expect(await holder).toMatchObject({ status: 200 });
      expect(await fetch('GET', '/refused')).toMatchObject({ status: 200 });
    });

    it('F11 a wait for a connection that takes too long answers 503 with Retry-After', async () => {
      const [entered, leave] = [deferred(), deferred()];
      const { fetch, pool } = await start(
        framework,
        { poolSize: 1, acquisitionTimeoutMs: 400 },
        {
          'GET /holds': async ({ db }) => {
            await db.connection(async () => {
              entered.resolve();
              await leave.promise;
            });
            return {};
          },
          'GET /waits': async ({ db }) => (await db.get('SELECT 1')) ?? {},
        },
      );
      const holder = fetch('GET', '/holds');
      await entered.promise;
      expect(await fetch('GET', '/waits')).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
      expect(pool.stats()).toMatchObject({ acquireTimeouts: 1, waiting: 0 });
      leave.resolve();
      expect(await holder).toMatchObject({ status: 200 });
    });
  });
}
