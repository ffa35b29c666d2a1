import sqlite3 from 'sqlite3';
import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { failure, poolOf, temporaryFile, timed, valuesOf } from './helpers.ts';

it('writes that wait together wait for the lock of another process no longer than alone', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename, acquisitionTimeoutMs: 1000 });
  await pool.run('CREATE TABLE t (x)');
  // What the pool does not know of is to it what another process is.
  const other = new sqlite3.Database(filename);
  await new Promise<void>((done) => {
    other.exec('BEGIN IMMEDIATE', () => {
      done();
    });
  });
  const write = (): Promise<number> =>
    timed(async () => {
      expect(await failure(pool.run('INSERT INTO t VALUES (1)'))).toMatchObject({ code: 'SQLITE_BUSY' });
    });
  const first = write();
  await setTimeout(300);
  const times = await Promise.all([first, write(), write()]);
  await new Promise<void>((done) => {
    other.close(() => {
      done();
    });
  });
  for (const ms of times) expect(ms).toBeLessThan(1300);
});

it('a write that is cancelled while its group waits for the lock of another process is not run', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const other = new sqlite3.Database(filename);
  const exec = (sql: string): Promise<void> =>
    new Promise((done) =>
      other.exec(sql, () => {
        done();
      }),
    );
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const others = [1, 2].map((v) => pool.run('INSERT INTO t (v) VALUES (?)', [v]));
  const cut = failure(pool.run('INSERT INTO t (v) VALUES (?)', [3], { timeoutMs: 150 }));
  await lease.run('COMMIT');
  await exec('BEGIN IMMEDIATE');
  await lease.release();
  expect(await cut).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  await exec('COMMIT');
  await Promise.all(others);
  await new Promise((done) => {
    other.close(done);
  });
  expect(await valuesOf(pool)).toEqual([1, 2]);
});
