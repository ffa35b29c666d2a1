import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shareOf } from '../share.ts';
import { poolSchedules, runOnPool } from './model/pool-schedule.ts';
import { ENGINE_REGRESSIONS, POOL_REGRESSIONS } from './model/regressions.ts';
import { run, schedules } from './model/schedule.ts';

/** `pnpm fuzz --seconds 600` runs more, and longer ones. */
const ENGINE = { runs: shareOf(8000), steps: 80 };
const POOL = { runs: shareOf(3000), steps: 40 };

describe('the engine under random schedules', () => {
  it(
    `holds every invariant after every step of ${String(ENGINE.runs)} schedules`,
    { timeout: 60_000 },
    async () => {
      await fc.assert(fc.asyncProperty(schedules(ENGINE.steps), run), { numRuns: ENGINE.runs });
    },
  );

  it.for(ENGINE_REGRESSIONS)('does not do again what it did once: $title', async ({ schedule }) => {
    await expect(run(schedule)).resolves.toBeUndefined();
  });
});

describe('the pool under random schedules, with a driver that does what it likes', () => {
  it(
    `holds every invariant after every step of ${String(POOL.runs)} schedules`,
    { timeout: 60_000 },
    async () => {
      await fc.assert(fc.asyncProperty(poolSchedules(POOL.steps), runOnPool), { numRuns: POOL.runs });
    },
  );

  it.for(POOL_REGRESSIONS)('does not do again what it did once: $title', async ({ schedule }) => {
    await expect(runOnPool(schedule)).resolves.toBeUndefined();
  });
});
