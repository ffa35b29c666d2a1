import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { beforeAll, describe, expect, it } from 'vitest';

import type { Benchmark, Job } from '../src/benchmark.ts';
import { load } from '../src/benchmarks.ts';
import { seededFile } from '../src/data.ts';
import { runAll } from '../src/run.ts';
import { scales } from '../src/scale.ts';
import { check } from '../src/suites/writers.ts';

let seeded = '';
beforeAll(async () => {
  seeded = await seededFile('tiny');
});

/** The benchmark `threads`, with other jobs. */
async function withJobs(jobs: readonly Job<unknown>[]): Promise<Benchmark<unknown>> {
  return { ...(await load('threads')), plan: () => jobs };
}

const job = (variant: string, poolSize = 1, once = false): Job<unknown> => ({
  labels: {},
  variant,
  task: { load: 'point', poolSize },
  data: 'seeded',
  once,
});

describe('a benchmark', () => {
  it('measures one variant after the other, then all of them again, and what takes long only once', async () => {
    const order: string[] = [];
    const benchmark = await withJobs([job('a'), job('b', 1, true), job('c')]);
    const figures = await runAll(benchmark, { ...scales.tiny, rounds: 2 }, seeded, (_, next) =>
      order.push(next),
    );
    expect(order).toEqual(['a', 'b', 'c', 'a', 'c']);
    expect(figures.entries().map(({ metrics }) => metrics['perSecond']?.rounds.length)).toEqual([2, 1, 2]);
  });

  it('ends with the name of the run that failed, and why', async () => {
    const benchmark = await withJobs([job('a'), job('broken', -1)]);
    await expect(runAll(benchmark, scales.tiny, seeded, () => undefined)).rejects.toThrow(
      /^threads {} broken failed\. [^]*poolSize/,
    );
  });

  it('ends when a run dies without an answer', async () => {
    const benchmark = await withJobs([{ ...job('dies'), data: 'new', execArgv: ['--no-such-flag'] }]);
    await expect(runAll(benchmark, scales.tiny, seeded, () => undefined)).rejects.toThrow(
      'A run ended without an answer: exit code 9.',
    );
  });
});

describe('the writes that were acknowledged', () => {
  const task = { kind: 'inserts', way: 'pool', workers: 1, synchronous: 'FULL' } as const;

  it.each([
    { acknowledged: 3, inFlight: 0, wrong: false },
    { acknowledged: 2, inFlight: 1, wrong: false },
    { acknowledged: 4, inFlight: 0, wrong: true },
    { acknowledged: 2, inFlight: 0, wrong: true },
  ])('are compared with those that are there: %j', async ({ wrong, ...sample }) => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'sqlite-pool-bench-'));
    const place = { filename: join(directory.path, 'bench.db'), seconds: 1, scale: scales.tiny };
    using database = new DatabaseSync(place.filename);
    database.exec('CREATE TABLE events (id INTEGER PRIMARY KEY); INSERT INTO events VALUES (1), (2), (3);');
    if (wrong) expect(() => check(task, place, sample)).toThrow('were acknowledged');
    else expect(check(task, place, sample)).toEqual({ present: 3 });
  });
});
