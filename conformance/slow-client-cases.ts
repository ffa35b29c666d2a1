import { once } from 'node:events';
import { Readable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { deferred, start, type Framework } from './framework.ts';

/** Clients that read slowly, and responses that wait for one another, hold no connection. */
export function slowClientCases(framework: Framework): void {
  describe(`slow clients in ${framework.name}`, () => {
    it('do not keep a pool of one connection while a body of 20 MB travels', async () => {
      const { send, fetch, pool } = await start(
        framework,
        { poolSize: 1, acquisitionTimeoutMs: 2000 },
        {
          'GET /big': async ({ db }) => {
            await db.get('SELECT 1');
            return Buffer.alloc(20_000_000, 'x');
          },
          'GET /small': async ({ db }) => (await db.get('SELECT 1 AS n')) ?? {},
        },
      );
      for (let client = 0; client < 4; client += 1) {
        const socket = send('GET /big');
        await once(socket, 'readable');
      }
      expect(await fetch('GET', '/small')).toMatchObject({ status: 200, body: '{"n":1}' });
      expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 });
    });

    it('do not hold the pool while their handler waits for the rest of what they send', async () => {
      const [entered, rest] = [deferred(), deferred()];
      const { fetch, pool } = await start(
        framework,
        { poolSize: 1, acquisitionTimeoutMs: 2000 },
        {
          // A session is looked up, then the body is read.
          'POST /': async ({ db }) => {
            await db.get('SELECT 1');
            entered.resolve();
            await rest.promise;
            return (await db.get('SELECT 2 AS n')) ?? {};
          },
          'GET /honest': async ({ db }) => (await db.get('SELECT 1 AS n')) ?? {},
        },
      );
      const slow = fetch('POST', '/');
      await entered.promise;
      expect(await fetch('GET', '/honest')).toMatchObject({ status: 200, body: '{"n":1}' });
      rest.resolve();
      expect(await slow).toMatchObject({ status: 200, body: '{"n":2}' });
      expect(pool.stats()).toMatchObject({ acquireTimeouts: 0, opens: 1 });
    });

    it('do not deadlock when responses wait behind one that waits for their connections', async () => {
      const [first, second] = [deferred(), deferred()];
      const { send } = await start(
        framework,
        { poolSize: 2, acquisitionTimeoutMs: 2000 },
        {
          // The responses to the other two wait in the socket for this one.
          'GET /slow': async ({ db }) => {
            await Promise.all([first.promise, second.promise]);
            await Promise.all([
              db.get('SELECT 1'),
              db.connection((connection) => connection.get('SELECT 2')),
            ]);
            return 'slow';
          },
          'GET /db/0': async ({ db }) => answer(db.get('SELECT 1'), first.resolve),
          'GET /db/1': async ({ db }) => answer(db.get('SELECT 1'), second.resolve),
        },
      );
      const socket = send('GET /slow', 'GET /db/0', 'GET /db/1');
      let received = '';
      socket.on('data', (bytes) => (received += String(bytes)));
      await vi.waitFor(() => {
        expect(received.match(/HTTP\/1.1 \d+/g)).toHaveLength(3);
      }, 5000);
      expect(received.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 200']);
    });

    it('pin nothing between the statements of a body that reads page by page', async () => {
      const [paused, goOn] = [deferred(), deferred()];
      const { send, fetch, pool } = await start(
        framework,
        { poolSize: 1, acquisitionTimeoutMs: 2000 },
        {
          'GET /pages': async ({ db }) => {
            await db.get('SELECT 0');
            async function* pages() {
              yield JSON.stringify(await db.get('SELECT 1 AS page'));
              paused.resolve();
              await goOn.promise;
              yield JSON.stringify(await db.get('SELECT 2 AS page'));
            }
            return Readable.from(pages());
          },
          'GET /small': async ({ db }) => (await db.get('SELECT 1 AS n')) ?? {},
        },
      );
      const socket = send('GET /pages');
      let received = '';
      socket.on('data', (bytes) => (received += String(bytes)));
      await paused.promise;
      await vi.waitFor(() => {
        expect(received).toContain('{"page":1}');
      });
      expect(await fetch('GET', '/small')).toMatchObject({ status: 200, body: '{"n":1}' });
      goOn.resolve();
      await vi.waitFor(() => {
        expect(received).toContain('{"page":2}');
      });
      expect(pool.stats().leased).toBe(0);
    });
  });
}

async function answer(row: Promise<object | undefined>, answered: () => void): Promise<object> {
  const value = (await row) ?? {};
  // After the framework has taken this handler's answer.
  setImmediate(answered);
  return value;
}
