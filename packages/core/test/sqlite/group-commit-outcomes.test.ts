import { array, assert, asyncProperty, constantFrom, integer, record } from 'fast-check';
import { expect, test } from 'vitest';
import type { SqliteError, SqlitePool } from '../../src/index.ts';
import { poolOf, temporaryFile, timelessClock } from './helpers.ts';
import { recording } from './recording.ts';

const SCHEMA = `
  CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, k UNIQUE, v CHECK (v < 7));
  CREATE TABLE log (t_id REFERENCES t ON DELETE CASCADE, v);
  CREATE TRIGGER logs AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id, new.v); END;
  CREATE TRIGGER ignores BEFORE INSERT ON t WHEN new.v = 4 BEGIN SELECT RAISE(IGNORE); END;
  CREATE TRIGGER fails AFTER INSERT ON t WHEN new.v = 5 BEGIN SELECT RAISE(FAIL, 'five'); END;
  CREATE TRIGGER rolls_back AFTER INSERT ON t WHEN new.v = 6 BEGIN SELECT RAISE(ROLLBACK, 'six'); END;
`;

const WRITES: readonly ((pool: SqlitePool, k: number, v: number) => Promise<unknown>)[] = [
  (pool, k, v) => pool.run('INSERT INTO t (k, v) VALUES (?, ?)', [k, v]),
  (pool, k, v) => pool.run('INSERT OR REPLACE INTO t (k, v) VALUES (?, ?)', [k, v]),
  (pool, k, v) => pool.run('INSERT OR IGNORE INTO t (k, v) VALUES (?, ?)', [k, v]),
  (pool, k, v) => pool.run('INSERT OR FAIL INTO t (k, v) VALUES (100 + ?, 1), (?, ?)', [k, k, v]),
  (pool, k, v) => pool.run('INSERT OR ROLLBACK INTO t (k, v) VALUES (?, ?)', [k, v]),
  (pool, k, v) => pool.all('INSERT INTO t (k, v) VALUES (?, ?), (? + 1, ?) RETURNING id, k', [k, v, k, v]),
  (pool, k, v) =>
    // Not its lastInsertRowid: after an UPSERT that updated it is that of whatever its connection inserted before.
    pool.all('INSERT INTO t (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = v + 1 RETURNING v', [
      k,
      v,
    ]),
  (pool, k, v) => pool.run('UPDATE t SET v = v + 1 WHERE k <> ? AND v <> ?', [k, v]),
  (pool, k, v) => pool.get('DELETE FROM t WHERE k = ? OR v = ? RETURNING id, k, v', [k, v]),
  (pool, k, v) => pool.run('INSERT INTO log VALUES (?, ?)', [k, v]),
];

interface Side {
  readonly pool: SqlitePool;
  readonly texts: string[];
}

async function side(groupCommit: boolean): Promise<Side> {
  const { driver, texts } = recording({ filename: await temporaryFile() });
  const pool = poolOf({ driver, groupCommit, clock: timelessClock });
  await pool.script(SCHEMA);
  return { pool, texts };
}

/** How each write of a schedule ended, and what is in the database afterwards. */
async function outcomeOf(
  pool: SqlitePool,
  schedule: readonly { kind: number; k: number; v: number }[],
): Promise<unknown> {
  await pool.script('DELETE FROM log; DELETE FROM t; DELETE FROM sqlite_sequence');
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const ends = Promise.allSettled(schedule.map(({ kind, k, v }) => WRITES[kind]!(pool, k, v)));
  await lease.run('COMMIT');
  await lease.release();
  const told = (await ends).map((end) => {
    if (end.status === 'fulfilled') return end.value;
    const error = end.reason as SqliteError;
    return [error.sqliteCode, (error.cause as Error).message];
  });
  return {
    told,
    t: await pool.all('SELECT * FROM t ORDER BY id'),
    log: await pool.all('SELECT * FROM log ORDER BY rowid'),
    sequence: await pool.all('SELECT * FROM sqlite_sequence'),
  };
}

test('whatever single writes come together, each has the same outcome as without group commit, and the database is the same', async () => {
  const grouped = await side(true);
  const alone = await side(false);
  let writes = 0;
  const schedules = array(
    record({
      kind: integer({ min: 0, max: WRITES.length - 1 }),
      k: integer({ min: 1, max: 6 }),
      // Mostly those that trigger nothing.
      v: constantFrom(0, 1, 1, 2, 2, 3, 4, 5, 6, 7),
    }),
    { minLength: 2, maxLength: 12 },
  );
  await assert(
    asyncProperty(schedules, async (schedule) => {
      writes += schedule.length;
      expect(await outcomeOf(grouped.pool, schedule)).toEqual(await outcomeOf(alone.pool, schedule));
    }),
    { numRuns: 150 },
  );
  const commits = ({ texts }: Side): number => texts.filter((sql) => sql === 'COMMIT').length;
  // There were groups, and they did commit.
  expect(commits(grouped)).toBeGreaterThan(commits(alone) + 20);
  expect(writes).toBeGreaterThan(300);
});
