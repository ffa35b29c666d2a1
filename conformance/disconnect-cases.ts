import { Readable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { deferred, ENDLESS, outcome, start, type Framework, type Running } from './framework.ts';

const INSERT = 'INSERT INTO notes (body) VALUES (?)';
const LEASE_ENDED = { code: 'LEASE_ENDED' };

/** What becomes of a lease whose client leaves before it has its answer. */
export function disconnectCases(framework: Framework): void {
  describe(`a client that leaves in ${framework.name}`, () => {
    it('F62 interrupts the running statement of a GET', async () => {
      const ended = deferred<unknown>();
      const { send, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'GET /': async ({ db }) => {
            ended.resolve(await outcome(db.get(ENDLESS)));
            return {};
          },
        },
      );
      const socket = send('GET /');
      await leased(pool, 1);
      socket.destroy();
      expect(await ended.promise).toMatchObject(LEASE_ENDED);
      await leased(pool, 0);
      expect(await pool.get('SELECT 1 AS n')).toEqual({ n: 1 });
    });

    it.each(['request', 'statement'] as const)(
      'F62 rolls back the open transaction of a GET in mode %s',
      async (lease) => {
        const [begun, ended] = [deferred(), deferred<unknown>()];
        const { send, pool } = await start(
          framework,
          { poolSize: 1, lease },
          {
            'GET /': async ({ db }) => {
              const transaction = db.transaction(async (tx) => {
                await tx.run(INSERT, ['lost']);
                begun.resolve();
                await new Promise(() => undefined);
              });
              ended.resolve(await outcome(transaction));
              return {};
            },
          },
        );
        const socket = send('GET /');
        await begun.promise;
        socket.destroy();
        expect(await ended.promise).toMatchObject(LEASE_ENDED);
        await leased(pool, 0);
        expect(await pool.all('SELECT * FROM notes')).toEqual([]);
        expect(pool.stats().writerHeld).toBe(false);
      },
    );

    it('F62 lets a POST finish what it began', async () => {
      const [begun, done] = [deferred(), deferred<unknown>()];
      const { send, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'POST /': async ({ db, closed }) => {
            const transaction = db.transaction(async (tx) => {
              await tx.run(INSERT, ['first']);
              begun.resolve();
              await closed;
              await tx.run(INSERT, ['second']);
            });
            done.resolve(await outcome(transaction));
            return {};
          },
        },
      );
      const socket = send('POST /');
      await begun.promise;
      socket.destroy();
      expect(await done.promise).toBeUndefined();
      await leased(pool, 0);
      expect(await pool.all('SELECT body FROM notes')).toEqual([{ body: 'first' }, { body: 'second' }]);
    });

    it('F62 bounds a POST that does not finish by graceMs, and frees the turn to write', async () => {
      const [begun, done] = [deferred(), deferred<unknown>()];
      const { send, pool } = await start(
        framework,
        { poolSize: 1, graceMs: 20 },
        {
          'POST /': async ({ db }) => {
            const transaction = db.transaction(async (tx) => {
              await tx.run(INSERT, ['lost']);
              begun.resolve();
              await new Promise(() => undefined);
            });
            done.resolve(await outcome(transaction));
            return {};
          },
        },
      );
      const socket = send('POST /');
      await begun.promise;
      socket.destroy();
      expect(await done.promise).toMatchObject(LEASE_ENDED);
      await pool.run(INSERT, ['kept']);
      expect(await pool.all('SELECT body FROM notes')).toEqual([{ body: 'kept' }]);
      expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
    });

    it.each(['GET', 'POST'] as const)(
      'F62 gives up the place in the queue of a %s that waits to write',
      async (method) => {
        const ended = deferred<unknown>();
        const write: Parameters<Framework['serve']>[1][`GET /`] = async ({ db }) => {
          ended.resolve(await outcome(db.run(INSERT, ['never'])));
          return {};
        };
        const { send, pool } = await start(
          framework,
          { poolSize: 2, graceMs: 0 },
          { 'GET /': write, 'POST /': write },
        );
        await pool.transaction(async () => {
          const socket = send(`${method} /`);
          await vi.waitFor(() => {
            expect(pool.stats().writersWaiting).toBe(1);
          });
          socket.destroy();
          expect(await ended.promise).toMatchObject(LEASE_ENDED);
          expect(pool.stats().writersWaiting).toBe(0);
        });
        expect(await pool.all('SELECT * FROM notes')).toEqual([]);
      },
    );

    it.each(['request', 'statement'] as const)(
      'F62 gives up the wait for a connection in mode %s',
      async (lease) => {
        const ended = deferred<unknown>();
        const { send, pool } = await start(
          framework,
          { poolSize: 1, lease },
          {
            'GET /': async ({ db }) => {
              ended.resolve(await outcome(db.connection(() => 'lent to nobody')));
              return {};
            },
          },
        );
        await pool.connection(async () => {
          const socket = send('GET /');
          await vi.waitFor(() => {
            expect(pool.stats().waiting).toBe(1);
          });
          socket.destroy();
          expect(await ended.promise).toMatchObject(LEASE_ENDED);
          expect(pool.stats()).toMatchObject({ waiting: 0, leased: 1 });
        });
      },
    );

    it('F62 is no way for a zombie handler to end a transaction of the next request', async () => {
      const [begun, others] = [deferred(), deferred()];
      const zombie = deferred<unknown[]>();
      const { send, fetch, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'GET /zombie': async ({ db }) => {
            await db.run('BEGIN IMMEDIATE');
            await db.run(INSERT, ['of the zombie']);
            begun.resolve();
            await others.promise;
            const late = [
              db.run(INSERT, ['late']),
              db.run('ROLLBACK'),
              db.transaction((tx) => tx.run(INSERT, ['later'])),
            ];
            zombie.resolve(await Promise.all(late.map(outcome)));
            return {};
          },
          'POST /honest': async ({ db }) => {
            await db.run('BEGIN IMMEDIATE');
            const written = await db.run(INSERT, ['of the honest one']);
            others.resolve();
            await zombie.promise;
            await db.run('COMMIT');
            return written;
          },
        },
      );
      const socket = send('GET /zombie');
      await begun.promise;
      socket.destroy();
      expect(await fetch('POST', '/honest')).toMatchObject({ status: 200 });
      expect(await zombie.promise).toMatchObject([LEASE_ENDED, LEASE_ENDED, LEASE_ENDED]);
      expect(await pool.all('SELECT body FROM notes')).toEqual([{ body: 'of the honest one' }]);
    });

    it.each(['request', 'statement'] as const)(
      'F62 closes the cursor of a streaming body in mode %s',
      async (lease) => {
        const running = await start(
          framework,
          { poolSize: 1, lease },
          { 'GET /': async ({ db }) => Readable.from(rows(db.iterate(LONG))) },
        );
        const { send, pool } = running;
        const socket = send('GET /');
        await new Promise((done) => socket.once('data', done));
        socket.pause();
        expect(pool.stats().leased).toBe(1);
        socket.destroy();
        await leased(pool, 0);
        // An open cursor would keep its snapshot, and the WAL with it.
        await pool.run(INSERT, ['after']);
        expect(await pool.get('PRAGMA wal_checkpoint(TRUNCATE)')).toMatchObject({ busy: 0 });
      },
    );

    it('F62 ends a cursor of which nobody takes another step', async () => {
      const stuck = deferred();
      const { send, pool } = await start(
        framework,
        { poolSize: 1, lease: 'statement' },
        {
          'GET /': async ({ db }) => {
            const cursor = db.iterate(LONG);
            await cursor.next();
            stuck.resolve();
            await new Promise(() => undefined);
            return {};
          },
        },
      );
      const socket = send('GET /');
      await stuck.promise;
      expect(pool.stats().leased).toBe(1);
      socket.destroy();
      await leased(pool, 0);
      expect(await pool.get('SELECT 1 AS n')).toEqual({ n: 1 });
    });

    it('F62 frees the connection of a handler that never replies', async () => {
      const used = deferred();
      const { send, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'GET /': async ({ db }) => {
            await db.get('SELECT 1');
            used.resolve();
            return await new Promise(() => undefined);
          },
        },
      );
      const socket = send('GET /');
      await used.promise;
      expect(pool.stats().leased).toBe(1);
      socket.destroy();
      await leased(pool, 0);
    });

    it('does not revoke what a handler does after it has sent its whole answer', async () => {
      const [sent, done] = [deferred(), deferred<unknown>()];
      const { send, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'GET /': async ({ db, closed }) => {
            await db.get('SELECT 1');
            void closed.then(() => db.run(INSERT, ['after'])).then(done.resolve, done.resolve);
            setImmediate(sent.resolve);
            return Buffer.alloc(20_000_000, 'x');
          },
        },
      );
      const socket = send('GET /');
      await sent.promise;
      await new Promise((seen) => socket.once('readable', seen));
      // Most of the bytes are still here.
      socket.destroy();
      expect(await done.promise).toMatchObject({ changes: 1 });
      expect(await pool.all('SELECT body FROM notes')).toEqual([{ body: 'after' }]);
    });

    it('F62 leaves a handler that first uses its db afterwards without one', async () => {
      const ended = deferred<unknown>();
      const entered = deferred();
      const { send, pool } = await start(
        framework,
        { poolSize: 1 },
        {
          'GET /': async ({ db, closed }) => {
            entered.resolve();
            await closed;
            ended.resolve(await outcome(db.get('SELECT 1')));
            return {};
          },
        },
      );
      const { acquires } = pool.stats();
      const socket = send('GET /');
      await entered.promise;
      socket.destroy();
      expect(await ended.promise).toMatchObject(LEASE_ENDED);
      expect(pool.stats().acquires).toBe(acquires);
    });
  });
}

/** More rows than any buffer between here and a client holds. */
const LONG =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i, hex(zeroblob(500)) AS x FROM n';

async function* rows(cursor: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const row of cursor) yield JSON.stringify(row);
}

async function leased(pool: Running['pool'], count: number): Promise<void> {
  await vi.waitFor(() => {
    expect(pool.stats().leased).toBe(count);
  });
}
