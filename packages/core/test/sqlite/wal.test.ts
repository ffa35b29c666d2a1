import { statSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { expect, test, vi } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { fakeClock, type FakeClock } from '../../src/testing/index.ts';
import {
  driverOf,
  ENDLESS,
  failure,
  fileWithTable,
  MANY,
  onSqlite3,
  poolOf,
  temporaryFile,
} from './helpers.ts';

const MIB = 2 ** 20;

function walBytes(filename: string): number {
  return statSync(`${filename}-wal`).size;
}

/** Adds rows of 2000 characters, 1000 to a commit. */
async function fill(pool: SqlitePool, rows: number): Promise<void> {
  for (let n = 0; n < rows; n += 1000) {
    await pool.run(
      `INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
       SELECT printf('%.*c', 2000, 'x') FROM n`,
    );
  }
}

/** The warnings of this kind that have come. */
function warnings(): () => string[] {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  return () =>
    warned.mock.calls
      .filter(([, options]) => (options as { code?: string } | undefined)?.code === 'SQLITE_POOL_WAL')
      .map(([message]) => String(message));
}

/** Lets the pool look after the WAL, once a second of its own clock, until something is so. */
async function lookUntil(clock: FakeClock, what: () => void): Promise<void> {
  const options = { timeout: 10_000, interval: 5 };
  await vi.waitFor(async () => {
    await clock.advance(1000);
    what();
  }, options);
}

test('a cursor that stays open lets the WAL grow: one warning names where it was acquired, and when it ends the WAL is truncated', async () => {
  const clock = fakeClock();
  const { pool, filename } = await fileWithTable({ clock, leakWarningMs: 1e9 });
  const said = warnings();
  await pool.run('INSERT INTO t (v) VALUES (1), (2)');
  async function forgetful() {
    const lease = await pool.acquire();
    await lease.iterate(`SELECT v FROM t, ${MANY}`).next();
    return lease;
  }
  const lease = await forgetful();
  await fill(pool, 20_000);
  expect(walBytes(filename)).toBeGreaterThan(30 * MIB);

  await lookUntil(clock, () => {
    expect(said()).toHaveLength(1);
  });
  expect(said()[0]).toMatch(
    /^The WAL has grown to \d\d MiB.* a lease with an open cursor, for at least [2-9] s/,
  );
  expect(said()[0]).toContain('forgetful');
  for (let n = 0; n < 5; n += 1) await clock.advance(1000);
  expect(pool.stats().walBytes).toBeGreaterThan(30 * MIB);

  await lease.release();
  await lookUntil(clock, () => {
    expect(walBytes(filename)).toBe(0);
  });
  expect(said()).toHaveLength(1);
  await lookUntil(clock, () => {
    expect(pool.stats().walBytes).toBe(0);
  });
});

test.for([
  ['a transaction', 'a transaction', (lease) => lease.script('BEGIN; SELECT count(*) FROM t')],
  // On a worker thread it keeps the writes of this test waiting.
  ...(onSqlite3
    ? [
        [
          'a statement',
          'a statement',
          (lease: Pick<SqlitePool, 'script' | 'all'>) => lease.all(`${ENDLESS}, (SELECT 1 FROM t LIMIT 1)`),
        ] as const,
      ]
    : []),
] as const satisfies readonly (readonly [
  string,
  string,
  (lease: Pick<SqlitePool, 'script' | 'all'>) => unknown,
])[])('%s on a lease is named as what it is', async ([, what, read]) => {
  const clock = fakeClock();
  const { pool, filename } = await fileWithTable({ clock });
  const said = warnings();
  await fill(pool, 1000);
  const lease = await pool.acquire();
  const reading = Promise.resolve(read(lease)).catch(() => undefined);
  await fill(pool, 12_000);
  expect(walBytes(filename)).toBeGreaterThan(16 * MIB);
  await lookUntil(clock, () => {
    expect(said()).toEqual([expect.stringContaining(`It is a lease with ${what}, for at least`)]);
  });
  await lease.revoke();
  await reading;
});

test('a WAL that one large transaction has made large is truncated without a warning', async () => {
  const clock = fakeClock();
  const { pool, filename } = await fileWithTable({ clock });
  const said = warnings();
  await pool.transaction(async (tx) => {
    for (let n = 0; n < 20; n += 1)
      await tx.run(
        `INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         SELECT printf('%.*c', 2000, 'x') FROM n`,
      );
    for (let n = 0; n < 10; n += 1) await clock.advance(1000);
  });
  expect(walBytes(filename)).toBeGreaterThan(16 * MIB);
  await lookUntil(clock, () => {
    expect(walBytes(filename)).toBe(0);
  });
  expect(said()).toEqual([]);
});

test.for([{ limit: Infinity }, { limit: null }])(
  'walLimitBytes: $limit leaves the WAL to SQLite',
  async ({ limit: walLimitBytes }) => {
    const clock = fakeClock();
    const { pool, filename } = await fileWithTable({
      clock,
      walLimitBytes,
      pragmas: { wal_autocheckpoint: 0 },
    });
    await fill(pool, 10_000);
    const before = walBytes(filename);
    expect(before).toBeGreaterThan(16 * MIB);
    await lookUntil(clock, () => {
      expect(pool.stats().walBytes).toBe(before);
    });
    for (let n = 0; n < 10; n += 1) {
      await clock.advance(1000);
      await pool.get('SELECT 1');
    }
    expect(walBytes(filename)).toBe(before);
  },
);

test('a pool whose connections have long been idle looks after the WAL too, and so does one that has none left idle', async () => {
  const clock = fakeClock();
  const options = { clock, poolSize: 2, pragmas: { wal_autocheckpoint: 0 } };
  const { pool, filename } = await fileWithTable(options);
  await fill(pool, 10_000);
  await lookUntil(clock, () => {
    expect(walBytes(filename)).toBe(0);
  });
  await vi.waitFor(() => {
    expect(pool.stats()).toMatchObject({ opens: 1, idle: 1 });
  });

  await fill(pool, 10_000);
  const lease = await pool.acquire();
  await lookUntil(clock, () => {
    expect(walBytes(filename)).toBe(0);
  });
  await vi.waitFor(() => {
    expect(pool.stats()).toMatchObject({ opens: 2, leased: 1, idle: 1 });
  });
  await lease.release();
});

test('checkpoint() writes back what it can, and says what a reader keeps from it', async () => {
  const { pool, filename } = await fileWithTable({ pragmas: { wal_autocheckpoint: 0 } });
  await fill(pool, 1000);
  const passive = await pool.checkpoint();
  expect(passive.busy).toBe(false);
  expect(passive.walPages).toBeGreaterThan(400);
  expect(passive.checkpointedPages).toBe(passive.walPages);

  const lease = await pool.acquire();
  await lease.iterate(`SELECT v FROM t, ${MANY}`).next();
  await fill(pool, 1000);
  const beside = await pool.checkpoint({ mode: 'passive' });
  expect(beside.busy).toBe(false);
  expect(beside.checkpointedPages).toBeLessThan(beside.walPages);
  for (const mode of ['full', 'restart', 'truncate'] as const)
    expect(await pool.checkpoint({ mode })).toMatchObject({ busy: true });
  await lease.release();

  expect(await pool.checkpoint({ mode: 'full' })).toMatchObject({ busy: false });
  expect(await pool.checkpoint({ mode: 'restart' })).toMatchObject({ busy: false });
  expect(await pool.checkpoint({ mode: 'truncate' })).toEqual({
    busy: false,
    walPages: 0,
    checkpointedPages: 0,
  });
  expect(walBytes(filename)).toBe(0);
  expect(pool.stats()).toMatchObject({ evictions: { dirty: 0 } });
});

test('checkpoint() of a database that is not in WAL mode says so', async () => {
  const { pool } = await fileWithTable({ pragmas: { journal_mode: 'DELETE' } });
  const none = { busy: false, walPages: -1, checkpointedPages: -1 };
  expect(await pool.checkpoint({ mode: 'truncate' })).toEqual(none);
  const memory = poolOf({ filename: ':memory:' });
  expect(await memory.checkpoint()).toEqual(none);
  expect(await memory.get('SELECT 1 AS one')).toEqual({ one: 1 });
});

test('a checkpoint that restarts the WAL waits for the write lock, a passive one does not', async () => {
  const { pool } = await fileWithTable();
  const writer = await pool.acquire();
  await writer.run('BEGIN IMMEDIATE');
  await writer.run('INSERT INTO t (v) VALUES (1)');
  expect(await pool.checkpoint()).toMatchObject({ busy: false });
  const cancelled = pool.checkpoint({ mode: 'truncate', timeoutMs: 30 });
  expect(await failure(cancelled)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  const signal = AbortSignal.abort(new Error('no'));
  expect((await failure(pool.checkpoint({ mode: 'full', signal }))).message).toBe('no');
  await writer.run('COMMIT');
  await writer.release();
  expect(await pool.checkpoint({ mode: 'truncate' })).toMatchObject({ busy: false });
});

test('F33 a checkpoint of more than 50 MiB leaves the event loop alone', async () => {
  const { pool, filename } = await fileWithTable({ pragmas: { wal_autocheckpoint: 0 }, walLimitBytes: null });
  // On the thread of the event loop it would always be one gap; a machine that is busy otherwise may need a second look.
  let longestMs = Infinity;
  for (let rounds = 3; rounds > 0 && longestMs >= 50; rounds -= 1) {
    await fill(pool, 26_000);
    expect(walBytes(filename)).toBeGreaterThan(50 * MIB);
    const gaps = monitorEventLoopDelay({ resolution: 1 });
    gaps.enable();
    await pool.checkpoint({ mode: 'truncate' });
    gaps.disable();
    longestMs = gaps.max / 1e6;
    expect(walBytes(filename)).toBe(0);
  }
  expect(longestMs).toBeLessThan(50);
});

test('the size of the WAL is found by way of a link, is 0 without one, and what goes wrong is said', async () => {
  const { pool, filename } = await fileWithTable();
  await fill(pool, 1000);
  const linked = `${filename}.link`;
  await symlink(filename, linked);
  expect(await driverOf({ filename: linked }).walBytes?.()).toBe(walBytes(filename));
  expect(await driverOf({ filename: await temporaryFile() }).walBytes?.()).toBe(0);
  const loop = await temporaryFile();
  await symlink(loop, loop);
  expect(await failure(driverOf({ filename: loop }).walBytes!())).toMatchObject({ code: 'ELOOP' });
  expect(driverOf({ filename: ':memory:' }).walBytes).toBeUndefined();
});
