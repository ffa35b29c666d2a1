import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { seedWithProgress, type ScaleName } from '@sqlite-pool/examples/seeding';

import type { Job } from './benchmark.ts';

/** Kept between runs; delete it whenever you like. */
export const cache: string = fileURLToPath(new URL('../.cache', import.meta.url));

/** The file with the data set of a scale, which is made if it is not there. */
export async function seededFile(scale: ScaleName): Promise<string> {
  await mkdir(cache, { recursive: true });
  const file = join(cache, `${scale}.db`);
  await seedWithProgress(file, scale, { quiet: true });
  return file;
}

/** A database for one run; what is not the seeded one is removed with its directory afterwards. */
export async function databaseFor(
  data: Job<unknown>['data'],
  seeded: string,
): Promise<{ filename: string } & AsyncDisposable> {
  if (data === 'seeded') return { filename: seeded, [Symbol.asyncDispose]: async () => undefined };
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, 'run-'));
  const filename = join(directory, 'bench.db');
  if (data === 'copy') await copyFile(seeded, filename);
  return { filename, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}
