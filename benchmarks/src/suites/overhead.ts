import type { Benchmark, Table } from '../benchmark.ts';
import { connectionPerQuery, fixedConnections, open, sqlitePool } from '../contenders/contenders.ts';
import type { Figures } from '../figures.ts';
import { Latencies } from '../measure.ts';
import { shown, shownFigure } from '../results.ts';
import type { Scale } from '../scale.ts';

interface Task {
  readonly name: string;
}

const WORKERS = 5;
const LABELS = { workers: WORKERS };
const CONTENDERS = [sqlitePool, fixedConnections, connectionPerQuery];

export const benchmark: Benchmark<Task> = {
  name: 'overhead',
  about: 'the connection overhead of aiosqlitepool: 10,000 simple SELECTs across 5 workers',
  plan: () =>
    CONTENDERS.map(({ name }) => ({ labels: LABELS, variant: name, task: { name }, data: 'seeded' })),
  async measure({ name }, { filename, scale }) {
    const database = await open(name, filename);
    const latencies = new Latencies();
    let left = selects(scale);
    const start = performance.now();
    await Promise.all(
      Array.from({ length: WORKERS }, async () => {
        while (left > 0) {
          const n = left--;
          const from = performance.now();
          const row = await database.get('SELECT ? AS n', [n]);
          latencies.add(performance.now() - from);
          if (row?.['n'] !== n) throw new Error(`SELECT ${n} was answered ${JSON.stringify(row)}.`);
        }
      }),
    );
    const { count, perSecond, meanMs, p50Ms, p99Ms } = latencies.over(performance.now() - start);
    await database.close();
    return { count, perSecond, meanMs, p50Ms, p99Ms };
  },
  report: (figures) => ({
    tables: [table(figures)],
    targets: [
      {
        text: 'mean latency of a simple SELECT, less than without the pool, %',
        value: (1 - figures.ratio(point(sqlitePool.name), point(connectionPerQuery.name)).median) * 100,
        atLeast: 85,
      },
    ],
  }),
};

/** The whole test, but for runs that are only to show that it works. */
function selects({ seconds }: Scale): number {
  return Math.min(10_000, Math.ceil(seconds * 40_000));
}

const point = (variant: string, metric = 'meanMs') => ({ labels: LABELS, variant, metric });

function table(figures: Figures): Table {
  return {
    title: `Simple SELECTs across ${WORKERS} workers`,
    head: ['', 'SELECTs', 'mean ms', 'p50 ms', 'p99 ms', 'per second'],
    rows: CONTENDERS.map(({ name }) => [
      name,
      shown(figures.at(point(name, 'count')).median),
      ...['meanMs', 'p50Ms', 'p99Ms', 'perSecond'].map((metric) =>
        shownFigure(figures.find(point(name, metric))),
      ),
    ]),
    note: 'From the first SELECT of the process on, so connections that are opened on the way count.',
  };
}
