import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { shareOf } from '../share.ts';
import { generation } from './generation.ts';
import { reportOf } from './run.ts';

const PROCESSES = 3;
const KILLS = shareOf(4);
/** All of them are about a thousand transactions. */
const LOG_BYTES = shareOf(200_000);
/** On a busy machine most of them fail: then there must be more of them. */
const DONE = LOG_BYTES / 1000;

test('F34 F35 F58 F60 What several pools in several processes do, some of which are killed, has one order that all of them saw', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  const seed = Date.now() | 0;
  const found = await generation({
    directory,
    seed,
    processes: PROCESSES,
    isEnough: ({ kills, logBytes, ok }) => kills >= KILLS && logBytes >= LOG_BYTES && ok > DONE,
  });
  expect(found.anomalies.length === 0 ? '' : reportOf(found, seed)).toBe('');
  // Kept if something is wrong with it.
  await rm(directory, { recursive: true });
  expect(found.totals.ok).toBeGreaterThan(DONE);
  expect(found.totals.kills).toBeGreaterThanOrEqual(KILLS);
}, 120_000);
