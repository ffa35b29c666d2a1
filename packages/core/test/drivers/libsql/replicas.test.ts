import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { SqlitePool } from '../../../src/index.ts';
import { libsql, type LibsqlOptions } from '../../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../../conformance/libsql-server.ts';
import { poolOf, serverOf, WIRES } from './servers.ts';

const READ = 'SELECT count(*) FROM t';

/** The machine may be busy. */
const PATIENT = { timeout: 10_000 };

describe.skipIf(SQLD === undefined).for(WIRES)('reads at a replica, over %s', (wire) => {
  let primary: Server;
  let replicas: Server[];
  let pool: SqlitePool;

  beforeEach(async () => {
    primary = await serverOf();
    replicas = [await serverOf({ primary }), await serverOf({ primary })];
    pool = poolWith();
    await pool.run('CREATE TABLE t (n INTEGER PRIMARY KEY)');
  });

  const poolWith = (options: Partial<LibsqlOptions> = {}): SqlitePool =>
    poolOf(
      libsql({
        url: primary.urlOf(wire),
        replicas: replicas.map((replica) => replica.urlOf(wire)),
        reads: 'replica',
        replicaWaitMs: 2000,
        ...options,
      }),
      { poolSize: 4 },
    );

  /** Whether a read of the pool makes work for the primary. */
  const readsAtPrimary = async (): Promise<boolean> => {
    const before = await primary.countOf(READ);
    await pool.get(READ);
    return (await primary.countOf(READ)) > before;
  };

  test('see each write that was acknowledged before', async () => {
    // A replica sends reads on to its primary until it has what that had when they met.
    await vi.waitFor(async () => expect(await readsAtPrimary()).toBe(false), PATIENT);
    const delegated = async (): Promise<number[]> =>
      (await Promise.all(replicas.map((replica) => replica.stats()))).map(
        (stats) => stats.write_requests_delegated,
      );
    const before = await delegated();
    for (let n = 0; n < 100; n += 1) {
      await pool.run('INSERT INTO t VALUES (?)', [n]);
      expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: n + 1 });
    }
    expect(await delegated()).toEqual(before);
  }, 60_000);

  test('leave the primary alone, once the fence is seen', async () => {
    await vi.waitFor(async () => expect(await readsAtPrimary()).toBe(false), PATIENT);
    for (let n = 0; n < 20; n += 1) expect(await readsAtPrimary()).toBe(false);
  });

  test('see each write after the primary was killed, again and again', async () => {
    for (let round = 0; round < 2; round += 1) {
      await vi.waitFor(async () => expect(await readsAtPrimary()).toBe(false), PATIENT);
      for (let n = 0; n < 20; n += 1) {
        await pool.run('INSERT INTO t VALUES (?)', [round * 100 + n]);
        expect(await pool.get('SELECT max(n) AS n FROM t')).toEqual({ n: round * 100 + n });
      }
      await primary.stop('SIGKILL');
      await primary.start();
      for (let n = 20; n < 60; n += 1) {
        await vi.waitFor(() => pool.run('INSERT OR IGNORE INTO t VALUES (?)', [round * 100 + n]), PATIENT);
        expect(await pool.get('SELECT max(n) AS n FROM t')).toEqual({ n: round * 100 + n });
      }
    }
  }, 120_000);

  test('go to the primary while the replicas are gone or frozen', async () => {
    pool = poolWith({ replicaWaitMs: 50 });
    await vi.waitFor(async () => expect(await readsAtPrimary()).toBe(false), PATIENT);
    for (const replica of replicas) await replica.freeze();
    try {
      expect(await readsAtPrimary()).toBe(true);
    } finally {
      for (const replica of replicas) replica.thaw();
    }
    for (const replica of replicas) await replica.stop('SIGKILL');
    await pool.run('INSERT INTO t VALUES (1)');
    expect(await readsAtPrimary()).toBe(true);
    await replicas[0]?.start();
    await vi.waitFor(async () => expect(await readsAtPrimary()).toBe(false), PATIENT);
  }, 30_000);

  test('do not see a transaction that is open, nor hide it from itself', async () => {
    await pool.transaction(async (tx) => {
      await tx.run('INSERT INTO t VALUES (1)');
      expect(await tx.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 });
      expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 0 });
    });
    expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 });
  });
});
