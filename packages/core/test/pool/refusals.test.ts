import { describe, expect, it } from 'vitest';
import type { Queryable, SqlitePool } from '../../src/index.ts';
import { RequestLease } from '../../src/request/request-lease.ts';
import { byHand, fakePool, follow } from './support.ts';

/** What JavaScript would let pass. */
const CONTROLLER = { signal: new AbortController() as never };
const SELECT = 'SELECT 1';

const WITHIN: Readonly<
  Record<string, (pool: SqlitePool, use: (db: Queryable) => Promise<unknown>) => Promise<unknown>>
> = {
  'a pool': (pool, use) => use(pool),
  'a lease': (pool, use) => pool.connection(use),
  'a transaction': (pool, use) => pool.transaction(use),
  'a request': (pool, use) => use(requestOn(pool)),
};

function requestOn(pool: SqlitePool): RequestLease {
  return new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'POST' });
}

/** Every method that takes options, given some. */
const METHODS: Readonly<Record<string, (db: Queryable, options: object) => Promise<unknown>>> = {
  execute: (db, options) => db.execute(SELECT, [], options),
  get: (db, options) => db.get(SELECT, [], options),
  all: (db, options) => db.all(SELECT, [], options),
  run: (db, options) => db.run(SELECT, [], options),
  iterate: async (db, options) => db.iterate(SELECT, [], options).next(),
  script: (db, options) => db.script(SELECT, options),
  transaction: (db, options) => db.transaction(() => undefined, options),
};

/** Every method that takes parameters, given something else in their place. */
const WITH_PARAMETERS: Readonly<Record<string, (db: Queryable, params: object) => Promise<unknown>>> = {
  execute: (db, params) => db.execute(SELECT, params as never),
  get: (db, params) => db.get(SELECT, params as never),
  all: (db, params) => db.all(SELECT, params as never),
  run: (db, params) => db.run(SELECT, params as never),
  iterate: async (db, params) => db.iterate(SELECT, params as never).next(),
};

describe.for(Object.entries(WITHIN))('%s', ([, within]) => {
  it.for(Object.entries(METHODS))(
    'refuses an option that %s does not know, by its name',
    async ([, call]) => {
      const { pool } = fakePool();
      await within(pool, async (db) => {
        for (const option of ['timeout', 'retry', 'rowmode'])
          await expect(call(db, { [option]: 5 })).rejects.toMatchObject({
            code: 'INVALID_ARGUMENT',
            message: expect.stringContaining(`"${option}"`) as unknown,
          });
        await expect(call(db, { timeoutMs: 5, signal: undefined })).resolves.not.toThrow();
      });
    },
  );

  it.for(Object.entries(WITH_PARAMETERS))(
    'tells %s, which has options in the place of parameters, where they belong',
    async ([, call]) => {
      const { pool } = fakePool();
      await within(pool, async (db) => {
        const given = { timeoutMs: 50, signal: new AbortController().signal, rowMode: 'array' };
        for (const [option, value] of Object.entries(given))
          await expect(call(db, { [option]: value })).rejects.toMatchObject({
            code: 'INVALID_ARGUMENT',
            message: expect.stringContaining(`"${option}" is an option`) as unknown,
          });
      });
    },
  );
});

it.for(['acquire', 'connection'] as const)('%s() refuses an option that it does not know', async (method) => {
  const { pool, driver } = fakePool();
  const options: object = { timeout: 5 };
  const call = method === 'acquire' ? pool.acquire(options) : pool.connection(() => undefined, options);
  await expect(call).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('"timeout"') as unknown,
  });
  expect(driver.calls).toEqual([]);
});

describe('a transaction that cannot work', () => {
  const HOSTS: Readonly<Record<string, (pool: SqlitePool) => Queryable>> = {
    'the pool': (pool) => pool,
    'a request': requestOn,
  };
  const WRONG: Readonly<Record<string, (db: Queryable) => Promise<unknown>>> = {
    'a controller for its signal': (db) => db.transaction(() => undefined, CONTROLLER),
    'a text for its function': (db) => db.transaction('x' as never),
    'null for its options': (db) => db.transaction(() => undefined, null as never),
  };

  it.for(
    Object.entries(HOSTS).flatMap(([host, dbOf]) =>
      Object.entries(WRONG).map(([what, call]) => ({ host, dbOf, what, call })),
    ),
  )(
    'because it has $what is refused by $host at once, and the writers go on in order',
    async ({ dbOf, call }) => {
      const { pool, driver, clock } = fakePool({}, { poolSize: 2 });
      const { promise, resolve } = byHand();
      const writing = follow(
        pool.transaction(async (tx) => {
          await tx.run('INSERT INTO t VALUES (1)');
          await promise;
        }),
      );
      const next = follow(pool.run('INSERT INTO t VALUES (2)'));
      await clock.settle();
      const refused = follow(call(dbOf(pool)));
      await clock.settle();
      expect(refused.now).toMatchObject({ state: 'rejected', error: { code: 'INVALID_ARGUMENT' } });
      expect([writing.now.state, next.now.state]).toEqual(['pending', 'pending']);
      resolve();
      await clock.settle();
      expect([writing.now.state, next.now.state]).toEqual(['resolved', 'resolved']);
      await expect(pool.run('INSERT INTO t VALUES (3)')).resolves.toBeDefined();
      expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0, writersWaiting: 0, writerHeld: false });
      expect(driver.violations).toEqual([]);
    },
  );
});
