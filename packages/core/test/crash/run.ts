/**
 * Kills a committing process many times, at random moments, and stops at the first time that something is lost:
 *
 *     pnpm test:crash --rounds 1000
 *     pnpm test:crash --seed 42        the same moments again, as far as the machine keeps time
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Presets, SingleBar } from 'cli-progress';
import { crash, randomOf } from './round.ts';

/** A new file so often: the checks of a round take longer as its file grows. */
const ROUNDS_PER_FILE = 20;

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '200' }, seed: { type: 'string' } },
});
const seed = values.seed === undefined ? Date.now() | 0 : Number(values.seed);
process.exitCode = await run(Number(values.rounds), seed);

async function run(rounds: number, seed: number): Promise<number> {
  console.log(`Seed ${String(seed)}`);
  const random = randomOf(seed);
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  const bar = new SingleBar(
    { format: '{bar} {value}/{total} kills, {commits} commits, {eta} s left' },
    Presets.shades_classic,
  );
  if (process.stdout.isTTY) bar.start(rounds, 0, { commits: 0 });
  let commits = 0;
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const filename = join(directory, `${String(Math.ceil(round / ROUNDS_PER_FILE))}.db`);
      const { acknowledged, faults } = await crash(filename, round, random);
      commits += acknowledged;
      bar.update(round, { commits });
      if (faults.length > 0) {
        console.error(`\nRound ${String(round)}, file ${filename}:\n${faults.join('\n')}`);
        return 1;
      }
    }
  } finally {
    bar.stop();
  }
  await rm(directory, { recursive: true });
  console.log(`${String(rounds)} kills, ${String(commits)} acknowledged commits, none lost`);
  return 0;
}
