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
  type Bench,
  type Handler,
} from './bench.ts';
import type { PluginCase, PluginContext } from './contract.ts';

/** Three ways to write through a handle that has ended. */
async function lateCalls({ db }: PluginContext, unreached: Bench['unreached']): Promise<string[]> {
  const late = [db.run(INSERT, ['late']), db.run('ROLLBACK'), db.transaction(unreached)];
  return await Promise.all(late.map(ending));
}

/** A handler that goes on when its client has left. Its late calls come when `others` resolves. */
function zombieOf(unreached: Bench['unreached']): {
  readonly begun: PromiseWithResolvers<void>;
  readonly others: PromiseWithResolvers<void>;
  readonly late: PromiseWithResolvers<string[]>;
  readonly handler: Handler;
} {
  const [begun, others] = [deferred(), deferred()];
  const late = deferred<string[]>();
  const handler: Handler = async (context) => {
    await context.db.run('BEGIN IMMEDIATE');
    await context.db.run(INSERT, ['of the zombie']);
    begun.resolve();
    await others.promise;
    late.resolve(await lateCalls(context, unreached));
    return {};
  };
  return { begun, others, late, handler };
}

const ENDED = ['LEASE_ENDED', 'LEASE_ENDED', 'LEASE_ENDED'];

/** Handlers that go on although no client waits for them. The row of the next request must survive them. */
const ABANDONED = casesOf('zombies', [], {
  'F62 lets no handler whose client left end a transaction of the next request': async ({
    start,
    unreached,
  }) => {
    const { begun, others, late, handler } = zombieOf(unreached);
    const { send, fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /zombie': handler,
        'POST /honest': async ({ db }) => {
          await db.run('BEGIN IMMEDIATE');
          const written = await db.run(INSERT, ['of the honest one']);
          others.resolve();
          await late.promise;
          await db.run('COMMIT');
          return written;
        },
      },
    );
    const client = send('GET /zombie');
    await begun.promise;
    client.leave();
    has(await fetch('POST', '/honest'), { status: 200 });
    assert.deepEqual(await late.promise, ENDED);
    assert.deepEqual(await notes(pool), ['of the honest one']);
  },
  'F62 takes the write lock from a POST after disconnectGraceMs, and its late calls reach nobody': async ({
    start,
    unreached,
  }) => {
    const { begun, others, late, handler } = zombieOf(unreached);
    const { send, fetch, pool } = await start(
      { poolSize: 1, disconnectGraceMs: 20 },
      {
        'POST /zombie': handler,
        'POST /honest': async ({ db }) => {
          const written = await db.transaction((tx) => tx.run(INSERT, ['of the honest one']));
          others.resolve();
          return written;
        },
      },
    );
    const client = send('POST /zombie');
    await begun.promise;
    client.leave();
    has(await fetch('POST', '/honest'), { status: 200 });
    assert.deepEqual(await late.promise, ENDED);
    assert.deepEqual(await notes(pool), ['of the honest one']);
  },
  'F27 revokes the connection of a handler after maxLeaseMs, while its client waits': async ({ start }) => {
    const [begun, ended, others] = [deferred(), deferred<string>(), deferred()];
    const { fetch, send, pool } = await start(
      // Every request of the case has to finish within this time, also on a slow disk.
      { poolSize: 1, maxLeaseMs: 1000 },
      {
        'POST /zombie': async ({ db }) => {
          const transaction = db.transaction(async (tx) => {
            await tx.run(INSERT, ['of the zombie']);
            begun.resolve();
            await others.promise;
            await tx.run(INSERT, ['late']);
          });
          ended.resolve(await ending(transaction));
          return {};
        },
        'POST /honest': async ({ db }) => db.run(INSERT, ['of the honest one']),
      },
    );
    send('POST /zombie').read();
    // On a busy machine, the handler may get no further.
    await Promise.race([begun.promise, ended.promise]);
    has(await fetch('POST', '/honest'), { status: 200 });
    others.resolve();
    assert.equal(await ended.promise, 'LEASE_ENDED');
    assert.deepEqual(await notes(pool), ['of the honest one']);
  },
  'F62 revokes the connection when the connection to the client times out': async ({ start, eventually }) => {
    const ended = deferred<string>();
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db, request }) => {
          request.socket.setTimeout(20);
          ended.resolve(await ending(db.get(ENDLESS)));
          return {};
        },
      },
    );
    send('GET /');
    assert.equal(await ended.promise, 'LEASE_ENDED');
    await eventually(() => pool.stats().leased === 0);
  },
});

/** Handlers that were answered with a timeout. */
const TIMED_OUT = casesOf('zombies', ['handler-timeout'], {
  'F63 frees the connection of a handler that timed out, and what it began by hand stays rolled back':
    async ({ start, unreached }) => {
      const [replied, zombie] = [deferred(), deferred<string[]>()];
      const { fetch, pool } = await start(
        { poolSize: 1 },
        {
          'POST /zombie': {
            timeoutMs: 500,
            handler: async (context) => {
              await context.db.run('BEGIN IMMEDIATE');
              await context.db.run(INSERT, ['of the zombie']);
              await replied.promise;
              zombie.resolve(await lateCalls(context, unreached));
              return never();
            },
          },
        },
      );
      has(await fetch('POST', '/zombie'), { status: 503 });
      await pool.transaction(async (tx) => {
        await tx.run(INSERT, ['of another']);
        replied.resolve();
        assert.deepEqual(await zombie.promise, ENDED);
      });
      assert.deepEqual(await notes(pool), ['of another']);
    },
  'F63 lets the transaction() of a handler that timed out end, and takes the connection then': async ({
    start,
  }) => {
    const [replied, committed] = [deferred(), deferred<string>()];
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /zombie': {
          timeoutMs: 500,
          handler: async ({ db }) => {
            const transaction = db.transaction(async (tx) => {
              await tx.run(INSERT, ['first']);
              await replied.promise;
              await tx.run(INSERT, ['second']);
            });
            committed.resolve(await ending(transaction));
            return never();
          },
        },
      },
    );
    has(await fetch('POST', '/zombie'), { status: 503 });
    assert.equal(pool.stats().leased, 1);
    replied.resolve();
    assert.equal(await committed.promise, 'done');
    assert.deepEqual(await notes(pool), ['first', 'second']);
  },
  'F63 bounds the transaction() of a handler that timed out by disconnectGraceMs': async ({ start }) => {
    const ended = deferred<string>();
    const { fetch, pool } = await start(
      { poolSize: 1, disconnectGraceMs: 20 },
      {
        'POST /zombie': {
          timeoutMs: 500,
          handler: async ({ db }) => {
            const transaction = db.transaction(async (tx) => {
              await tx.run(INSERT, ['lost']);
              await never();
            });
            ended.resolve(await ending(transaction));
            return never();
          },
        },
        'POST /honest': async ({ db }) => db.run(INSERT, ['of the honest one']),
      },
    );
    has(await fetch('POST', '/zombie'), { status: 503 });
    assert.equal(await ended.promise, 'LEASE_ENDED');
    has(await fetch('POST', '/honest'), { status: 200 });
    assert.deepEqual(await notes(pool), ['of the honest one']);
  },
  'F62 takes a client that leaves after the timeout for what it is: nothing is left': async ({
    start,
    eventually,
  }) => {
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'GET /zombie': {
          timeoutMs: 500,
          handler: async (context) => {
            await context.db.get('SELECT 1');
            await closing(context);
            return never();
          },
        },
      },
    );
    const client = send('GET /zombie');
    await client.begun();
    client.leave();
    await eventually(() => pool.stats().leased === 0);
  },
});

export const ZOMBIES: readonly PluginCase[] = [...ABANDONED, ...TIMED_OUT];
