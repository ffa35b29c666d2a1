import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { Child, failure, fileWithTable, timed, valuesOf } from './helpers.ts';

/** A pool, and another process that holds the write lock of its file for a time. */
async function lockedFor(
  milliseconds: number | undefined,
  options: Parameters<typeof fileWithTable>[0],
): Promise<{ pool: SqlitePool; child: Child }> {
  const { pool, filename } = await fileWithTable(options);
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

test('F36 when another process holds the lock for longer than the busy timeout, the write rejects with BusyError', async () => {
  const { pool, child } = await lockedFor(undefined, { pragmas: { busy_timeout: 300 } });
  for (const write of [
    () => pool.run('INSERT INTO t (v) VALUES (1)'),
    () => pool.all('INSERT INTO t (v) VALUES (1) RETURNING v'),
    () => pool.transaction((tx) => tx.run('INSERT INTO t (v) VALUES (1)')),
    () => pool.script('INSERT INTO t (v) VALUES (1)'),
  ]) {
    const took = await timed(async () => {
      expect(await failure(write())).toMatchObject({
        name: 'BusyError',
        code: 'SQLITE_BUSY',
        errno: 5,
        statusCode: 503,
      });
    });
    expect(took).toBeGreaterThan(250);
    expect(took).toBeLessThan(1500);
  }
  // Readers do not wait for a writer.
  expect(await valuesOf(pool)).toEqual([]);
  child.send('let go');
  expect(await child.next()).toBe('released');
  await pool.run('INSERT INTO t (v) VALUES (2)');
  expect(await valuesOf(pool)).toEqual(['child', 2]);
});

test('F41 a write that waits for another process is rejected at its timeoutMs, and its connection is not lent before the call returns', async () => {
  const { pool, child } = await lockedFor(undefined, { poolSize: 1 });
  const took = await timed(async () => {
    const error = await failure(pool.run("INSERT INTO t (v) VALUES ('cut')", [], { timeoutMs: 50 }));
    expect(error).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
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

test('F41 a transaction whose BEGIN waits for another process is cut at its timeoutMs, and writes nothing later', async () => {
  const { pool, child } = await lockedFor(undefined, { poolSize: 2 });
  const error = await failure(
    pool.transaction((tx) => tx.run("INSERT INTO t (v) VALUES ('cut')"), { timeoutMs: 50 }),
  );
  expect(error).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  child.send('let go');
  await pool.run("INSERT INTO t (v) VALUES ('next')");
  expect(await valuesOf(pool)).toEqual(['child', 'next']);
});
