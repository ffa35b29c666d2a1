import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { poolSchedules, runOnPool } from '../engine/model/pool-schedule.ts';
import { run, schedules } from '../engine/model/schedule.ts';
import { runHistories } from '../histories/run.ts';

/**
 * Runs random schedules on the engine and on the whole pool, in turn, for as long as it is told, and stops at the first
 * that fails:
 *
 *     pnpm fuzz --seconds 600
 *     pnpm fuzz --seed 42          repeats the schedules of a seed
 *     pnpm fuzz --histories        has real processes make histories instead, see ../histories/run.ts
 *
 * A failure is printed with its seed and path, and as the shortest schedule that shows it, which belongs into
 * test/engine/model/regressions.ts.
 */
const STEPS = 200;
const RUNS_PER_SEED = 200;
const PROGRESS_MS = 5000;
const SHRINKING_MS = 60_000;

const PROPERTIES = {
  engine: fc.asyncProperty(schedules(STEPS), run),
  pool: fc.asyncProperty(poolSchedules(STEPS / 2), runOnPool),
};

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    histories: { type: 'boolean', default: false },
  },
});

// What nobody waits for must not fail either.
process.on('unhandledRejection', (error) => {
  console.error('Unhandled rejection:', error);
  process.exit(1);
});

process.exitCode = await (values.histories ? runHistories : fuzz)(
  Number(values.seconds) * 1000,
  values.seed === undefined ? undefined : Number(values.seed),
);

async function fuzz(forMs: number, onlySeed: number | undefined): Promise<number> {
  const start = performance.now();
  let lastProgress = start;
  const totals = { engine: 0, pool: 0 };
  for (let seed = onlySeed ?? Date.now() | 0; ; seed = (seed + 1) | 0) {
    for (const name of ['engine', 'pool'] as const) {
      // Shrinking a long schedule can take longer than is worth it.
      const limits = { interruptAfterTimeLimit: SHRINKING_MS, markInterruptAsFailure: false };
      const result = await fc.check<[unknown]>(PROPERTIES[name], { numRuns: RUNS_PER_SEED, seed, ...limits });
      totals[name] += result.numRuns;
      if (result.failed) return report(name, result);
    }
    const now = performance.now();
    const over = onlySeed !== undefined || now - start >= forMs;
    if (over || now - lastProgress >= PROGRESS_MS) {
      lastProgress = now;
      const seconds = Math.round((now - start) / 1000);
      console.log(
        `${String(seconds)} s: ${String(totals.engine)} schedules on the engine and ${String(totals.pool)} on the pool, none failed (seed ${String(seed)})`,
      );
    }
    if (over) return 0;
  }
}

function report(
  name: string,
  { seed, counterexamplePath, counterexample, errorInstance }: fc.RunDetails<[unknown]>,
): number {
  console.error(`Failed on the ${name}: seed ${String(seed)}, path ${String(counterexamplePath)}`);
  console.error(errorInstance);
  console.error(JSON.stringify(counterexample?.[0]));
  return 1;
}
