import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shareOf } from '../share.ts';
import { run } from './differential.ts';
import { differentialProperty } from './property.ts';
import { REGRESSIONS } from './regressions.ts';

/** `pnpm fuzz --seconds 600` runs more. */
const RUNS = shareOf(250);

describe('callers of a pool at the same time', () => {
  it(
    `F67 F68 F69 get the results of each call alone, and leave the same file, in ${String(RUNS)} random programs`,
    { timeout: 120_000 },
    async () => {
      await fc.assert(differentialProperty(), { numRuns: RUNS });
    },
  );

  it.for(REGRESSIONS)('do not see again what was wrong once: $title', async ({ program }) => {
    await expect(run(program)).resolves.toBeUndefined();
  });
});
