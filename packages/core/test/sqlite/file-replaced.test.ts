import { existsSync } from 'node:fs';
import { copyFile, rename, rm, unlink } from 'node:fs/promises';
import { expect, test, vi } from 'vitest';
import { createPool, type SqlitePool } from '../../src/index.ts';
import { Child, failure, fileWithTable, poolOf, temporaryFile, valuesOf } from './helpers.ts';

/** Checks every idle connection before it is leased. */
const ALWAYS = { validateAfterIdleMs: 0 };

test('F56 a deleted file is noticed before the next use: a clear error, no connection left, and no new empty file', async () => {
  const { pool, filename } = await fileWithTable(ALWAYS);
  await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 1')]);
  // One that is being opened meanwhile fails for a reason of its own.
  await vi.waitFor(() => {
    expect(pool.stats().opening).toBe(0);
  });
  await remove(filename);
  for (const call of [() => pool.run('INSERT INTO t (v) VALUES (1)'), () => pool.get('SELECT * FROM t')]) {
    expect(await failure(call())).toMatchObject({ name: 'OpenError', reason: 'missing-file' });
  }
  await vi.waitFor(() => {
    expect(pool.stats()).toMatchObject({ size: 0 });
  });
  await expect(copyFile(filename, `${filename}.copy`)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('F56 the pool works again when the file is back', async () => {
  const { pool, filename } = await fileWithTable(ALWAYS);
  await pool.run("INSERT INTO t (v) VALUES ('before')");
  await pool.get('PRAGMA wal_checkpoint(TRUNCATE)');
  await copyFile(filename, `${filename}.backup`);
  await remove(filename);
  expect(await failure(valuesOf(pool))).toMatchObject({ reason: 'missing-file' });
  await rename(`${filename}.backup`, filename);
  expect(await valuesOf(pool)).toEqual(['before']);
  await pool.run("INSERT INTO t (v) VALUES ('after')");
  expect(await valuesOf(pool)).toEqual(['before', 'after']);
});

test('F56 a file that was replaced by another one is read and written by every connection from then on', async () => {
  const { pool, filename } = await fileWithTable({ ...ALWAYS, poolSize: 3 });
  await inParallel(pool, 3);
  const other = await restoreFrom('other');
  await remove(filename);
  await rename(other, filename);
  await inParallel(pool, 3);
  expect(await valuesOf(pool)).toEqual(['other']);
  await pool.run("INSERT INTO t (v) VALUES ('new')");
  await pool.close();
  expect(await valuesOf(poolOf({ filename }))).toEqual(['other', 'new']);
});

test('F56 without any use, the sweep notices a deleted file and condemns the idle connections', async () => {
  const { pool, filename } = await fileWithTable({ validateAfterIdleMs: null, poolSize: 3 });
  await inParallel(pool, 3);
  await remove(filename);
  await vi.waitFor(
    () => {
      expect(pool.stats()).toMatchObject({ size: 0, evictions: { replaced: 3 } });
    },
    { timeout: 10_000 },
  );
  expect(await failure(pool.get('SELECT 1'))).toMatchObject({ reason: 'missing-file' });
});

test('F56 without any use, the sweep notices a replaced file, and the write lock is that of the new one', async () => {
  const { pool, filename } = await fileWithTable({ validateAfterIdleMs: null });
  const other = await restoreFrom('other');
  await remove(filename);
  await rename(other, filename);
  await vi.waitFor(
    () => {
      expect(pool.stats()).toMatchObject({ size: 0, evictions: { replaced: 1 } });
    },
    { timeout: 10_000 },
  );
  expect(await valuesOf(pool)).toEqual(['other']);
  const second = poolOf({ filename });
  await second.open();
  await pool.transaction(async (tx) => {
    await tx.run('DELETE FROM t');
    expect(second.stats().writerHeld).toBe(true);
  });
});

test('F85 a file that is put back has the write lock that a lease has kept all the while', async () => {
  const { pool, filename } = await fileWithTable({ poolSize: 3, validateAfterIdleMs: 0 });
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  await lease.run("INSERT INTO t (v) VALUES ('lease')");
  const away = await move(filename, `${filename}.away`);
  await move(await restoreFrom('other'), filename);
  expect(await valuesOf(pool)).toEqual(['other']);
  expect(pool.stats().writerHeld).toBe(false);
  await remove(filename);
  await move(away, filename);
  const write = pool.run("INSERT INTO t (v) VALUES ('pool')");
  await vi.waitFor(() => {
    expect(pool.stats()).toMatchObject({ writerHeld: true, writersWaiting: 1 });
  });
  await lease.run('COMMIT');
  await write;
  await lease.release();
  expect(await valuesOf(pool)).toEqual(['lease', 'pool']);
});

test('a file that another program has truncated is an error of SQLite, not the end of the process', async () => {
  const child = new Child('truncated.ts', [await temporaryFile()]);
  expect(await child.next()).toEqual({
    name: 'SqliteError',
    sqliteCode: expect.stringMatching(/CORRUPT|IOERR|NOTADB/) as unknown,
  });
  expect(await child.exit).toBe(0);
});

/** Uses that many connections at once. */
async function inParallel(pool: SqlitePool, connections: number): Promise<void> {
  const leases = await Promise.all(Array.from({ length: connections }, () => pool.acquire()));
  await Promise.all(leases.map((lease) => lease.release()));
}

/** The file of another database, complete in itself. */
async function restoreFrom(value: string): Promise<string> {
  const filename = await temporaryFile();
  const pool = createPool({ filename });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  await pool.run('INSERT INTO t (v) VALUES (?)', [value]);
  await pool.close();
  return filename;
}

/** With its WAL, if it has one. */
async function move(from: string, to: string): Promise<string> {
  for (const suffix of ['', '-wal', '-shm'])
    if (existsSync(from + suffix)) await rename(from + suffix, to + suffix);
  return to;
}

async function remove(filename: string): Promise<void> {
  await unlink(filename);
  for (const suffix of ['-wal', '-shm']) await rm(filename + suffix, { force: true });
}
