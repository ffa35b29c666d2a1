import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { deferred, start, type Framework } from './framework.ts';

/** When a request takes a connection, and when it gives it back. */
export function leaseCases(framework: Framework): void {
  describe(`the lease of a request in ${framework.name}`, () => {
    it('answers with what the database has', async () => {
      const { fetch } = await start(
        framework,
        {},
        {
          'POST /notes': async ({ db }) => db.run("INSERT INTO notes (body) VALUES ('hello')"),
          'GET /notes': async ({ db }) => db.all('SELECT * FROM notes'),
        },
      );
      expect(await fetch('POST', '/notes')).toMatchObject({
        status: 200,
        body: '{"changes":1,"lastInsertRowid":1}',
      });
      expect(await fetch('GET', '/notes')).toMatchObject({ status: 200, body: '[{"id":1,"body":"hello"}]' });
    });

    it('is not taken by a request that never uses its db', async () => {
      const { fetch, pool } = await start(
        framework,
        {},
        {
          'GET /': async ({ db }) => ({ type: typeof db.get }),
        },
      );
      const { acquires } = pool.stats();
      expect(await fetch('GET', '/')).toMatchObject({ status: 200, body: '{"type":"function"}' });
      expect(await fetch('GET', '/nowhere')).toMatchObject({ status: 404 });
      expect(pool.stats().acquires).toBe(acquires);
    });

    it('is one for all statements of a request, and is kept between them', async () => {
      const between: number[] = [];
      const { fetch, pool } = await start(
        framework,
        { poolSize: 3 },
        {
          'GET /': async ({ db }) => {
            between.push(pool.stats().leased);
            await Promise.all([db.get('SELECT 1'), db.get('SELECT 2'), db.get('SELECT 3')]);
            between.push(pool.stats().leased);
            await db.transaction((tx) => tx.run("INSERT INTO notes (body) VALUES ('a')"));
            for await (const row of db.iterate('SELECT * FROM notes'))
              expect(row).toEqual({ id: 1, body: 'a' });
            return await db.connection(async (connection) => (await connection.get('SELECT 4 AS n')) ?? {});
          },
        },
      );
      const { acquires } = pool.stats();
      expect(await fetch('GET', '/')).toMatchObject({ status: 200, body: '{"n":4}' });
      expect(between).toEqual([0, 1]);
      expect(pool.stats().acquires - acquires).toBe(1);
    });

    it("is one for each statement in mode 'statement', with nothing held in between", async () => {
      const between: number[] = [];
      const { fetch, pool } = await start(
        framework,
        { poolSize: 3, lease: 'statement' },
        {
          'GET /': async ({ db }) => {
            await db.get('SELECT 1');
            between.push(pool.stats().leased);
            await db.connection(() => between.push(pool.stats().leased));
            between.push(pool.stats().leased);
            return (await db.get('SELECT 2 AS n')) ?? {};
          },
        },
      );
      const { acquires } = pool.stats();
      expect(await fetch('GET', '/')).toMatchObject({ status: 200, body: '{"n":2}' });
      expect(between).toEqual([0, 1, 0]);
      expect(pool.stats().acquires - acquires).toBe(3);
    });

    it('is over when the client has its answer', async () => {
      const { pool, send } = await start(
        framework,
        { poolSize: 1 },
        {
          'GET /': async ({ db }) => (await db.get("SELECT 'x' AS x")) ?? {},
        },
      );
      const [bytes] = (await once(send('GET /'), 'data')) as [Buffer];
      expect(String(bytes)).toContain('200 OK');
      expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
    });

    it('gives each of two requests at the same time a connection of its own', async () => {
      const [first, second] = [deferred(), deferred()];
      const { fetch, pool } = await start(
        framework,
        { poolSize: 2 },
        {
          'GET /first': async ({ db }) => {
            await db.get('SELECT 1');
            first.resolve();
            await second.promise;
            return { leased: pool.stats().leased };
          },
          'GET /second': async ({ db }) => {
            await first.promise;
            await db.get('SELECT 1');
            second.resolve();
            return {};
          },
        },
      );
      const [answer] = await Promise.all([fetch('GET', '/first'), fetch('GET', '/second')]);
      expect(answer).toMatchObject({ status: 200, body: '{"leased":2}' });
    });

    it('F21 rolls back what a handler began and did not commit', async () => {
      const { fetch, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'POST /forgetful': async ({ db }) => {
            await db.run('BEGIN IMMEDIATE');
            return db.run("INSERT INTO notes (body) VALUES ('lost')");
          },
          'GET /notes': async ({ db }) => db.all('SELECT * FROM notes'),
        },
      );
      expect(await fetch('POST', '/forgetful')).toMatchObject({ status: 200 });
      expect(await fetch('GET', '/notes')).toMatchObject({ status: 200, body: '[]' });
      expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
    });
  });
}
