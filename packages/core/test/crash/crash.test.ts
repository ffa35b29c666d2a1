import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { crash, randomOf } from './round.ts';

const ROUNDS = 5;

test('F58 a process that is killed while it commits loses nothing it has acknowledged, and leaves nothing half done', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const seed = Date.now() | 0;
  const random = randomOf(seed);
  let acknowledged = 0;
  let together = 0;
  for (let round = 1; round <= ROUNDS; round += 1) {
    const found = await crash(join(directory, 'ledger.db'), round, random);
    expect(found.faults, `seed ${String(seed)}, round ${String(round)}`).toEqual([]);
    acknowledged += found.acknowledged;
    together += found.together;
  }
  expect(acknowledged).toBeGreaterThanOrEqual(ROUNDS);
  expect(together).toBeGreaterThan(0);
}, 60_000);
