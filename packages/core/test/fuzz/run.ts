import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { run, schedules } from '../engine/model/schedule.ts';

/**
 * Runs random schedules on the engine for as long as it is told, and stops at the first that fails:
 *
 *     pnpm fuzz --seconds 600
 *     pnpm fuzz --seed 42          repeats the schedules of a seed
 *
 * A failure is printed as the shortest schedule that shows it; it belongs into test/engine/model/regressions.ts.
 */
const STEPS = 200;
const RUNS_PER_SEED = 500;
const PROGRESS_MS = 5000;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } },
});

process.exitCode = await fuzz(
  Number(values.seconds) * 1000,
  values.seed === undefined ? undefined : Number(values.seed),
);

async function fuzz(forMs: number, onlySeed: number | undefined): Promise<number> {
  const start = performance.now();
  let lastProgress = start;
  let total = 0;
  for (let seed = onlySeed ?? Date.now() | 0; ; seed = (seed + 1) | 0) {
    const result = await fc.check(fc.asyncProperty(schedules(STEPS), run), { numRuns: RUNS_PER_SEED, seed });
    total += result.numRuns;
    if (result.failed) {
      console.error(
        `Failed: seed ${String(seed)}, path ${result.counterexamplePath ?? ''}, after ${String(total)} schedules`,
      );
      console.error(result.errorInstance);
      console.error(JSON.stringify(result.counterexample?.[0]));
      return 1;
    }
    const now = performance.now();
    const over = onlySeed !== undefined || now - start >= forMs;
    if (over || now - lastProgress >= PROGRESS_MS) {
      lastProgress = now;
      console.log(
        `${String(Math.round((now - start) / 1000))} s: ${String(total)} schedules, none failed (seed ${String(seed)})`,
      );
    }
    if (over) return 0;
  }
}
