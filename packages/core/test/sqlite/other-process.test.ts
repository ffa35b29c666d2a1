import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { PoolOptions, QueryOptions, SqlitePool } from '../../src/index.ts';
import {
  Child,
  cancelledBy,
  driverOf,
  failure,
  fileWithTable,
  onSqlite3,
  poolOf,
  timed,
  valuesOf,
} from './helpers.ts';

/** A pool, and another process that holds the write lock of its file for a time. */
async function lockedFor(
  milliseconds: number | undefined,
  options: Omit<PoolOptions, 'filename'>,
): Promise<{ pool: SqlitePool; child: Child }> {
  const { filename } = await fileWithTable();
  const pool = poolOf({ filename, validateAfterIdleMs: Infinity, ...options });
  await pool.connection((lease) => lease.get('SELECT count(*) FROM t'));
  const child = new Child('lock.ts', [
    filename,
    ...(milliseconds === undefined ? [] : [String(milliseconds)]),
  ]);
  expect(await child.next()).toBe('locked');
  return { pool, child };
}

test('F35 while another process holds the lock, writers wait for it with one thread, and all succeed', async () => {
  const { pool } = await lockedFor(1000, { poolSize: 16 });
  const writes = Array.from({ length: 8 }, (_, n) => pool.run('INSERT INTO t (v) VALUES (?)', [n]));
  // With four threads in a busy wait the file system would have none until the lock is free.
  let slowest = 0;
  for (let n = 0; n < 20; n += 1) {
    slowest = Math.max(slowest, await timed(() => readFile(import.meta.filename)));
  }
  expect(pool.stats()).toMatchObject({ writerHeld: true, writersWaiting: 7 });
  expect(slowest).toBeLessThan(500);
  await Promise.all(writes);
  expect(await valuesOf(pool)).toEqual(['child', 0, 1, 2, 3, 4, 5, 6, 7]);
});

test('F35 the file system keeps its threads while more files are locked than libuv has threads', async () => {
  const locked = await Promise.all(Array.from({ length: 6 }, () => lockedFor(undefined, { poolSize: 2 })));
  const writes = locked.map(({ pool }) => pool.run('INSERT INTO t (v) VALUES (1)'));
  const readMs: number[] = [];
  for (let n = 0; n < 100; n += 1) readMs.push(await timed(() => readFile(import.meta.filename)));
  expect(locked.map(({ pool }) => pool.stats().writerHeld)).toEqual(locked.map(() => true));
  for (const { child } of locked) child.send('let go');
  await Promise.all(writes);
  for (const { pool } of locked) expect(await valuesOf(pool)).toEqual(['child', 1]);
  expect(readMs.toSorted((a, b) => a - b)[90]).toBeLessThan(100);
  expect(Math.max(...readMs)).toBeLessThan(500);
});

/** Every way to write, but scripts. */
const WRITES: readonly {
  readonly what: string;
  readonly write: (pool: SqlitePool, options?: QueryOptions) => Promise<unknown>;
}[] = [
  { what: 'a statement', write: (pool, options) => pool.run('INSERT INTO t (v) VALUES (1)', [], options) },
  {
    what: 'a statement that returns rows',
    write: (pool, options) => pool.all('INSERT INTO t (v) VALUES (1) RETURNING v', [], options),
  },
  {
    what: 'a transaction',
    write: (pool, options) => pool.transaction((tx) => tx.run('INSERT INTO t (v) VALUES (1)'), options),
  },
  {
    what: 'a BEGIN IMMEDIATE by hand',
    write: (pool, options) => pool.connection((lease) => lease.run('BEGIN IMMEDIATE', [], options)),
  },
  {
    what: 'the first statement of a deferred transaction',
    write: (pool, options) =>
      pool.transaction((tx) => tx.run('INSERT INTO t (v) VALUES (1)', [], options), { mode: 'deferred' }),
  },
];

test.for(WRITES)(
  'F36 $what that another process keeps from its lock rejects with BusyError at acquireTimeoutMs',
  async ({ write }) => {
    const { pool, child } = await lockedFor(undefined, { acquireTimeoutMs: 400 });
    const took = await timed(async () => {
      const error = { name: 'BusyError', code: 'SQLITE_BUSY', errno: 5, statusCode: 503 };
      expect(await failure(write(pool))).toMatchObject(error);
    });
    expect(took).toBeGreaterThanOrEqual(399);
    expect(took).toBeLessThan(2000);
    // Readers do not wait for a writer.
    expect(await valuesOf(pool)).toEqual([]);
    child.send('let go');
    expect(await child.next()).toBe('released');
    await write(pool);
    expect((await valuesOf(pool))[0]).toBe('child');
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
  },
);

test.for(WRITES)(
  'F36 $what that another process keeps from its lock is cancelled at its timeoutMs or by its signal, and its connection is good at once',
  async ({ write }) => {
    const { pool } = await lockedFor(undefined, { poolSize: 1 });
    const late = await timed(async () => {
      expect(await cancelledBy(write(pool, { timeoutMs: 300 }))).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    });
    expect(late).toBeGreaterThanOrEqual(299);
    expect(late).toBeLessThan(2000);
    const controller = new AbortController();
    const cancelled = cancelledBy(write(pool, { signal: controller.signal }));
    await setTimeout(100);
    const since = performance.now();
    controller.abort(new Error('enough'));
    expect((await cancelled).message).toBe('enough');
    expect(performance.now() - since).toBeLessThan(200);
    expect(await timed(() => pool.get('SELECT 1'))).toBeLessThan(500);
    expect(pool.stats()).toMatchObject({ opens: 1, size: 1, quarantined: 0 });
  },
);

test('F36 a busy_timeout of the user is slept natively at each try, and the wait goes on after it', async () => {
  const { pool, child } = await lockedFor(undefined, { pragmas: { busy_timeout: 150 } });
  const written = pool.run('INSERT INTO t (v) VALUES (1)');
  await setTimeout(400);
  child.send('let go');
  await written;
  expect(await valuesOf(pool)).toEqual(['child', 1]);
});

test('F36 a script waits for the lock of another process at each of its statements, and afterwards its connection waits briefly again', async () => {
  const { pool, child } = await lockedFor(undefined, { poolSize: 1 });
  const done = pool.script('INSERT INTO t (v) VALUES (1); INSERT INTO t (v) VALUES (2)');
  await setTimeout(500);
  child.send('let go');
  await done;
  expect(await valuesOf(pool)).toEqual(['child', 1, 2]);
  await failure(pool.script('INSERT INTO missing VALUES (1)'));
  expect(await pool.get('PRAGMA busy_timeout')).toEqual({ timeout: onSqlite3 ? 20 : 0 });
});

test.for([
  { what: 'a busy_timeout of its own', pragmas: { busy_timeout: 0 } as const },
  { what: 'pragmas: false', pragmas: false as const },
])('F36 a script of a connection with $what waits no longer than that', async ({ pragmas }) => {
  const { pool, filename } = await fileWithTable();
  const impatient = poolOf({ filename, pragmas });
  await pool.transaction(async (tx) => {
    await tx.run('INSERT INTO t (v) VALUES (1)');
    const connection = await driverOf({ filename, pragmas }).open();
    const took = await timed(async () => {
      expect(await failure(connection.script!('INSERT INTO t (v) VALUES (2)'))).toMatchObject({ errno: 5 });
    });
    expect(took).toBeLessThan(3000);
    await connection.close();
  });
  expect(await valuesOf(impatient)).toEqual([1]);
});

test('F41 a write that waits for another process is cancelled, and writes nothing later', async () => {
  const { pool, child } = await lockedFor(undefined, { poolSize: 2 });
  for (const { write } of WRITES) {
    expect(await cancelledBy(write(pool, { timeoutMs: 50 }))).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  }
  child.send('let go');
  await pool.run("INSERT INTO t (v) VALUES ('next')");
  expect(await valuesOf(pool)).toEqual(['child', 'next']);
});

test('F41 a write that sleeps in SQLite is rejected at its timeoutMs, and its connection is not leased before the call returns', async () => {
  const { pool, child } = await lockedFor(undefined, { poolSize: 1, pragmas: { busy_timeout: 5000 } });
  const took = await timed(async () => {
    const error = await failure(pool.run("INSERT INTO t (v) VALUES ('cancelled')", [], { timeoutMs: 50 }));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { code: 'STATEMENT_TIMEOUT' } });
  });
  expect(took).toBeLessThan(1000);
  expect(pool.stats()).toMatchObject({ idle: 0, leased: 1, size: 1 });
  const next = pool.get('SELECT count(*) AS n FROM t');
  const early = await failure(pool.get('SELECT 1', [], { signal: AbortSignal.timeout(50) }));
  expect(early).toMatchObject({ name: 'TimeoutError' });
  child.send('let go');
  expect(await next).toEqual({ n: 1 });
  // The lock came after the deadline: what was rejected must not be written then.
  expect(await valuesOf(pool)).toEqual(['child']);
  expect(pool.stats().opens).toBe(1);
});

test('F35 a loop over rows waits for a lock that keeps readers out, as any other read does', async () => {
  // In WAL mode such locks are rare: a recovery, or locking_mode = EXCLUSIVE. Without a WAL every COMMIT takes one.
  const pragmas = { journal_mode: 'DELETE' };
  const { pool, filename } = await fileWithTable({ poolSize: 1, pragmas });
  const other = await driverOf({ filename, pragmas }).open();
  await other.execute('BEGIN EXCLUSIVE');
  const loop = async (): Promise<unknown[]> => {
    const values: unknown[] = [];
    for await (const { v } of pool.iterate<{ v: unknown }>('SELECT v FROM t ORDER BY id')) values.push(v);
    return values;
  };
  const values = loop();
  await setTimeout(200);
  await other.execute('INSERT INTO t (v) VALUES (1), (2)');
  await other.execute('COMMIT');
  await other.close();
  expect(await values).toEqual([1, 2]);
  expect(pool.stats()).toMatchObject({ leased: 0, opens: 1, idle: 1 });
});
