import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';

import { createPool } from '@sqlite-pool/core';

import { indices, tables } from './schema.ts';
import { scales, seedSteps, type ScaleName } from './seed-data.ts';

/** Called with how much work is done, of how much, and what is next. */
export type OnProgress = (done: number, total: number, next: string) => void;

/** Large enough for SQLite to be the only cost, small enough for a bar that moves. */
const ROWS_PER_STATEMENT = 50_000;

/**
 * Fills a new database with data that is the same every time; resolves to `false` if that was done before.
 *
 * It fills a draft and renames it at the end, so a file of the final name is always complete.
 */
export async function seed(file: string, scale: ScaleName, onProgress?: OnProgress): Promise<boolean> {
  if (existsSync(file)) {
    await checkScale(file, scale);
    return false;
  }
  const draft = `${file}.draft`;
  await rm(draft, { force: true });
  await fill(draft, scale, onProgress);
  await rename(draft, file);
  return true;
}

async function checkScale(file: string, scale: ScaleName): Promise<void> {
  await using pool = createPool({ filename: file, poolSize: 1, pragmas: false });
  // Somebody else's file has no such table, or is no database at all.
  const seeding = await pool.get<{ scale: string }>('SELECT scale FROM seeding').catch(() => undefined);
  if (seeding?.scale === scale) return;
  const found = seeding
    ? `was seeded with the scale ${seeding.scale}`
    : 'exists, and seeding did not make it';
  throw new Error(`${file} ${found}. Delete it or choose another file.`);
}

async function fill(file: string, scale: ScaleName, onProgress?: OnProgress): Promise<void> {
  // A draft that breaks is thrown away, so it needs no journal and no syncs; the data is consistent as it is made.
  const pragmas = { journal_mode: 'OFF', synchronous: 'OFF', foreign_keys: false };
  await using pool = createPool({ filename: file, poolSize: 1, pragmas });
  await pool.script(tables);

  const { users, posts, comments, likes } = scales[scale];
  const total = users + posts + comments + likes + comments; // the index reads every comment again
  let done = 0;
  for (const { table, sql, params, count, rowsEach } of seedSteps(scales[scale])) {
    const size = Math.ceil(ROWS_PER_STATEMENT / rowsEach);
    for (let from = 1; from <= count; from += size) {
      const to = Math.min(from + size - 1, count);
      onProgress?.(done, total, table);
      await pool.run(sql, { ...params, from, to });
      done += (to - from + 1) * rowsEach;
    }
  }
  onProgress?.(done, total, 'index');
  await pool.script(indices);
  await pool.script(
    'PRAGMA analysis_limit = 1000; ANALYZE; CREATE TABLE seeding (scale TEXT NOT NULL) STRICT;',
  );
  await pool.run('INSERT INTO seeding (scale) VALUES (?)', [scale]);
  onProgress?.(total, total, 'done');
}
