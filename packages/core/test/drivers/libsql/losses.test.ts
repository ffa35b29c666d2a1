import { beforeEach, describe, expect, test } from 'vitest';
import { createPool, type SqlitePool } from '../../../src/index.ts';
import { libsql } from '../../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../../conformance/libsql-server.ts';
import { failureOf, poolOf, serverOf, WIRES } from './servers.ts';

const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';

/** The machine may be busy. */
const PATIENT = { timeout: 10_000 };

describe.skipIf(SQLD === undefined).for(WIRES)('a pool on a libSQL server, over %s', (wire) => {
  let server: Server;
  let pool: SqlitePool;

  beforeEach(async () => {
    server = await serverOf();
    pool = poolOf(libsql({ url: server.urlOf(wire) }));
    await pool.run('CREATE TABLE t (n INTEGER PRIMARY KEY, v)');
  });

  const restart = async (): Promise<void> => {
    await server.stop('SIGKILL');
    await server.start();
  };

  test('goes on after its server was killed and is back, and keeps what was acknowledged', async () => {
    await pool.run('INSERT INTO t VALUES (1, 1)');
    await restart();
    expect(await pool.get('SELECT n FROM t')).toEqual({ n: 1 });
    await restart();
    await pool.run('INSERT INTO t VALUES (2, 2)');
    expect(await pool.all('SELECT n FROM t')).toEqual([{ n: 1 }, { n: 2 }]);
    expect(pool.stats()).toMatchObject({ size: 1, quarantined: 0 });
  });

  test('says that nothing is kept of a transaction whose server was killed, and refuses what follows in it', async () => {
    const error = await failureOf(
      pool.transaction(async (tx) => {
        await tx.run('INSERT INTO t VALUES (1, 1)');
        await restart();
        expect(await failureOf(tx.run('INSERT INTO t VALUES (2, 2)'))).toMatchObject({
          code: 'CONNECTION_LOST',
          outcome: 'undone',
          statusCode: 503,
        });
        expect(await failureOf(tx.run('INSERT INTO t VALUES (3, 3)'))).toMatchObject({
          code: 'TRANSACTION_LOST',
        });
      }),
    );
    expect(error).toMatchObject({ code: 'TRANSACTION_LOST' });
    expect(await pool.all('SELECT n FROM t')).toEqual([]);
  });

  test('does not know what became of a write that its server was killed under', async () => {
    const writing = failureOf(pool.run(`INSERT INTO t VALUES (1, (${ENDLESS}))`));
    await pool.get('SELECT 1');
    await server.stop('SIGKILL');
    expect(await writing).toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      cause: { code: 'CONNECTION_LOST', outcome: 'unknown' },
    });
  });

  test('says in time that a server is not there, and tries it again when it may be back', async () => {
    await server.stop('SIGKILL');
    const errors = await Promise.all(Array.from({ length: 20 }, () => failureOf(pool.get('SELECT 1'))));
    for (const error of errors) expect(error).toMatchObject({ statusCode: 503 });
    const other = poolOf(libsql({ url: server.urlOf(wire) }));
    const unreachable = { code: 'OPEN_FAILED', reason: 'unreachable', statusCode: 503 };
    expect(await failureOf(other.get('SELECT 1'))).toMatchObject(unreachable);
    expect(await failureOf(other.get('SELECT 1'))).toMatchObject(unreachable);
    await server.start();
    await expect.poll(() => pool.get('SELECT 1 AS n').catch(() => undefined), PATIENT).toEqual({ n: 1 });
  });

  test('notices within twice pingMs that a server gives no sign of life', async () => {
    const pingMs = 500;
    const own = poolOf(libsql({ url: server.urlOf(wire), pingMs }));
    await own.get('SELECT 1');
    await server.freeze();
    const began = performance.now();
    try {
      const error = await failureOf(own.run('INSERT INTO t VALUES (1, 1)'));
      expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
      expect(performance.now() - began).toBeLessThan(2 * pingMs + 500);
    } finally {
      server.thaw();
    }
  });

  test('closes in time while its server is frozen', async () => {
    const own = createPool({ driver: libsql({ url: server.urlOf(wire) }), closeTimeoutMs: 300 });
    const waiting = own.transaction(async (tx) => {
      await tx.run('INSERT INTO t VALUES (1, 1)');
      await server.freeze();
      await tx.run('INSERT INTO t VALUES (2, 2)');
    });
    waiting.catch(() => undefined);
    await expect.poll(() => own.stats().leased, PATIENT).toBe(1);
    const began = performance.now();
    try {
      await own.close();
      expect(performance.now() - began).toBeLessThan(2000);
    } finally {
      server.thaw();
    }
  });

  test('rejects with its own errors what ran into a limit, and is whole after it', async () => {
    const [read, write, transaction] = await Promise.all([
      failureOf(pool.get(ENDLESS, [], { timeoutMs: 100 })),
      failureOf(pool.run(`INSERT INTO t VALUES (1, (${ENDLESS}))`, [], { timeoutMs: 100 })),
      failureOf(pool.transaction((tx) => tx.get(ENDLESS), { timeoutMs: 100 })),
    ]);
    expect(read).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    expect(write).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(transaction).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    await pool.run('INSERT INTO t VALUES (2, 2)');
    expect(await pool.all('SELECT n FROM t')).toEqual([{ n: 2 }]);
    expect(pool.stats().quarantined).toBe(0);
  });

  test('gives up a connection that a PRAGMA was set on when its stream ends', async () => {
    const own = poolOf(libsql({ url: server.urlOf(wire) }), {
      poolSize: 1,
      onConnect: async (connection) => {
        await connection.execute('PRAGMA foreign_keys = OFF');
      },
    });
    const foreignKeys = (): Promise<unknown> =>
      own.get('SELECT foreign_keys AS on_ FROM pragma_foreign_keys');
    expect(await foreignKeys()).toEqual({ on_: 0 });
    await restart();
    // Over HTTP the first call finds out.
    await expect.poll(() => foreignKeys().catch(() => undefined), PATIENT).toEqual({ on_: 0 });
  });

  test('commits writes that wait together in one transaction', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, n) => pool.run('INSERT INTO t VALUES (?, ?)', [n, n])));
    expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 50 });
    const ends = await Promise.allSettled(
      [100, 1, 101].map((n) => pool.run('INSERT INTO t VALUES (?, ?)', [n, n])),
    );
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  test('leaves the WAL to its server', async () => {
    expect(await failureOf(pool.checkpoint())).toMatchObject({ code: 'UNSUPPORTED' });
  });
});
