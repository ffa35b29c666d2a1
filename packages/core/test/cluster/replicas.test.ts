import { setTimeout } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { Fence } from '../../src/drivers/libsql/replica-fence.ts';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../conformance/libsql-server.ts';
import { poolOf, serverOf } from '../drivers/libsql/servers.ts';
import { Network } from '../drivers/libsql/network.ts';

const WRITES_PER_SECOND = 20;

/** What readers have seen of a counter that only grows. */
interface Seen {
  reads: number;
  stale: number;
  failed: number;
}

describe.skipIf(SQLD === undefined)('reads at replicas while servers fail', () => {
  let primary: Server;
  let replicas: Server[];
  let networks: Network[];
  let pool: SqlitePool;

  beforeEach(async () => {
    primary = await serverOf();
    replicas = [await serverOf({ primary }), await serverOf({ primary })];
    networks = await Promise.all(replicas.map(({ port }) => Network.to(port)));
    pool = poolOf(
      libsql({ url: primary.url, replicas: networks.map(({ url }) => url), reads: 'replica', pingMs: 1000 }),
      { poolSize: 4, acquireTimeoutMs: 5000 },
    );
    await pool.script('CREATE TABLE c (id INTEGER PRIMARY KEY, n); INSERT INTO c VALUES (1, 0)');
  });

  /** Writes at a steady rate, and reads as fast as it can, while `work` is under way. A read must see what was acknowledged before it. */
  const during = async (work: () => Promise<void>): Promise<Seen> => {
    const seen: Seen = { reads: 0, stale: 0, failed: 0 };
    let state: 'running' | 'stopped' = 'running';
    let acknowledged = 0;
    const write = async (): Promise<void> => {
      for (let n = 1; state === 'running'; n += 1) {
        try {
          await pool.run('UPDATE c SET n = ?', [n]);
          acknowledged = n;
        } catch {
          seen.failed += 1;
        }
        await setTimeout(1000 / WRITES_PER_SECOND);
      }
    };
    const read = async (): Promise<void> => {
      while (state === 'running') {
        const least = acknowledged;
        try {
          const row = await pool.get<{ n: number }>('SELECT n FROM c WHERE id = 1');
          seen.reads += 1;
          if ((row?.n ?? 0) < least) seen.stale += 1;
        } catch {
          seen.failed += 1;
        }
        await setTimeout(1);
      }
    };
    const loops = [write(), read(), read(), read()];
    try {
      await work();
    } finally {
      state = 'stopped';
      await Promise.all(loops);
    }
    return seen;
  };

  const failures = async (): Promise<void> => {
    for (let round = 0; round < 3; round += 1) {
      await setTimeout(1500);
      await primary.stop('SIGKILL');
      await primary.start();
    }
    await setTimeout(1500);
    await replicas[0]?.stop('SIGKILL');
    await setTimeout(1000);
    await replicas[0]?.start();
    await setTimeout(1000);
    networks[1]?.freeze();
    await setTimeout(3000);
    networks[1]?.thaw();
    await setTimeout(1000);
    await primary.stop('SIGTERM');
    await setTimeout(2000);
    await primary.start();
    await setTimeout(2000);
  };

  test('never miss a write that was acknowledged, whatever fails', async () => {
    const seen = await during(failures);
    console.log(seen);
    expect(seen.stale).toBe(0);
    expect(seen.reads).toBeGreaterThanOrEqual(5000);
    expect(pool.stats()).toMatchObject({ quarantined: 0 });
  });

  test('miss writes where the fence is not raised after a loss: the control of the test above', async () => {
    const { lost, opened } = Fence.prototype;
    Fence.prototype.lost = () => undefined;
    Fence.prototype.opened = () => undefined;
    try {
      const seen = await during(failures);
      console.log(seen);
      expect(seen.stale).toBeGreaterThan(0);
    } finally {
      Object.assign(Fence.prototype, { lost, opened });
    }
  });

  test('leave the primary at most a fifth of the reads while all is well', async () => {
    await during(() => setTimeout(1000));
    const before = (await primary.stats()).query_count;
    const seen = await during(() => setTimeout(5000));
    const atPrimary = (await primary.stats()).query_count - before - 5 * WRITES_PER_SECOND;
    console.log(seen, `${String(atPrimary)} at the primary`);
    expect(seen).toMatchObject({ stale: 0, failed: 0 });
    expect(atPrimary).toBeLessThan(0.2 * seen.reads);
  });

  test('go on with a replica that was made the primary, without a restart', async () => {
    await pool.run('CREATE TABLE kept (n)');
    for (let n = 0; n < 100; n += 1) await pool.run('INSERT INTO kept VALUES (?)', [n]);
    const [promoted] = replicas;
    const fence = async (): Promise<unknown> =>
      await pool.get('SELECT count(*) AS n FROM _sqlite_pool_fence').catch(() => undefined);
    await expect.poll(fence, { timeout: 10_000 }).toEqual({ n: 1 });
    await expect
      .poll(async () => (await promoted!.stats()).replication_index, { timeout: 10_000 })
      .toBe((await primary.stats()).replication_index);
    await primary.stop('SIGKILL');
    await promoted!.stop('SIGTERM');
    await primary.takeOver(promoted!);
    const count = async (): Promise<unknown> =>
      await pool.get('SELECT count(*) AS n FROM kept').catch(() => undefined);
    await expect.poll(count, { timeout: 10_000 }).toEqual({ n: 100 });
    await pool.run('INSERT INTO kept VALUES (100)');
    expect(await count()).toEqual({ n: 101 });
    await expect.poll(fence, { timeout: 10_000 }).toEqual({ n: 2 });
  });
});
