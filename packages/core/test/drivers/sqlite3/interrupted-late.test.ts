import { join } from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import sqliteModule from 'sqlite3';
import { expect, onTestFinished, test, vi } from 'vitest';
import { sqlite3 } from '../../../src/drivers/sqlite3/sqlite3.ts';
import { createPool, type SqlitePool } from '../../../src/index.ts';

/** A pool whose driver is interrupted so many times when it asks what a statement has changed. */
async function interrupted(times: number): Promise<SqlitePool> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const pool = createPool({ driver: sqlite3({ filename: join(directory, 'app.db') }) });
  onTestFinished(() => pool.close());
  await pool.script('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)');
  let left = times;
  const all = sqliteModule.Statement.prototype.all;
  vi.spyOn(sqliteModule.Statement.prototype, 'all').mockImplementation(function (
    this: sqliteModule.Statement & { sql?: string },
    ...args: unknown[]
  ) {
    if (this.sql?.startsWith('SELECT changes()') === true && (left -= 1) >= 0) {
      const done = args.at(-1) as (error: Error) => void;
      done(Object.assign(new Error('SQLITE_INTERRUPT: interrupted'), { errno: 9, code: 'SQLITE_INTERRUPT' }));
      return this;
    }
    return Reflect.apply<object, unknown[], sqliteModule.Statement>(all as never, this, args);
  } as never);
  return pool;
}

test('a write whose RETURNING was read is done, though an interrupt came after it', async () => {
  const pool = await interrupted(7);
  expect(await pool.execute('DELETE FROM t RETURNING a')).toMatchObject({
    rows: [{ a: 1 }, { a: 2 }],
    changes: 2,
  });
});

test('where an interrupt does not go away, nobody says that nothing was done', async () => {
  const pool = await interrupted(Infinity);
  await expect(pool.execute('DELETE FROM t RETURNING a')).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 0 });
});
