import type { Benchmark, Table } from '../benchmark.ts';
import { connectionPerQuery, open, oneConnection, sqlitePool } from '../contenders/contenders.ts';
import { POST, Reads } from '../contenders/workload.ts';
import type { Figures, Sample } from '../figures.ts';
import { hammer, Latencies } from '../measure.ts';
import { shown, shownFigure } from '../results.ts';

interface Task {
  readonly name: string;
}

const REQUESTS = 1000;
const WORKERS = 100;
const LABELS = { requests: REQUESTS, workers: WORKERS };
const CONTENDERS = [sqlitePool, oneConnection, connectionPerQuery];

export const benchmark: Benchmark<Task> = {
  name: 'load',
  about: 'the load test of aiosqlitepool: 1,000 requests across 100 workers, with and without the pool',
  plan: () =>
    CONTENDERS.map(({ name }) => ({ labels: LABELS, variant: name, task: { name }, data: 'seeded' })),
  async measure({ name }, { filename, seconds, scale }) {
    const database = await open(name, filename);
    const reads = await Reads.of(database);
    // The process has just begun: its first thousand requests open connections, and find no code compiled.
    const first = await batches(reads, 0);
    await hammer({ workers: WORKERS, seconds: scale.warmUpSeconds }, () => reads.post());
    const then = await batches(reads, seconds);
    await database.close();
    return { ...then, firstPerSecond: first['perSecond'] ?? NaN };
  },
  report: (figures) => ({
    tables: [table(figures)],
    targets: [
      {
        text: 'throughput of the load test, in that without the pool',
        value: figures.ratio(point(sqlitePool.name), point(connectionPerQuery.name)).median,
        atLeast: 10,
      },
    ],
  }),
};

const point = (variant: string, metric = 'perSecond') => ({ labels: LABELS, variant, metric });

/** A thousand requests, and again until the time is over. */
async function batches(reads: Reads, seconds: number): Promise<Sample> {
  const latencies = new Latencies();
  const start = performance.now();
  let elapsed: number;
  do {
    let left = REQUESTS;
    await Promise.all(
      Array.from({ length: WORKERS }, async () => {
        while (left > 0) {
          left -= 1;
          const from = performance.now();
          await reads.post();
          latencies.add(performance.now() - from);
        }
      }),
    );
    elapsed = performance.now() - start;
  } while (elapsed < seconds * 1000);
  const { perSecond, meanMs, p50Ms, p90Ms, p99Ms } = latencies.over(elapsed);
  return { perSecond, meanMs, p50Ms, p90Ms, p99Ms };
}

function table(figures: Figures): Table {
  return {
    title: `${shown(REQUESTS)} requests across ${WORKERS} workers`,
    head: ['', 'per second', 'mean ms', 'median ms', 'p90 ms', 'p99 ms', 'the first 1,000, per second'],
    rows: CONTENDERS.map(({ name }) => [
      name,
      ...['perSecond', 'meanMs', 'p50Ms', 'p90Ms', 'p99Ms', 'firstPerSecond'].map((metric) =>
        shownFigure(figures.find(point(name, metric))),
      ),
    ]),
    note: `Again and again until the time is over, after a first thousand that is counted apart and a time to warm up. A request is \`${POST}\`.`,
  };
}
