import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findHere, interruptibleDriver, interruptMany } from './interrupts.ts';

const PROGRESS_MS = 5000;

/** Interrupts random calls, so many times with each binding, and says what exit code the process ends with. */
export async function runInterrupts(rounds: number, seed: number): Promise<number> {
  const path = createRequire(import.meta.url).resolve('better-sqlite3');
  if ((await findHere({ name: 'node:sqlite' })) === undefined) {
    console.error('There is no extension that interrupts for this platform.');
    return 1;
  }
  for (const binding of [{ name: 'node:sqlite' }, { name: 'better-sqlite3', path }] as const) {
    const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-interrupts-'));
    let lastProgress = performance.now();
    try {
      const driver = interruptibleDriver(binding)({ filename: join(directory, 'app.db'), threads: 1 });
      await interruptMany(driver, rounds, randomFrom(seed), (round, interrupted) => {
        const now = performance.now();
        if (round < rounds && now - lastProgress < PROGRESS_MS) return;
        lastProgress = now;
        console.log(
          `${binding.name}: ${String(round)} interrupts, ${String(interrupted)} in time, none hit another call (seed ${String(seed)})`,
        );
      });
    } catch (error) {
      console.error(`Failed with ${binding.name}: seed ${String(seed)}`);
      console.error(error);
      return 1;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  return 0;
}

/** https://en.wikipedia.org/wiki/Lehmer_random_number_generator */
function randomFrom(seed: number): () => number {
  let state = 1 + (Math.abs(seed) % 2_147_483_646);
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}
