import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Row } from '../../src/index.ts';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../conformance/libsql-server.ts';
import { failureOf, poolOf, serverOf } from '../drivers/libsql/servers.ts';

const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)';
const MANY = 300_000;

describe.skipIf(SQLD === undefined)('the limits of a libSQL server', () => {
  let server: Server;

  beforeEach(async () => {
    server = await serverOf();
  });

  test('refuse the connection that is one too many, and harm none of the others', async () => {
    const driver = libsql({ url: server.url });
    const opened = await Promise.allSettled(
      Array.from({ length: 140 }, async () => {
        const began = performance.now();
        try {
          return await driver.open();
        } catch (error) {
          expect(performance.now() - began).toBeLessThan(4000);
          throw error;
        }
      }),
    );
    const connections = opened.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
    const failures = opened.flatMap((end): unknown[] => (end.status === 'rejected' ? [end.reason] : []));
    expect(failures.length).toBeGreaterThan(0);
    for (const error of failures) expect(error).toMatchObject({ code: 'OPEN_FAILED', reason: 'unreachable' });
    await Promise.all(connections.map((connection) => connection.execute('SELECT 1')));
    await Promise.all(connections.map((connection) => connection.close()));
    await expect
      .poll(() =>
        driver
          .open()
          .then((connection) => connection.close())
          .then(
            () => true,
            () => false,
          ),
      )
      .toBe(true);
  });

  test('let a cursor read what is too much for one answer, in little memory', async () => {
    const pool = poolOf(libsql({ url: server.url }));
    const sql = `WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT ${String(MANY)}) SELECT x, 'some text' AS text FROM c`;
    expect(await failureOf(pool.all(sql))).toMatchObject({ sqliteCode: 'SQLITE_TOOBIG' });
    let last: Row = {};
    let most = 0;
    const before = process.memoryUsage().heapUsed;
    for await (const row of pool.iterate(sql)) {
      last = row;
      if (Number(row['x']) % 50_000 === 0) most = Math.max(most, process.memoryUsage().heapUsed);
    }
    expect(most - before).toBeLessThan(64 * 1_048_576);
    expect(last['x']).toBe(MANY);
  });

  test('take a blob of almost five megabytes, and refuse a larger one', async () => {
    const pool = poolOf(libsql({ url: server.url }));
    await pool.run('CREATE TABLE t (v)');
    const blob = new Uint8Array(4_900_000).fill(7);
    await pool.run('INSERT INTO t VALUES (?)', [blob]);
    expect(await pool.get('SELECT length(v) AS n FROM t')).toEqual({ n: blob.length });
    const row = await pool.get<{ v: Uint8Array }>('SELECT v FROM t');
    expect(Buffer.compare(row?.v ?? new Uint8Array(), blob)).toBe(0);
    const tooBig = pool.run('INSERT INTO t VALUES (?)', [new Uint8Array(12_000_000)]);
    expect(await failureOf(tooBig)).toMatchObject({ sqliteCode: 'SQLITE_TOOBIG' });
    expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 });
  });

  test('let a query be cancelled: the server computes no more', async () => {
    const pool = poolOf(libsql({ url: server.url }));
    const cancelled = { code: 'STATEMENT_TIMEOUT' };
    expect(
      await failureOf(pool.get(`${ENDLESS} SELECT count(*) FROM c`, [], { timeoutMs: 200 })),
    ).toMatchObject(cancelled);
    for await (const row of pool.iterate(`${ENDLESS} SELECT x FROM c`)) if (row['x'] === 1000) break;
    const computedInASecond = async (): Promise<number> => {
      const before = await cpuOf(server);
      await setTimeout(1000);
      return (await cpuOf(server)) - before;
    };
    // A query that goes on computes for all of it, as far as the machine lets it.
    await expect.poll(computedInASecond, { timeout: 10_000 }).toBeLessThan(0.02);
  });
});

/** How long the process of a server has computed, in seconds. */
async function cpuOf(server: Server): Promise<number> {
  const fields =
    (await readFile(`/proc/${String(server.pid)}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
