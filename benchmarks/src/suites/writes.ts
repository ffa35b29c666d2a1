import type { Benchmark, Chart, Job, Table, Target } from '../benchmark.ts';
import type { Entry, Figures, Labels } from '../figures.ts';
import { shown, shownFigure } from '../results.ts';
import { check, LONGER, measure, type Synchronous, type Task, type Way } from './writers.ts';

const NAMES: Readonly<Record<Way, string>> = {
  pool: 'sqlite-pool',
  ungrouped: 'sqlite-pool, groupCommit: false',
  hand: 'sqlite3 by hand',
};

/** More writers than libuv has threads: by hand, a stall of several busy timeouts. */
const THREADS = 4;

export const benchmark: Benchmark<Task> = {
  name: 'writes',
  about: 'writers on one file, and reads that never end, beside the same without the pool',
  plan: ({ complete }) => (complete ? everything() : theMost()),
  measure,
  check,
  report(figures) {
    const entries = figures.entries();
    return {
      tables: [
        writesTable('Transactions: BEGIN, UPDATE, COMMIT', entries.filter(isKind('transactions'))),
        writesTable('Single INSERTs', entries.filter(isKind('inserts'))),
        endlessTable(entries.filter(isKind('endless'))),
      ],
      targets: targets(figures),
      charts: [chart('transactions', entries), chart('inserts', entries)],
    };
  },
};

function everything(): Job<Task>[] {
  const kinds = ['transactions', 'inserts'] as const;
  const writes = kinds.flatMap((kind) =>
    (['NORMAL', 'FULL'] as const).flatMap((synchronous) =>
      [1, 4, 8, 16, 64].flatMap((workers) => writers(kind, synchronous, workers)),
    ),
  );
  return [...writes, ...endless(4), ...endless(8)];
}

function theMost(): Job<Task>[] {
  return [
    ...[1, 4, 16, 64].flatMap((workers) => writers('transactions', 'NORMAL', workers)),
    ...writers('inserts', 'FULL', 64),
    ...endless(4),
  ];
}

function writers(kind: 'transactions' | 'inserts', synchronous: Synchronous, workers: number): Job<Task>[] {
  // Only single statements are committed in groups.
  const ways: Way[] = kind === 'inserts' ? ['pool', 'ungrouped', 'hand'] : ['pool', 'hand'];
  return ways.map((way) => ({
    labels: { kind, synchronous, writers: workers },
    variant: NAMES[way],
    task: { kind, way, workers, synchronous },
    once: way === 'hand' && kind === 'transactions' && workers > THREADS,
  }));
}

function endless(readers: number): Job<Task>[] {
  return (['pool', 'hand'] as const).map((way) => ({
    labels: { kind: 'endless', readers },
    variant: NAMES[way],
    task: { kind: 'endless', way, workers: readers },
  }));
}

const isKind = (kind: Task['kind']) => (entry: Entry) => entry.labels['kind'] === kind;

function writesTable(title: string, entries: readonly Entry[]): Table {
  return {
    title,
    head: [
      'synchronous',
      'writers',
      '',
      'per second',
      'p50 ms',
      'p99 ms',
      'max ms',
      'BUSY',
      'readFile p99 ms',
      'idle',
      'in idle ones',
      'acknowledged',
      'present',
    ],
    rows: entries.map(({ labels, variant, metrics }) => [
      String(labels['synchronous']),
      String(labels['writers']),
      variant,
      shownFigure(metrics['perSecond']),
      ...[
        'p50Ms',
        'p99Ms',
        'maxMs',
        'busy',
        'fileP99Ms',
        'idleP99Ms',
        'fileRatio',
        'acknowledged',
        'present',
      ].map((name) => shown(metrics[name]?.median ?? NaN)),
    ]),
    note:
      'readFile is an unrelated `fs.readFile` every 5 ms meanwhile, idle the same with no writers afterwards (before, with ' +
      'transactions by hand), and the ratio the median of those of the rounds. By hand, a run ends when all writers have come back, or twelve times the time later; what was under way then counts with the time it took so far. ' +
      `At full, all of this is measured for ${LONGER.measure} times as long as is said above.`,
  };
}

function endlessTable(entries: readonly Entry[]): Table {
  return {
    title: 'SELECTs that never end, and `fs.readFile` beside them',
    head: ['readers', '', 'readFile p50 ms', 'p99 ms', 'max ms', 'idle p99 ms'],
    rows: entries.map(({ labels, variant, metrics }) => [
      String(labels['readers']),
      variant,
      ...['fileP50Ms', 'fileP99Ms', 'fileMaxMs', 'idleP99Ms'].map((name) => shownFigure(metrics[name])),
    ]),
  };
}

function targets(figures: Figures): Target[] {
  const pools = figures.entries().filter(({ variant }) => variant !== NAMES.hand);
  const writes = pools.filter(({ labels }) => labels['kind'] !== 'endless');
  const missing = writes.flatMap(({ metrics }) =>
    (metrics['acknowledged']?.rounds ?? []).map(
      (acknowledged, round) => acknowledged - (metrics['present']?.rounds[round] ?? 0),
    ),
  );
  return [
    { text: 'SQLITE_BUSY through the pool', value: worst(writes, 'busy'), atMost: 0 },
    { text: 'acknowledged writes that are not there', value: Math.max(0, ...missing), atMost: 0 },
    ...sixteenWriters(figures, writes),
    ...grouped(figures),
    besideWriters(writes),
    ...pools.filter(isKind('endless')).map(({ labels, metrics }) => ({
      text: `readFile p99 beside ${labels['readers']} endless SELECTs, ms`,
      value: metrics['fileP99Ms']?.median ?? NaN,
      atMost: 25,
    })),
  ];
}

const worst = (entries: readonly Entry[], metric: string) =>
  Math.max(...entries.flatMap(({ metrics }) => metrics[metric]?.max ?? []));

/** Where it is worst; the median over the rounds, because one slow read decides the p99 of a short run. */
function besideWriters(entries: readonly Entry[]): Target {
  const ratios = entries
    .filter(({ variant }) => variant === NAMES.pool)
    .map(({ labels, metrics }) => ({ labels, ratio: metrics['fileRatio']?.median ?? NaN }))
    .sort((a, b) => b.ratio - a.ratio);
  const { labels = {}, ratio = NaN } = ratios[0] ?? {};
  return {
    text: `readFile p99 beside writers, in idle ones, at its worst (${describe(labels)})`,
    value: ratio,
    atMost: 3,
  };
}

/** More writers must not cost throughput. */
function sixteenWriters(figures: Figures, entries: readonly Entry[]): Target[] {
  return entries
    .filter(({ labels, variant }) => labels['writers'] === 16 && variant === NAMES.pool)
    .map(({ labels, variant }) => {
      const metric = 'perSecond';
      const one = { labels: { ...labels, writers: 1 }, variant, metric };
      return {
        text: `throughput of ${describe(labels)}, in that of one`,
        value: figures.ratio({ labels, variant, metric }, one).median,
        atLeast: 0.8,
      };
    });
}

function grouped(figures: Figures): Target[] {
  const labels = { kind: 'inserts', synchronous: 'FULL', writers: 64 };
  const metric = 'perSecond';
  const alone = { labels, variant: NAMES.ungrouped, metric };
  const { median } = figures.ratio({ labels, variant: NAMES.pool, metric }, alone);
  return [
    { text: `throughput of ${describe(labels)}, in that of the gate alone`, value: median, atLeast: 5 },
  ];
}

function describe({ kind, synchronous, writers: count }: Labels): string {
  return `${count} writers, ${kind}, ${synchronous}`;
}

function chart(kind: 'transactions' | 'inserts', entries: readonly Entry[]): Chart {
  const values = entries.filter(isKind(kind)).map(({ labels, variant, metrics }) => ({
    writers: labels['writers'],
    synchronous: `synchronous = ${labels['synchronous']}`,
    variant,
    // A logarithm has no zero.
    perSecond: Math.max(0.1, metrics['perSecond']?.median ?? NaN),
  }));
  const title = `${kind === 'inserts' ? 'Single INSERTs' : 'Transactions'} per second, by the number of writers`;
  return {
    name: `writes-${kind}`,
    title,
    spec: {
      data: { values },
      facet: { column: { field: 'synchronous', type: 'nominal', title: null, sort: null } },
      spec: {
        width: 260,
        height: 300,
        mark: { type: 'line', point: true },
        encoding: {
          x: { field: 'writers', type: 'ordinal', title: 'writers', axis: { labelAngle: 0 } },
          y: {
            field: 'perSecond',
            type: 'quantitative',
            title: 'per second',
            scale: { type: 'log' },
            axis: { values: [0.1, 1, 10, 100, 1000, 10_000, 100_000] },
          },
          // The transactions have two of these only: the same colours in both charts.
          color: { field: 'variant', type: 'nominal', sort: [NAMES.pool, NAMES.hand, NAMES.ungrouped] },
        },
      },
    },
  };
}
