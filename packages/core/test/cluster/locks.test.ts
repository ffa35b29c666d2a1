import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../conformance/libsql-server.ts';
import { failureOf, poolOf, serverOf } from '../drivers/libsql/servers.ts';
import type { Report } from './children/writers.ts';

const WRITERS = 16;
const WRITING_MS = 40_000;

describe.skipIf(SQLD === undefined)('writers of a libSQL server', () => {
  let server: Server;
  let pool: SqlitePool;

  beforeEach(async () => {
    server = await serverOf();
    pool = poolOf(libsql({ url: server.url }), { poolSize: 4 });
    await pool.run('CREATE TABLE t (v)');
  });

  /** A pool with a gate of its own, as another process has: another name of the same server. */
  const otherPool = (): SqlitePool =>
    poolOf(libsql({ url: server.url.replace('127.0.0.1', 'localhost') }), { poolSize: 1 });

  /** A transaction that goes on when another process has taken its lock away, after about five seconds. */
  const robbed = async (
    goOn: (tx: Parameters<Parameters<SqlitePool['transaction']>[0]>[0]) => Promise<unknown>,
  ): Promise<unknown> => {
    const other = otherPool();
    return await failureOf(
      pool.transaction(async (tx) => {
        await tx.run("INSERT INTO t VALUES ('victim')");
        const began = performance.now();
        await other.run("INSERT INTO t VALUES ('thief')");
        expect(performance.now() - began).toBeGreaterThan(4000);
        await goOn(tx);
      }),
    );
  };

  test.for([
    ['a statement', (tx: { run(sql: string): Promise<unknown> }) => tx.run("INSERT INTO t VALUES ('later')")],
    [
      'a statement after one whose failure was swallowed',
      async (tx: { run(sql: string): Promise<unknown> }) => {
        await tx.run("INSERT INTO t VALUES ('later')").catch(() => undefined);
        await tx.run("INSERT INTO t VALUES ('last')");
      },
    ],
    [
      'nothing, after one whose failure was swallowed',
      (tx: { run(sql: string): Promise<unknown> }) =>
        tx.run("INSERT INTO t VALUES ('later')").catch(() => undefined),
    ],
    ['its COMMIT', () => Promise.resolve()],
  ] as const)(
    'keep nothing of a transaction whose lock was taken, that goes on with %s',
    async ([, goOn]) => {
      expect(await robbed(goOn)).toMatchObject({ code: 'TRANSACTION_LOST' });
      expect(await pool.all('SELECT v FROM t')).toEqual([{ v: 'thief' }]);
    },
  );

  test('never wait long nor meet a lock behind the gate of one pool', async () => {
    let longestMs = 0;
    const end = performance.now() + WRITING_MS;
    const ends = await Promise.allSettled(
      Array.from({ length: WRITERS }, async () => {
        while (performance.now() < end) {
          const began = performance.now();
          await pool.run('INSERT INTO t VALUES (1)');
          longestMs = Math.max(longestMs, performance.now() - began);
        }
      }),
    );
    console.log(
      await pool.get('SELECT count(*) AS writes FROM t'),
      `longest ${String(Math.round(longestMs))} ms`,
    );
    expect(ends.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(longestMs).toBeLessThan(2000);
  });

  test('meet no lock that reaches their callers in four processes', async () => {
    const children = [1, 2, 3, 4].map(() =>
      fork(new URL('children/writers.ts', import.meta.url), [server.url, String(WRITING_MS)]),
    );
    const reports = await Promise.all(
      children.map(async (child) => (await once(child, 'message'))[0] as Report),
    );
    console.log(reports);
    expect(reports.flatMap(({ failures }) => failures)).toEqual([]);
    const { n } = (await pool.get<{ n: number }>('SELECT count(*) AS n FROM t')) ?? { n: 0 };
    expect(reports.reduce((sum, { writes }) => sum + writes, 0)).toBe(n);
  });

  test('find the lock free soon after a transaction was cancelled', async () => {
    const endless = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';
    const cancelled = failureOf(
      pool.transaction(
        async (tx) => {
          await tx.run('INSERT INTO t VALUES (1)');
          await tx.get(endless);
        },
        { timeoutMs: 200 },
      ),
    );
    await setTimeout(100);
    const other = otherPool();
    await other.open();
    expect(await cancelled).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    const began = performance.now();
    await other.run('INSERT INTO t VALUES (2)');
    console.log(`the lock was free after ${String(Math.round(performance.now() - began))} ms`);
    // Not after the five seconds in which the server would take it away.
    expect(performance.now() - began).toBeLessThan(2500);
  });
});
