import assert from 'node:assert/strict';
import {
  casesOf,
  closing,
  deferred,
  ending,
  ENDLESS,
  has,
  INSERT,
  never,
  notes,
  type Handler,
  type Use,
} from './bench.ts';
import type { PluginCase, PluginContext } from './contract.ts';
import { inModes } from './streams.ts';

/** What happens to a request whose client leaves before or after it has its answer. */
const LEAVING = casesOf('clients that leave', [], {
  'F62 refuses the db to a GET handler that first uses it after its client has left': async ({ start }) => {
    const late = handlerThatIsLate();
    const { send, pool } = await start({ poolSize: 1 }, { 'GET /': late.handler });
    const { acquires } = pool.stats();
    const client = send('GET /');
    await late.entered.promise;
    client.leave();
    assert.equal(await late.ended.promise, 'LEASE_ENDED');
    assert.equal(pool.stats().acquires, acquires);
  },
  'F62 lets a POST handler that first uses its db after its client has left do what it was asked for':
    async ({ start }) => {
      const late = handlerThatIsLate();
      const { send, pool } = await start({ poolSize: 1 }, { 'POST /': late.handler });
      const client = send('POST /');
      await late.entered.promise;
      client.leave();
      assert.equal(await late.ended.promise, 'done');
      assert.deepEqual(await notes(pool), ['late']);
    },
  'F62 interrupts the running statement of a GET': async ({ start, eventually }) => {
    const ended = deferred<string>();
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          ended.resolve(await ending(db.get(ENDLESS)));
          return {};
        },
      },
    );
    const client = send('GET /');
    await eventually(() => pool.stats().leased === 1);
    client.leave();
    assert.equal(await ended.promise, 'LEASE_ENDED');
  },
  ...inModes('F62 rolls back the open transaction of a GET', (lease) => async ({ start, eventually }) => {
    const [begun, ended] = [deferred(), deferred<string>()];
    const { send, pool } = await start(
      { poolSize: 1, lease },
      {
        'GET /': async ({ db }) => {
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
    const client = send('GET /');
    await begun.promise;
    client.leave();
    assert.equal(await ended.promise, 'LEASE_ENDED');
    await eventually(() => pool.stats().leased === 0);
    assert.deepEqual(await notes(pool), []);
    assert.equal(pool.stats().writerHeld, false);
  }),
  'F62 lets a POST finish what it began': async ({ start }) => {
    const [begun, done] = [deferred(), deferred<string>()];
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': async (context) => {
          const left = closing(context);
          const transaction = context.db.transaction(async (tx) => {
            await tx.run(INSERT, ['first']);
            begun.resolve();
            await left;
            await tx.run(INSERT, ['second']);
          });
          done.resolve(await ending(transaction));
          return {};
        },
      },
    );
    const client = send('POST /');
    await begun.promise;
    client.leave();
    assert.equal(await done.promise, 'done');
    assert.deepEqual(await notes(pool), ['first', 'second']);
  },
  'F62 bounds a POST that does not finish by disconnectGraceMs, and frees the write lock': async ({
    start,
  }) => {
    const [begun, done] = [deferred(), deferred<string>()];
    const { send, pool } = await start(
      { poolSize: 1, disconnectGraceMs: 20 },
      {
        'POST /': async ({ db }) => {
          const transaction = db.transaction(async (tx) => {
            await tx.run(INSERT, ['lost']);
            begun.resolve();
            await never();
          });
          done.resolve(await ending(transaction));
          return {};
        },
      },
    );
    const client = send('POST /');
    await begun.promise;
    client.leave();
    assert.equal(await done.promise, 'LEASE_ENDED');
    await pool.run(INSERT, ['kept']);
    assert.deepEqual(await notes(pool), ['kept']);
    has(pool.stats(), { leased: 0, writerHeld: false });
  },
  ...onBoth('F62 takes a %s out of the queue of writers', (route) => async ({ start, eventually }) => {
    const ended = deferred<string>();
    const { send, pool } = await start(
      { poolSize: 2, disconnectGraceMs: 0 },
      {
        [route]: async ({ db }: PluginContext) => {
          ended.resolve(await ending(db.run(INSERT, ['never'])));
          return {};
        },
      },
    );
    await pool.transaction(async () => {
      const client = send(route);
      await eventually(() => pool.stats().writersWaiting === 1);
      client.leave();
      assert.equal(await ended.promise, 'LEASE_ENDED');
      assert.equal(pool.stats().writersWaiting, 0);
    });
    assert.deepEqual(await notes(pool), []);
  }),
  ...inModes(
    'F62 gives up the wait for a connection',
    (lease) =>
      async ({ start, eventually, unreached }) => {
        const ended = deferred<string>();
        const { send, pool } = await start(
          { poolSize: 1, lease },
          {
            'GET /': async ({ db }) => {
              ended.resolve(await ending(db.connection(unreached)));
              return {};
            },
          },
        );
        await pool.connection(async () => {
          const client = send('GET /');
          await eventually(() => pool.stats().waiting === 1);
          client.leave();
          assert.equal(await ended.promise, 'LEASE_ENDED');
          has(pool.stats(), { waiting: 0, leased: 1 });
        });
      },
  ),
  ...onBoth(
    'F62 frees the connection of a %s handler that never answers',
    (route) =>
      async ({ start, eventually }) => {
        const used = deferred();
        const { send, pool } = await start(
          { poolSize: 1 },
          {
            [route]: async ({ db }: PluginContext) => {
              await db.run('CREATE TEMP TABLE mine (n)');
              used.resolve();
              return never();
            },
          },
        );
        const client = send(route);
        await used.promise;
        assert.equal(pool.stats().leased, 1);
        client.leave();
        await eventually(() => pool.stats().leased === 0);
      },
  ),
  ...onBoth('lets a %s handler that has sent its whole answer go on', (route) => async ({ start }) => {
    const [sent, done] = [deferred(), deferred<string>()];
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        [route]: async (context: PluginContext) => {
          const left = closing(context);
          await context.db.get('SELECT 1');
          done.resolve(left.then(() => ending(context.db.run(INSERT, ['after']))));
          setImmediate(sent.resolve);
          return Buffer.alloc(20_000_000, 'x');
        },
      },
    );
    const client = send(route);
    await sent.promise;
    await client.begun();
    // Most of the bytes are not sent yet.
    client.leave();
    assert.equal(await done.promise, 'done');
    assert.deepEqual(await notes(pool), ['after']);
  }),
});

/** The client leaves before the handler begins. */
const EARLY = casesOf('clients that leave', ['before'], {
  'F62 refuses the db to the handler of a GET whose client left before it began': async ({ start }) => {
    const [entered, ended] = [deferred(), deferred<string>()];
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': {
          before: async (context) => {
            const left = closing(context);
            entered.resolve();
            await left;
            return undefined;
          },
          handler: async ({ db }) => {
            ended.resolve(await ending(db.get('SELECT 1')));
            return {};
          },
        },
      },
    );
    const { acquires } = pool.stats();
    const client = send('GET /');
    await entered.promise;
    client.leave();
    // A framework may also not begin the handler. Then there is no event to wait for, so the case waits for 50 ms.
    await Promise.race([ended.promise, new Promise((resolve) => setTimeout(resolve, 50))]);
    assert.equal(pool.stats().acquires, acquires);
  },
});

export const DISCONNECTS: readonly PluginCase[] = [...LEAVING, ...EARLY];

/** Makes the same case for a method that only reads, and for one that changes the database. */
function onBoth(title: string, of: (route: 'GET /' | 'POST /') => Use): Readonly<Record<string, Use>> {
  return { [title.replace('%s', 'GET')]: of('GET /'), [title.replace('%s', 'POST')]: of('POST /') };
}

/** A handler whose first statement comes after its client has left, and the promises that report its progress. */
function handlerThatIsLate(): {
  handler: Handler;
  entered: PromiseWithResolvers<void>;
  ended: PromiseWithResolvers<string>;
} {
  const [entered, ended] = [deferred(), deferred<string>()];
  const handler: Handler = async (context) => {
    const left = closing(context);
    entered.resolve();
    await left;
    ended.resolve(await ending(context.db.run(INSERT, ['late'])));
    return {};
  };
  return { handler, entered, ended };
}
