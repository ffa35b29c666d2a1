import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { driverOf, failure, fileWithTable, moment, poolOf, temporaryFile, valuesOf } from './helpers.ts';

/** How many transactions at once: four times the threads that libuv has. */
const WRITERS = 16;
const TRANSACTIONS_EACH = 20;

test('F34 16 writers on the 4 threads of libuv meet no SQLITE_BUSY, lose nothing and leave the file system its threads', async () => {
  // Without a busy timeout a second writer of this process would fail at once instead of waiting unseen.
  const { pool } = await fileWithTable({ poolSize: WRITERS, pragmas: { busy_timeout: 0 } });
  await pool.run('INSERT INTO t VALUES (1, 0)');
  const small = await temporaryFile();
  await writeFile(small, Buffer.alloc(1024));
  const readMs: number[] = [];
  const probe = new AbortController();
  const probing = (async () => {
    while (!probe.signal.aborted) {
      const since = performance.now();
      await readFile(small);
      readMs.push(performance.now() - since);
    }
  })();

  const writers = Array.from({ length: WRITERS }, async () => {
    for (let n = 0; n < TRANSACTIONS_EACH; n += 1) {
      await pool.transaction(async (tx) => {
        const row = await tx.get<{ v: number }>('SELECT v FROM t WHERE id = 1');
        await tx.run('UPDATE t SET v = ? WHERE id = 1', [row!.v + 1]);
      });
    }
  });
  await Promise.all(writers);
  probe.abort();
  await probing;

  expect(await valuesOf(pool)).toEqual([WRITERS * TRANSACTIONS_EACH]);
  expect(percentile(readMs, 0.99)).toBeLessThan(250);
});

test('F34 writers that wait leave readers a connection, whatever the size of the pool', async () => {
  const { pool } = await fileWithTable({ poolSize: 4 });
  const release = moment();
  const begun = moment();
  const first = pool.transaction(async () => {
    begun.reach();
    await release.reached;
  });
  await begun.reached;
  const others = Array.from({ length: 50 }, (_, n) => pool.run('INSERT INTO t (v) VALUES (?)', [n]));
  expect(await valuesOf(pool)).toEqual([]);
  // One writes, one is ready to (or is about to be), and nobody else has a connection.
  expect(pool.stats().writersWaiting).toBeGreaterThanOrEqual(49);
  expect(pool.stats().size).toBeLessThanOrEqual(3);
  release.reach();
  await Promise.all([first, ...others]);
  // First come, first served.
  expect(await valuesOf(pool)).toEqual(Array.from({ length: 50 }, (_, n) => n));
});

test('F60 pools on one file share the write lock, also by way of a relative path or a symbolic link', async () => {
  const { pool, filename } = await fileWithTable({ pragmas: { busy_timeout: 0 } });
  const linked = join(dirname(filename), 'linked');
  await mkdir(linked);
  await symlink(filename, join(linked, 'link.db'));
  const filenames = [filename, relative(process.cwd(), filename), join(linked, 'link.db')];
  const pools = filenames.map((name) => poolOf({ filename: name, pragmas: { busy_timeout: 0 } }));
  await Promise.all(pools.map((other) => other.open()));

  await pool.transaction(async (tx) => {
    await tx.run('INSERT INTO t (v) VALUES (0)');
    for (const other of pools) expect(other.stats().writerHeld).toBe(true);
  });
  const increment = async (other: SqlitePool): Promise<void> => {
    for (let n = 0; n < 20; n += 1) await other.run('UPDATE t SET v = v + 1');
  };
  await Promise.all(pools.flatMap((other) => [increment(other), increment(other)]));
  expect(await valuesOf(pool)).toEqual([120]);
});

test('F60 pools on different files do not wait for each other', async () => {
  const { pool, filename } = await fileWithTable();
  await pool.get('PRAGMA wal_checkpoint(TRUNCATE)');
  const copy = `${filename}.copy`;
  await copyFile(filename, copy);
  const other = poolOf({ filename: copy });
  await pool.transaction(async (tx) => {
    await tx.run('INSERT INTO t (v) VALUES (1)');
    await other.run('INSERT INTO t (v) VALUES (2)');
  });
  expect([await valuesOf(pool), await valuesOf(other)]).toEqual([[1], [2]]);
});

test('F59 a second driver on a file that is open through another one is refused, until the first has left', async () => {
  const { pool, filename } = await fileWithTable();
  const foreign = poolOf({ driver: { ...driverOf({ filename }), name: 'another' } });
  expect(await failure(foreign.get('SELECT 1'))).toMatchObject({
    name: 'DriverConflictError',
    code: 'DRIVER_CONFLICT',
  });
  expect(await failure(foreign.run('INSERT INTO t (v) VALUES (1)'))).toMatchObject({
    code: 'DRIVER_CONFLICT',
  });
  expect(foreign.stats().size).toBe(0);
  expect(await valuesOf(pool)).toEqual([]);
  await pool.close();
  expect(await foreign.get('SELECT 1 AS one')).toEqual({ one: 1 });
});

function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Infinity;
}
