import { Command, Option } from 'commander';

import { seedWithProgress } from './shared/progress.ts';
import { scales, type ScaleName } from './shared/seed-data.ts';

const program = new Command('seed')
  .description(
    'Fills a database for the examples. The same scale gives the same data; a file seeded before is kept.',
  )
  .addOption(new Option('--scale <name>', 'how much data').choices(Object.keys(scales)).default('small'))
  .option('--file <path>', 'where to', 'social.db')
  .parse();

const { scale, file } = program.opts<{ scale: ScaleName; file: string }>();
try {
  await seedWithProgress(file, scale);
} catch (error) {
  program.error(`seed: ${error instanceof Error ? error.message : String(error)}`);
}
