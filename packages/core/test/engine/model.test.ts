import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REGRESSIONS } from './model/regressions.ts';
import { run, schedules } from './model/schedule.ts';

/** As many as fit into a few seconds; `pnpm fuzz --seconds 600` runs more. */
const RUNS = 8000;
const STEPS = 80;

describe('the engine under random schedules', () => {
  it(`holds every invariant after every step of ${String(RUNS)} schedules`, { timeout: 60_000 }, async () => {
    await fc.assert(fc.asyncProperty(schedules(STEPS), run), { numRuns: RUNS });
  });

  it.for(REGRESSIONS)('still holds them where they once did not: $title', async ({ schedule }) => {
    await expect(run(schedule)).resolves.toBeUndefined();
  });
});
