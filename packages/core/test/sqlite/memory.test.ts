import { expect, test } from 'vitest';
import { createPool } from '../../src/index.ts';
import { sqlite3 } from '../../src/drivers/sqlite3/sqlite3.ts';
import { poolOf, valuesOf } from './helpers.ts';

test.for(['file::memory:?cache=shared', 'file:data.db', 'FILE:x.db', '', 'a\0b'])(
  'F38 the file name %j, with which connections could share a cache, is refused',
  (filename) => {
    expect(() => createPool({ filename })).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  },
);

test('F39 an in-memory database refuses more than one connection', () => {
  expect(() => createPool({ filename: ':memory:', poolSize: 2 })).toThrow(/in-memory database takes 1/);
  expect(() => createPool({ driver: sqlite3({ filename: ':memory:' }), poolSize: 10 })).toThrow(/takes 1/);
});

test('F39 an in-memory database has one connection, and keeps its data through everything a user does', async () => {
  const pool = poolOf({ filename: ':memory:', idleTimeoutMs: 1, validateAfterIdleMs: 0 });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  await pool.run("INSERT INTO t (v) VALUES ('kept')");
  pool.evict();
  await pool.connection(async (connection) => {
    await connection.run('PRAGMA cache_size = 100');
    await connection.script('CREATE TEMP TABLE mine (x)');
  });
  const lease = await pool.acquire();
  await lease.script("BEGIN; INSERT INTO t (v) VALUES ('rolled back')");
  await lease.release();
  expect(await valuesOf(pool)).toEqual(['kept']);
  expect(pool.stats()).toMatchObject({ opens: 1, size: 1 });
});

test('F39 users of an in-memory database use it one after the other', async () => {
  const pool = poolOf({ filename: ':memory:' });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER)');
  await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      pool.transaction(async (tx) => {
        await tx.run('INSERT INTO t (v) VALUES (?)', [n]);
        if (n % 2 === 1) throw new Error('odd');
      }),
    ).map((transaction) => transaction.catch(() => undefined)),
  );
  expect(await valuesOf(pool)).toEqual(Array.from({ length: 25 }, (_, n) => 2 * n));
});
