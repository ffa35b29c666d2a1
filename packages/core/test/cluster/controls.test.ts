import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../conformance/libsql-server.ts';
import { poolOf, serverOf } from '../drivers/libsql/servers.ts';
import { Ledger } from './ledger.ts';

/** What the other tests of this folder would miss, if these passed. */
describe.skipIf(SQLD === undefined)('the account of a program', () => {
  const writtenLedger = async () => {
    const pool = poolOf(libsql({ url: (await serverOf()).url }));
    const ledger = new Ledger(pool);
    await ledger.create();
    await ledger.during(() => setTimeout(300));
    await ledger.check();
    return { pool, ledger };
  };

  test.for<[string, string]>([
    ['an acknowledged write is not there', 'DELETE FROM entries WHERE key = (SELECT max(key) FROM entries)'],
    ['the sum is another one', 'UPDATE accounts SET balance = balance + 1 WHERE id = 1'],
  ])('does not add up where %s', async ([, sql]) => {
    const { pool, ledger } = await writtenLedger();
    await pool.run(sql);
    await expect(ledger.check()).rejects.toThrow();
  });

  test('does not add up where a write is there that was said to be undone', async () => {
    const pool = poolOf(libsql({ url: (await serverOf()).url }));
    await new Ledger(pool).create();
    const ledger = new Ledger(poolOf(libsql({ url: 'ws://127.0.0.1:1' })));
    await ledger.during(() => setTimeout(100));
    await ledger.check(pool);
    await pool.run("INSERT INTO entries VALUES ('k1')");
    await expect(ledger.check(pool)).rejects.toThrow();
  });

  test('does not add up where a read saw half of a transfer', async () => {
    const { pool, ledger } = await writtenLedger();
    await pool.run('UPDATE accounts SET balance = balance + 1 WHERE id = 1');
    await ledger.during(() => setTimeout(100));
    await pool.run('UPDATE accounts SET balance = balance - 1 WHERE id = 1');
    await expect(ledger.check()).rejects.toThrow();
  });
});

/** As many as one process of this driver never is. */
const WRITERS = 16;
const PATIENCE_MS = 90_000;
/** Longer than the five seconds after which the server takes a lock away. */
const STILL_MS = 15_000;

describe.skipIf(SQLD === undefined)('a libSQL server', () => {
  test('stops to take writes under many writers without a gate, each on a stream of its own', async (context) => {
    const server = await serverOf();
    await post(server, 'CREATE TABLE t (v)');
    let acknowledgedAt = performance.now();
    let writes = 0;
    let state: 'running' | 'stopped' = 'running';
    const writers = Array.from({ length: WRITERS }, async () => {
      while (state === 'running') {
        const { ok } = await post(server, 'INSERT INTO t VALUES (1)');
        if (!ok) continue;
        writes += 1;
        acknowledgedAt = performance.now();
      }
    });
    const end = performance.now() + PATIENCE_MS;
    while (performance.now() < end && performance.now() - acknowledgedAt < STILL_MS) await setTimeout(100);
    const stillMs = performance.now() - acknowledgedAt;
    state = 'stopped';
    const read = await post(server, 'SELECT 1');
    await server.stop('SIGKILL');
    await Promise.all(writers);
    console.log(`${String(writes)} writes, then none for ${String(Math.round(stillMs))} ms`);
    if (stillMs < STILL_MS) context.skip('This server was not stopped by its writers this time.');
    expect(read.ok).toBe(true);
  });
});

/** One statement on a stream that nothing else uses, as a function without a pool sends it. */
async function post(server: Server, sql: string): Promise<{ ok: boolean }> {
  const requests = [{ type: 'execute', stmt: { sql, args: [] } }, { type: 'close' }];
  try {
    const response = await fetch(`${server.urlOf('http')}/v3/pipeline`, {
      method: 'POST',
      body: JSON.stringify({ baton: null, requests }),
    });
    const { results } = (await response.json()) as { results: readonly { type: string }[] };
    return { ok: results[0]?.type === 'ok' };
  } catch {
    // The server is gone.
    return { ok: false };
  }
}
