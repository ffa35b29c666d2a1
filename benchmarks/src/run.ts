import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { Benchmark, Job, Place } from './benchmark.ts';
import { databaseFor } from './data.ts';
import { Figures, type Sample } from './figures.ts';
import type { Scale } from './scale.ts';

/** The task of a child. */
export interface Order {
  readonly benchmark: string;
  readonly task: unknown;
  readonly place: Place;
}

/** What it answers. */
export type Answer =
  { readonly sample: Sample } | { readonly unavailable: string } | { readonly failed: string };

/** Far longer than a run takes: the slowest, writers that lock each other out, take 8 and 56 times these at `full`. */
function tooLongMs({ warmUpSeconds, seconds }: Scale): number {
  return Math.ceil((30 + 20 * warmUpSeconds + 70 * seconds) * 1000);
}

const child = fileURLToPath(new URL('child.ts', import.meta.url));

/** Called before each run: how many are done, and which is next. */
export type OnRun = (done: number, next: string) => void;

export function countRuns(benchmark: Benchmark<unknown>, scale: Scale): number {
  return benchmark.plan(scale).reduce((runs, job) => runs + (job.once ? 1 : scale.rounds), 0);
}

/** Runs every job once, then every job again: a machine that slows down does so for all. */
export async function runAll(
  benchmark: Benchmark<unknown>,
  scale: Scale,
  seeded: string,
  onRun: OnRun,
): Promise<Figures> {
  const figures = new Figures();
  let done = 0;
  for (let round = 0; round < scale.rounds; round++) {
    for (const job of benchmark.plan(scale)) {
      if (job.once && round > 0) continue;
      onRun(done++, [...Object.values(job.labels), job.variant].join(' '));
      const answer = await runOne(benchmark, job, scale, seeded);
      if ('sample' in answer) figures.add(job.labels, job.variant, answer.sample);
      else figures.addUnavailable(job.labels, job.variant, answer.unavailable);
    }
  }
  return figures;
}

async function runOne(
  benchmark: Benchmark<unknown>,
  job: Job<unknown>,
  scale: Scale,
  seeded: string,
): Promise<Exclude<Answer, { failed: string }>> {
  await using database = await databaseFor(job.data, seeded);
  const place = { filename: database.filename, seconds: scale.seconds, scale };
  const answer = await inChild(job, { benchmark: benchmark.name, task: job.task, place });
  if ('failed' in answer) throw new Error(`${describe(benchmark, job)} failed. ${answer.failed}`);
  if (!('sample' in answer)) return answer;
  return { sample: { ...answer.sample, ...benchmark.check?.(job.task, place, answer.sample) } };
}

async function inChild(job: Job<unknown>, order: Order): Promise<Answer> {
  const { UV_THREADPOOL_SIZE: _, ...env } = process.env;
  const process_ = fork(child, {
    env,
    execArgv: ['--disable-warning=ExperimentalWarning', ...(job.execArgv ?? [])],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  try {
    process_.send(order);
    return await Promise.race([answerOf(process_, order.place.scale), exitOf(process_)]);
  } finally {
    // It may have threads that sleep in SQLite for seconds to come, and an exit would wait for those.
    process_.kill('SIGKILL');
    if (process_.exitCode === null && process_.signalCode === null) await once(process_, 'exit');
  }
}

async function answerOf(process_: ChildProcess, scale: Scale): Promise<Answer> {
  const late = AbortSignal.timeout(tooLongMs(scale));
  const [answer] = (await once(process_, 'message', { signal: late })) as [Answer];
  return answer;
}

async function exitOf(process_: ChildProcess): Promise<never> {
  const [code, signal] = (await once(process_, 'exit')) as [number | null, string | null];
  throw new Error(`A run ended without an answer: ${signal ?? `exit code ${code}`}.`);
}

function describe(benchmark: Benchmark<unknown>, { labels, variant }: Job<unknown>): string {
  return `${benchmark.name} ${JSON.stringify(labels)} ${variant}`;
}
