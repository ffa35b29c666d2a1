import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { RequestLease, type LeaseMode } from '../../src/plugin.ts';
import { moment, poolOf, temporaryFile, valuesOf } from './helpers.ts';
import { recording } from './recording.ts';
import { count } from './together.ts';

const INSERT = 'INSERT INTO t (v) VALUES (?)';

const request = (pool: SqlitePool, mode: LeaseMode = 'request'): RequestLease =>
  new RequestLease(pool, { mode, disconnectGraceMs: 1000, method: 'POST' });

/** Handlers that read first and write then, in different ways. */
const HANDLERS: readonly (readonly [string, (db: RequestLease) => Promise<unknown>])[] = [
  [
    'read and then write',
    async (db) => {
      await db.get('SELECT count(*) FROM t');
      await db.run(INSERT, [1]);
    },
  ],
  [
    'read and then begin a transaction',
    async (db) => {
      await db.get('SELECT count(*) FROM t');
      await db.transaction((tx) => tx.run(INSERT, [1]));
    },
  ],
  [
    'read and then begin a transaction by hand',
    async (db) => {
      await db.get('SELECT count(*) FROM t');
      await db.run('BEGIN IMMEDIATE');
      await db.run(INSERT, [1]);
      await db.run('COMMIT');
    },
  ],
  [
    'read while they begin a transaction',
    (db) => Promise.all([db.get('SELECT count(*) FROM t'), db.transaction((tx) => tx.run(INSERT, [1]))]),
  ],
  ['read while they write', (db) => Promise.all([db.get('SELECT count(*) FROM t'), db.run(INSERT, [1])])],
];

describe.each(HANDLERS)('F72 twelve handlers that %s, in a pool of ten', (_, handler) => {
  it('leave a connection to the transaction they wait for, and are all served', async () => {
    const pool = poolOf({ filename: await temporaryFile(), poolSize: 10, acquireTimeoutMs: 5000 });
    await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const [begun, waiting] = [moment(), moment()];
    const transaction = pool.transaction(async (tx) => {
      await tx.run(INSERT, [0]);
      begun.reach();
      await waiting.reached;
      // On another connection, which the handlers must not hold.
      return await pool.get('SELECT count(*) AS n FROM t');
    });
    await begun.reached;
    const requests = Array.from({ length: 12 }, () => request(pool));
    const handled = Promise.all(requests.map((db) => handler(db).finally(() => db.respond())));
    while (pool.stats().writersWaiting < 12) await setImmediate();
    waiting.reach();
    expect(await transaction).toEqual({ n: 0 });
    await handled;
    expect(await valuesOf(pool)).toHaveLength(13);
    expect(pool.stats()).toMatchObject({ leased: 0, acquireTimeouts: 0, writersWaiting: 0 });
  });
});

describe.each(['request', 'statement'] as const)('F81 a single write of a request, in mode %s,', (mode) => {
  it('shares its COMMIT with those of other requests', async () => {
    const { driver, texts } = recording({ filename: await temporaryFile() });
    const pool = poolOf({ driver });
    await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
    const blocker = await pool.acquire();
    await blocker.run('BEGIN IMMEDIATE');
    const from = texts.length;
    const writes = Array.from({ length: 20 }, async (_, v) => {
      const db = request(pool, mode);
      await db.get('SELECT 1');
      const { changes } = await db.run(INSERT, [v]);
      // What it has written is there for its next statement.
      const row = await db.get('SELECT count(*) AS n FROM t WHERE v = ?', [v]);
      db.respond();
      return { changes, ...row };
    });
    while (pool.stats().writersWaiting < 20) await setImmediate();
    await blocker.release();
    expect(await Promise.all(writes)).toEqual(Array.from({ length: 20 }, () => ({ changes: 1, n: 1 })));
    const commits = count(texts.slice(from), 'COMMIT');
    expect([1, 2]).toContain(commits);
  });
});

it('F81 a write of a request inside what it has begun stays on its connection', async () => {
  const pool = poolOf({ filename: await temporaryFile() });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const db = request(pool);
  await db.run('BEGIN');
  await db.run(INSERT, [1]);
  expect(await valuesOf(pool)).toEqual([]);
  await db.run('ROLLBACK');
  await db.run('CREATE TEMP TABLE mine (x)');
  await db.run('INSERT INTO mine VALUES (1)');
  expect(await db.get('SELECT x FROM mine')).toEqual({ x: 1 });
  for await (const { n } of db.iterate<{ n: number }>('SELECT 1 AS n')) await db.run(INSERT, [n]);
  db.respond();
  expect(await valuesOf(pool)).toEqual([1]);
});
