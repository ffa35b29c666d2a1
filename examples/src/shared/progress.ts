import { SingleBar } from 'cli-progress';

import type { ScaleName } from './seed-data.ts';
import { seed } from './seeding.ts';

export type { ScaleName };

/** Seeds with a progress bar; where the output is no terminal, with a line every few seconds. */
export async function seedWithProgress(
  file: string,
  scale: ScaleName,
  { quiet = false }: { quiet?: boolean } = {},
): Promise<void> {
  const bar = new SingleBar({
    format: `Seeding ${scale} {bar} {percentage}% {duration_formatted} {next}`,
    noTTYOutput: true,
    notTTYSchedule: 5000,
  });
  try {
    const fresh = await seed(file, scale, (done, total, next) => {
      if (done === 0) bar.start(total, 0, { next });
      else bar.update(done, { next });
    });
    if (!fresh && !quiet) console.log(`${file} is seeded already.`);
  } finally {
    bar.stop();
  }
}
