import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { differentialProperty } from '../differential/property.ts';
import { poolSchedules, runOnPool } from '../pool/model/pool-schedule.ts';
import { run, schedules } from '../pool/model/schedule.ts';
import { runInterrupts } from '../drivers/worker/interrupts-run.ts';
import { runHistories } from '../histories/run.ts';

/**
 * Runs random schedules on the engine and on the whole pool, and random programs that are compared with each of their calls alone, one
 * after the other for as long as you say, and stops at the first that fails:
 *
 *     pnpm fuzz --seconds 600
 *     pnpm fuzz --seed 42          repeats the schedules and programs of a seed
 *     pnpm fuzz --interrupts 10000 interrupts calls that share a database handle with others, so many times with each binding
 *     pnpm fuzz --histories        has real processes make histories instead, see ../histories/run.ts
 *
 * A failure is printed with its seed and path, and as the shortest schedule or program that shows it, which belongs into
 * test/pool/model/regressions.ts or test/differential/regressions.ts.
 */
const STEPS = 200;
const PROGRESS_MS = 5000;
const SHRINKING_MS = 60_000;

/** What is checked, and how often with each seed. */
const PROPERTIES = {
  engine: { property: fc.asyncProperty(schedules(STEPS), run), runs: 200 },
  pool: { property: fc.asyncProperty(poolSchedules(STEPS / 2), runOnPool), runs: 200 },
  differential: { property: differentialProperty(), runs: 50 },
};

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    histories: { type: 'boolean', default: false },
    interrupts: { type: 'string' },
  },
});

// What nobody waits for must not fail either.
process.on('unhandledRejection', (error) => {
  console.error('Unhandled rejection:', error);
  process.exit(1);
});

const seed = values.seed === undefined ? undefined : Number(values.seed);
process.exitCode =
  values.interrupts === undefined
    ? await (values.histories ? runHistories : fuzz)(Number(values.seconds) * 1000, seed)
    : await runInterrupts(Number(values.interrupts), seed ?? Date.now());

async function fuzz(forMs: number, onlySeed: number | undefined): Promise<number> {
  const start = performance.now();
  let lastProgress = start;
  const totals = { engine: 0, pool: 0, differential: 0 };
  for (let seed = onlySeed ?? Date.now() | 0; ; seed = (seed + 1) | 0) {
    for (const name of ['engine', 'pool', 'differential'] as const) {
      const { property, runs } = PROPERTIES[name];
      // Shrinking a long schedule can take longer than is worth it.
      const limits = { interruptAfterTimeLimit: SHRINKING_MS, markInterruptAsFailure: false };
      const result = await fc.check<[unknown]>(property, { numRuns: runs, seed, ...limits });
      totals[name] += result.numRuns;
      if (result.failed) return report(name, result);
    }
    const now = performance.now();
    const over = onlySeed !== undefined || now - start >= forMs;
    if (over || now - lastProgress >= PROGRESS_MS) {
      lastProgress = now;
      const seconds = Math.round((now - start) / 1000);
      console.log(
        `${String(seconds)} s: ${String(totals.engine)} schedules on the engine, ${String(totals.pool)} on the pool and ` +
          `${String(totals.differential)} programs, none failed (seed ${String(seed)})`,
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
