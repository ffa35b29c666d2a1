import { beforeEach, describe, expect, test } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../conformance/libsql-server.ts';
import { poolOf, serverOf } from '../drivers/libsql/servers.ts';

const COUNT = 'SELECT count(*) AS n FROM t';
const REPLICA_WAIT_MS = 500;
/** The machine may be busy. */
const LATER_MS = 400;
const BEHIND = 5000;
const PATIENT = { timeout: 20_000 };

describe.skipIf(SQLD === undefined)('a replica', () => {
  let primary: Server;
  let replica: Server;
  let pool: SqlitePool;

  beforeEach(async () => {
    primary = await serverOf();
    replica = await serverOf({ primary });
    pool = poolWaiting(REPLICA_WAIT_MS);
    await pool.script('CREATE TABLE t (n INTEGER PRIMARY KEY)');
    await expect.poll(readsAtPrimary, PATIENT).toBe(false);
  });

  const poolWaiting = (replicaWaitMs: number): SqlitePool =>
    poolOf(libsql({ url: primary.url, replicas: [replica.url], reads: 'replica', replicaWaitMs }), {
      poolSize: 1,
    });

  const count = async (): Promise<number> => (await pool.get<{ n: number }>(COUNT))?.n ?? -1;

  const readsAtPrimary = async (): Promise<boolean> => {
    const before = await primary.countOf(COUNT);
    await count();
    return (await primary.countOf(COUNT)) > before;
  };

  const timeOf = async (work: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };

  test('that stands still is waited for once, and then left out until it answers', async () => {
    await replica.freeze();
    try {
      expect(await timeOf(count)).toBeLessThan(REPLICA_WAIT_MS + LATER_MS);
      for (let read = 0; read < 20; read += 1) expect(await timeOf(count)).toBeLessThan(LATER_MS);
    } finally {
      replica.thaw();
    }
    await expect.poll(readsAtPrimary, PATIENT).toBe(false);
  });

  test('that is thousands of writes behind misses none: reads go to the primary until it has come far enough', async () => {
    pool = poolWaiting(10);
    await replica.freeze();
    let written = 0;
    try {
      // One after the other: each is a part of the log of its own.
      for (; written < BEHIND; written += 1) await pool.run('INSERT INTO t DEFAULT VALUES');
    } finally {
      replica.thaw();
    }
    let reads = 0;
    for (let atPrimary = true; atPrimary; reads += 1) {
      await pool.run('INSERT INTO t DEFAULT VALUES');
      written += 1;
      const before = await primary.countOf(COUNT);
      expect(await count()).toBe(written);
      atPrimary = (await primary.countOf(COUNT)) > before;
      expect(reads).toBeLessThan(10_000);
    }
    console.log(`${String(reads)} reads until one was at the replica again`);
  });

  test('gets no write and no BEGIN', async () => {
    const before = (await replica.stats()).write_requests_delegated;
    for (let n = 0; n < 50; n += 1) {
      await pool.run('INSERT INTO t DEFAULT VALUES');
      await pool.batch([['INSERT INTO t DEFAULT VALUES'], ['DELETE FROM t WHERE n = 1']]);
      await pool.transaction(async (tx) => {
        await tx.get('SELECT count(*) FROM t');
        await tx.run('INSERT INTO t DEFAULT VALUES');
      });
      await count();
    }
    expect((await replica.stats()).write_requests_delegated).toBe(before);
  });
});
