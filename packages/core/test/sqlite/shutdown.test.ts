import { access, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test, vi } from 'vitest';
import { createPool, type Driver, type Lease, type SqlitePool } from '../../src/index.ts';
import {
  Child,
  ENDLESS,
  failure,
  fileWithTable,
  moment,
  poolOf,
  temporaryFile,
  timed,
  valuesOf,
  driverOf,
} from './helpers.ts';

test('after close() the WAL and its index are gone, whatever number of connections was open', async () => {
  for (const connections of [1, 2, 8]) {
    const filename = await temporaryFile();
    const pool = createPool({ filename });
    await pool.script('CREATE TABLE t (v)');
    await Promise.all(
      Array.from({ length: connections }, () => pool.connection((lease) => lease.get('SELECT * FROM t'))),
    );
    await pool.run('INSERT INTO t VALUES (1)');
    await access(`${filename}-wal`);
    await pool.close();
    expect(await readdir(dirname(filename))).toEqual(['test.db']);
  }
});

test('close() lets SQLite bring its statistics up to date', async () => {
  const { pool, filename } = await fileWithTable();
  await pool.script('CREATE INDEX v ON t (v)');
  await pool.run(
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t (v) SELECT i % 7 FROM n',
  );
  await pool.all('SELECT * FROM t WHERE v = 3');
  await pool.close();
  const next = poolOf({ filename });
  expect(await next.get("SELECT count(*) AS n FROM sqlite_stat1 WHERE tbl = 't'")).toEqual({ n: 1 });
});

test('F48 close() rejects the waiters, lets running work end, and resolves when all is closed', async () => {
  const { pool, filename } = await fileWithTable({ poolSize: 2, closeTimeoutMs: 10_000 });
  const release = moment();
  const begun = moment();
  const order: string[] = [];
  const transaction = pool
    .transaction(async (tx) => {
      await tx.run("INSERT INTO t (v) VALUES ('committed')");
      begun.reach();
      await release.reached;
    })
    .then(() => order.push('transaction'));
  await begun.reached;
  const query = await leased(pool, (lease) => lease.get(ENDLESS.replace('5000000000', '300000')));
  const waiting = failure(pool.get('SELECT 1'));
  const waitingWriter = failure(pool.run('DELETE FROM t'));
  const closed = pool.close().then(() => order.push('closed'));
  expect(await waiting).toMatchObject({ code: 'POOL_CLOSED' });
  expect(await waitingWriter).toMatchObject({ code: 'POOL_CLOSED' });
  expect(await failure(pool.get('SELECT 1'))).toMatchObject({ code: 'POOL_CLOSED' });
  expect(await failure(pool.acquire())).toMatchObject({ code: 'POOL_CLOSED' });
  expect(await query.result).toEqual({ c: 300_000 });
  expect(order).toEqual([]);
  release.reach();
  await Promise.all([transaction, closed]);
  expect(order).toEqual(['transaction', 'closed']);
  expect(await valuesOf(poolOf({ filename }))).toEqual(['committed']);
});

test('F48 at closeTimeoutMs close() interrupts what runs, rolls back what is open, and resolves', async () => {
  const { pool, filename } = await fileWithTable({ closeTimeoutMs: 50 });
  const lease = await pool.acquire();
  await lease.execute('BEGIN IMMEDIATE');
  await lease.run("INSERT INTO t (v) VALUES ('never')");
  const running = failure(pool.get(ENDLESS));
  const onLease = failure(lease.get(ENDLESS));
  expect(await timed(() => pool.close())).toBeLessThan(2000);
  expect(await running).toMatchObject({ code: 'POOL_CLOSED' });
  expect(['LEASE_ENDED', 'POOL_CLOSED']).toContain((await onLease)['code']);
  expect(await failure(lease.get('SELECT 1'))).toMatchObject({ code: 'LEASE_ENDED' });
  expect(pool.stats()).toMatchObject({ size: 0, leased: 0 });
  // On a busy machine an interrupted call may take longer to return than close() waits for it.
  await vi.waitFor(
    async () => {
      expect(await readdir(dirname(filename))).toEqual(['test.db']);
    },
    { timeout: 5000 },
  );
  expect(await valuesOf(poolOf({ filename }))).toEqual([]);
});

test('F48 close() during a transaction whose callback never settles is bounded by closeTimeoutMs', async () => {
  const { pool, filename } = await fileWithTable({ closeTimeoutMs: 50 });
  const begun = moment();
  const hanging = failure(
    pool.transaction(async (tx) => {
      await tx.run("INSERT INTO t (v) VALUES ('never')");
      begun.reach();
      await new Promise(() => undefined);
    }),
  );
  await begun.reached;
  expect(await timed(() => pool.close())).toBeLessThan(2000);
  expect(await valuesOf(poolOf({ filename }))).toEqual([]);
  expect(await hanging).toMatchObject({ code: expect.stringMatching(/LEASE_ENDED|POOL_CLOSED/) as unknown });
});

test('F49 close() during the first open resolves, and the connection that arrives late is closed', async () => {
  const filename = await temporaryFile();
  let opens = 0;
  let closes = 0;
  const inner = driverOf({ filename });
  const driver: Driver = {
    ...inner,
    open: async () => {
      opens += 1;
      const connection = await inner.open();
      const close = connection.close.bind(connection);
      return Object.assign(connection, {
        close: () => {
          closes += 1;
          return close();
        },
      });
    },
  };
  const pool = createPool({ driver });
  const first = failure(pool.get('SELECT 1'));
  const closing = pool.close();
  expect(pool.close()).toBe(closing);
  await closing;
  expect(await first).toMatchObject({ code: 'POOL_CLOSED' });
  expect([opens, closes]).toEqual([1, 1]);
});

test('F51 a process with an idle pool ends by itself, at once', async () => {
  const child = new Child('exit.ts', [await temporaryFile(), 'idle']);
  expect(await child.exit).toBe(0);
  const { idleMs } = JSON.parse(child.output) as { idleMs: number };
  expect(idleMs).toBeLessThan(500);
});

test('F51 a process whose acquire waits does not end before that is settled', async () => {
  const child = new Child('exit.ts', [await temporaryFile(), 'waiting']);
  expect(await child.exit).toBe(0);
  expect(JSON.parse(child.output)).toMatchObject({ waiter: 'ACQUIRE_TIMEOUT' });
});

test('F51 a process whose statement runs does not end before that is settled', async () => {
  const child = new Child('exit.ts', [await temporaryFile(), 'running']);
  expect(await child.exit).toBe(0);
  expect(JSON.parse(child.output)).toMatchObject({ row: { c: 300_000 } });
});

/** Begins to use a connection; resolves when it has one. */
function leased<T>(pool: SqlitePool, use: (lease: Lease) => Promise<T>): Promise<{ result: Promise<T> }> {
  return new Promise((resolve, reject) => {
    const result = pool.connection((lease) => {
      resolve({ result });
      return use(lease);
    });
    result.catch(reject);
  });
}
