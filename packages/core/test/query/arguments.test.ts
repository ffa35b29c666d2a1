import { describe, expect, it } from 'vitest';
import type { Queryable, QueryOptions, SqlitePool } from '../../src/index.ts';
import { fakePool } from '../pool/support.ts';

const WITHIN: Readonly<
  Record<string, (pool: SqlitePool, use: (db: Queryable) => Promise<unknown>) => unknown>
> = {
  'a pool': (pool, use) => use(pool),
  'a lease': (pool, use) => pool.connection(use),
  'a transaction': (pool, use) => pool.transaction(use),
};

/** What JavaScript would let pass, by what is wrong with it. */
const WRONG: Readonly<Record<string, (db: Queryable) => Promise<unknown>>> = {
  'options of a call must be an object': (db) => db.get('SELECT 1', [], 10 as unknown as QueryOptions),
  'options of a call must be an object, which null is not': (db) =>
    db.run('DELETE FROM t', [], null as unknown as QueryOptions),
  'Unknown option "timeout"': (db) => db.get('SELECT 1', [], { timeout: 10 } as QueryOptions),
  '"timeoutMs" is an option': (db) => db.get('SELECT 1', { timeoutMs: 10 }),
  'signal must be an AbortSignal': (db) => db.all('SELECT 1', [], { signal: {} as AbortSignal }),
  'timeoutMs must be a number': (db) => db.script('SELECT 1', { timeoutMs: 0 }),
  "rowMode must be 'object' or 'array'": (db) => db.execute('SELECT 1', [], { rowMode: 'map' as 'array' }),
  'iterate() is for statements that only read': async (db) => db.iterate('DELETE FROM t RETURNING n').next(),
  'transaction() takes a function': (db) => db.transaction('SELECT 1' as unknown as () => void),
  "mode must be 'immediate', 'deferred' or 'exclusive'": (db) =>
    db.transaction(() => undefined, { mode: 'toString' as 'deferred' }),
  'retries must be a whole number': (db) => db.transaction(() => undefined, { retries: -1 }),
};

describe.for(Object.entries(WITHIN))('%s', ([, within]) => {
  it.for(Object.entries(WRONG))('says that %s, before the driver hears of it', async ([what, call]) => {
    const { pool, driver } = fakePool();
    await within(pool, async (db) => {
      const before = driver.calls.filter(({ connection }) => connection > 0).length;
      await expect(call(db)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(what.replace(/,.*is not$/, '')) as unknown,
      });
      expect(driver.calls.filter(({ connection }) => connection > 0)).toHaveLength(before);
    });
  });
});

it('connection() takes a function', async () => {
  const { pool, driver } = fakePool();
  await expect(pool.connection('SELECT 1' as unknown as () => void)).rejects.toThrow(
    'connection() takes a function',
  );
  expect(driver.calls).toEqual([]);
});

it.for(['BEGIN', 'COMMIT', 'SAVEPOINT a'])('a pool has no connection to keep on which to %s', async (sql) => {
  const { pool, driver } = fakePool();
  await expect(pool.run(sql)).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('pool.transaction()') as unknown,
  });
  expect(driver.calls).toEqual([]);
});

it('a parameter may have the name of an option', async () => {
  const { pool } = fakePool();
  await expect(pool.get('SELECT :signal', { signal: 1 })).resolves.toBeUndefined();
});

it.for([{ mode: 'deferred' as const }, { retries: 1 }])(
  'a nested transaction has no %o of its own, and the one around it goes on',
  async (options) => {
    const { pool, driver } = fakePool();
    await pool.transaction(async (tx) => {
      await expect(tx.transaction(() => undefined, options)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
    });
    expect(driver.calls.map(({ sql }) => sql)).toContain('COMMIT');
  },
);
