import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import { Argument, Command, InvalidArgumentError, Option } from 'commander';

import { load, names } from './benchmarks.ts';
import { writeCharts } from './charts.ts';
import { cache, seededFile } from './data.ts';
import { describeMachine } from './machine.ts';
import { updateReadme, updateSummary } from './readme.ts';
import { absent, readAllResults, resultsOf, writeResults, type Results } from './results.ts';
import { countRuns, runAll } from './run.ts';
import { scales, type Scale, type ScaleName } from './scale.ts';

interface Options {
  readonly scale: ScaleName;
  readonly rounds?: number;
  readonly seconds?: number;
  readonly warmUpSeconds?: number;
  readonly out?: string;
}

async function bench(what: readonly string[], { out = home, scale: name, ...given }: Options): Promise<void> {
  const chosen = await Promise.all((what.length > 0 ? what : names).map(load));
  const scale: Scale = { ...scales[name], ...given };
  const seeded = await seededFile(scale.data);
  const machine = describeMachine(cache);
  const bar = new SingleBar({
    format: '{bar} {value}/{total} {duration_formatted} {next}',
    noTTYOutput: true,
    notTTYSchedule: 10_000,
  });
  const results: Results[] = [];
  for (const benchmark of chosen) {
    console.log(`\n${benchmark.name}: ${benchmark.about}`);
    bar.start(countRuns(benchmark, scale), 0, { next: '' });
    const figures = await runAll(benchmark, scale, seeded, (done, next) =>
      bar.update(done, { next }),
    ).finally(() => bar.stop());
    const report = benchmark.report(figures);
    const result = resultsOf(benchmark.name, machine, scale, report, figures);
    await writeResults(join(out, 'results'), result);
    await writeCharts(join(out, 'charts'), report.charts ?? []);
    show(result);
    results.push(result);
  }
  if (out !== home) return;
  await updateReadme(join(home, 'README.md'), results);
  await updateSummary(join(home, 'README.md'), await readAllResults(join(home, 'results'), names));
}

function show(results: Results): void {
  const { tables, targets } = results;
  for (const { title, head, rows, note } of tables) {
    const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
    table.push(...rows.map((row) => [...row]));
    console.log(`\n${title}\n${table.toString()}`);
    if (note !== undefined) console.log(note);
  }
  for (const line of absent(results)) console.log(`Not measured: ${line}`);
  if (targets.length > 0) console.log('');
  for (const { text, verdict } of targets) console.log(`${text}: ${verdict}`);
}

const home = fileURLToPath(new URL('..', import.meta.url));

function positive(text: string): number {
  if (Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('It must be a number above 0.');
}

function whole(text: string): number {
  if (Number.isInteger(positive(text))) return Number(text);
  throw new InvalidArgumentError('It must be a whole number.');
}

// pnpm passes the "--" of `pnpm bench -- writes` on, which would turn options into arguments.
const args = process.argv.slice(2);
const program = new Command('bench')
  .description(
    'Measures the pool. Results, charts and the tables of README.md in benchmarks/ are written anew.',
  )
  .addArgument(new Argument('[what...]', 'which benchmarks; all of them if none is named').choices(names))
  .addOption(new Option('--scale <name>', 'how much').choices(Object.keys(scales)).default('default'))
  .addOption(new Option('--rounds <number>', 'how often each is measured').argParser(whole))
  .addOption(new Option('--seconds <number>', 'how long each run measures').argParser(positive))
  .addOption(
    new Option('--warm-up-seconds <number>', 'how long each run does the same before').argParser(positive),
  )
  .option('--out <folder>', 'where results and charts go; default: here')
  .parse(args[0] === '--' ? args.slice(1) : args, { from: 'user' });

// Ctrl-C ends the run's process too, which is how this one learns of it, and cleans up.
process.once('SIGINT', () => undefined);

try {
  await bench(program.args, program.opts<Options>());
} catch (error) {
  program.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
}
