import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { driverOf, failure, poolOf, temporaryFile, timed, valuesOf } from './helpers.ts';

it('writes that wait together wait for the lock of another process no longer than alone', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename, acquireTimeoutMs: 1000 });
  await pool.run('CREATE TABLE t (x)');
  // What the pool does not know of is to it what another process is.
  const other = await driverOf({ filename }).open();
  await other.execute('BEGIN IMMEDIATE');
  const write = (): Promise<number> =>
    timed(async () => {
      expect(await failure(pool.run('INSERT INTO t VALUES (1)'))).toMatchObject({ code: 'SQLITE_BUSY' });
    });
  const first = write();
  await setTimeout(300);
  const times = await Promise.all([first, write(), write()]);
  await other.close();
  for (const ms of times) expect(ms).toBeLessThan(1300);
});

it('a write that is cancelled while its group waits for the lock of another process is not run', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const other = await driverOf({ filename }).open();
  await other.execute('BEGIN IMMEDIATE');
  // It has the write lock of the pool, so that the others come together behind it.
  const first = failure(pool.run('INSERT INTO t (v) VALUES (?)', [0], { timeoutMs: 100 }));
  const others = [1, 2].map((v) => pool.run('INSERT INTO t (v) VALUES (?)', [v]));
  const cancelled = failure(pool.run('INSERT INTO t (v) VALUES (?)', [3], { timeoutMs: 300 }));
  for (const ended of [first, cancelled]) expect(await ended).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  await other.execute('COMMIT');
  await Promise.all(others);
  await other.close();
  expect(await valuesOf(pool)).toEqual([1, 2]);
});
