import { AssertionError } from 'node:assert';
import { describe, expect, it } from 'vitest';
import { RequestLease, type ResponseEvents } from '../../../src/plugin.ts';
import { pluginCases, type PluginContext, type StartPlugin } from '../../../src/testing/index.ts';
import { starter, type MakeDb } from './every-ability.ts';

/** What a plugin can get wrong, and cases that must not pass then. */
const MISTAKES: Readonly<Record<string, { makeDb: MakeDb; fails: readonly RegExp[] }>> = {
  'never releases a connection': {
    makeDb: ({ pool, mode, disconnectGraceMs }, method) =>
      new RequestLease(pool, { mode, disconnectGraceMs, method }),
    fails: [
      /^answers with what the database has/,
      /HEAD/,
      /^F63 releases the connection of a handler that rejects/,
    ],
  },
  'releases a connection when the response has travelled': {
    makeDb: ({ pool, mode, disconnectGraceMs }, method, response) => {
      const events = { ...closeOnly(response), headersSent: false };
      return new RequestLease(pool, { mode, disconnectGraceMs, method, response: events });
    },
    fails: [/four clients do not read their 20 MB, with a pool of 4/, /twenty viewers .* begun/],
  },
  'does not see a client leave': {
    makeDb: ({ pool, mode, disconnectGraceMs }, method, response) => {
      const events = new Proxy(response, {
        get: (target, key) => (key === 'once' ? () => undefined : (Reflect.get(target, key) as unknown)),
      });
      return new RequestLease(pool, { mode, disconnectGraceMs, method, response: events });
    },
    fails: [
      /interrupts the running statement of a GET/,
      /end a transaction of the next request/,
      /stream that is reset/,
    ],
  },
  'revokes a POST as it does a GET': {
    makeDb: ({ pool, mode, disconnectGraceMs }, _method, response) =>
      new RequestLease(pool, { mode, disconnectGraceMs, method: 'GET', response }),
    fails: [/lets a POST finish what it began/],
  },
  'lets a GET finish as it does a POST': {
    makeDb: ({ pool, mode, disconnectGraceMs }, _method, response) =>
      new RequestLease(pool, { mode, disconnectGraceMs, method: 'POST', response }),
    fails: [/interrupts the running statement of a GET/, /refuses the db to a GET handler/],
  },
  'gives requests the pool itself': {
    makeDb: ({ pool }) => pool,
    fails: [/one connection for all reads/, /F62 interrupts the running statement of a GET/],
  },
  'leaves a listener on every response': {
    makeDb: (settings, method, response) => {
      const { pool, mode, disconnectGraceMs } = settings;
      const db = new RequestLease(pool, { mode, disconnectGraceMs, method, response });
      return new Proxy(db, {
        get: (target, key) => {
          const value: unknown = Reflect.get(target, key);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]): unknown => {
            (response as unknown as NodeJS.EventEmitter).on('close', () => undefined);
            return Reflect.apply(value, target, args);
          };
        },
      });
    },
    fails: [/^answers with what the database has/, /F63 releases the connection of a handler that rejects/],
  },
  'leaves a listener on every connection': {
    makeDb: ({ pool, mode, disconnectGraceMs }, method, response) => {
      const { socket } = response as unknown as { socket: NodeJS.EventEmitter };
      // Without a warning.
      socket.setMaxListeners(0).on('close', () => undefined);
      return new RequestLease(pool, { mode, disconnectGraceMs, method, response });
    },
    fails: [/F14 leaves no listener on a connection/],
  },
};

/** What a client that reads slowly keeps open. */
function closeOnly(response: ResponseEvents): ResponseEvents {
  return {
    get writableEnded() {
      return response.writableEnded;
    },
    headersSent: false,
    once: (event, listener) => response.once(event, listener),
    writeHead: () => undefined,
  };
}

describe.concurrent('the cases for plugins fail for a plugin that', () => {
  for (const [mistake, { makeDb, fails }] of Object.entries(MISTAKES)) {
    for (const pattern of fails) {
      const found = pluginCases.find(({ title }) => pattern.test(title))!;
      it(`${mistake}: ${found.title}`, async () => {
        // Buffers of the kernel take what nobody reads, now and then all of it: one of ten runs must see the mistake.
        let failure: unknown;
        for (let runs = 0; runs < 10 && failure === undefined; runs += 1)
          failure = await found.run(starter(makeDb), 1000).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(AssertionError);
      });
    }
  }
});

describe('a case that fails', () => {
  it('says how the pool is, and how many listeners are left', async () => {
    const { makeDb } = MISTAKES['never releases a connection']!;
    await expect(pluginCases[0]!.run(starter(makeDb), 2000)).rejects.toThrow(
      /has not ended after 2000 ms. Listeners left: 0. The pool: .*"leased":[12]/,
    );
  });

  it('does not wait for an application that does not close', async () => {
    const start = starter();
    await expect(
      pluginCases[0]!.run(async (app) => {
        const running = await start(app);
        return { ...running, close: () => running.close().then(() => new Promise(() => undefined)) };
      }),
    ).resolves.toBeUndefined();
  });

  it('names a handler that was called, although a step before it had answered', async () => {
    const start = starter();
    const { run } = pluginCases.find(({ title }) => title.includes('step before the handler answers'))!;
    const both: StartPlugin = (app) => {
      const routes = app.routes.map((route) => ({
        ...route,
        before: async (context: PluginContext) => {
          const answer = await route.before?.(context);
          await route.handler(context).catch(() => undefined);
          return answer;
        },
      }));
      return start({ ...app, routes });
    };
    await expect(run(both)).rejects.toThrow('It was called, although it must not be.');
  });
});
