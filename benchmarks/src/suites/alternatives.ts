import type { Benchmark, Chart, Job, Table, Target } from '../benchmark.ts';
import type { Contender } from '../contender.ts';
import {
  connectionPerQuery,
  everyone,
  fixedConnections,
  onBetterSqlite3,
  onSqlite3,
  open,
  sqlitePool,
  sqlitePoolOnSqlite3,
} from '../contenders/contenders.ts';
import { COMMENTS, POST, Reads } from '../contenders/workload.ts';
import type { Figures, Labels } from '../figures.ts';
import { hammer } from '../measure.ts';
import { shown, shownFigure } from '../results.ts';

interface Task {
  readonly name: string;
  readonly reads: 'post' | 'comments';
}

const POSTS: Labels = { reads: 'post' };
const PAGES: Labels = { reads: 'comments' };

/** As many as are in the original's load test. */
const WORKERS = 100;

export const benchmark: Benchmark<Task> = {
  name: 'alternatives',
  about: 'the same reads through whatever else there is for SQLite in Node.js',
  plan: ({ complete }) => [...jobs(POSTS), ...(complete ? jobs(PAGES) : [])],
  async measure({ name, reads }, { filename, seconds, scale }) {
    const database = await open(name, filename);
    const work = await Reads.of(database);
    const read = reads === 'post' ? () => work.post() : () => work.comments();
    await hammer({ workers: WORKERS, seconds: scale.warmUpSeconds }, read);
    const { perSecond, meanMs, p50Ms, p99Ms } = await hammer({ workers: WORKERS, seconds }, read);
    await database.close();
    return { perSecond, meanMs, p50Ms, p99Ms };
  },
  report: (figures) => ({
    tables: [
      table(figures, POSTS, POST),
      ...(isMeasured(figures, PAGES) ? [table(figures, PAGES, COMMENTS)] : []),
    ],
    targets: [...targets(figures, POSTS), ...(isMeasured(figures, PAGES) ? targets(figures, PAGES) : [])],
    charts: [chart(figures)],
  }),
};

/** Every contender, the fastest first, in the colour of its driver. */
function chart(figures: Figures): Chart {
  const values = everyone.flatMap((contender) => {
    const figure = figures.find({ labels: POSTS, variant: contender.name, metric: 'perSecond' });
    const driver = driverOf(contender);
    return figure === undefined ? [] : [{ contender: contender.name, driver, perSecond: figure.median }];
  });
  return {
    name: 'alternatives',
    title: 'Reads of a post and its author per second, 100 at once',
    spec: {
      data: { values },
      mark: 'bar',
      encoding: {
        y: { field: 'contender', type: 'nominal', sort: '-x', title: null },
        x: { field: 'perSecond', type: 'quantitative', title: 'per second' },
        color: { field: 'driver', type: 'nominal' },
      },
    },
  };
}

function driverOf(contender: Contender): string {
  if (contender === sqlitePool) return 'node:sqlite';
  return onBetterSqlite3.includes(contender) ? 'better-sqlite3' : 'sqlite3';
}

function jobs(labels: Labels): Job<Task>[] {
  return everyone.map(({ name }) => ({
    labels,
    variant: name,
    task: { name, reads: labels['reads'] as Task['reads'] },
    data: 'seeded',
  }));
}

/** By driver. */
const IN_TABLE: readonly Contender[] = [
  sqlitePool,
  sqlitePoolOnSqlite3,
  fixedConnections,
  ...onSqlite3,
  connectionPerQuery,
  ...onBetterSqlite3,
];

const isMeasured = (figures: Figures, labels: Labels): boolean =>
  figures.find({ labels, variant: sqlitePool.name, metric: 'perSecond' }) !== undefined;

/** `over`, in `under`; `undefined` if one of them could not take part. */
function ratio(figures: Figures, labels: Labels, over: Contender, under: Contender) {
  const [above, below] = [over, under].map(({ name }) => ({ labels, variant: name, metric: 'perSecond' }));
  if (!above || !below || !figures.find(above) || !figures.find(below)) return undefined;
  return figures.ratio(above, below);
}

function table(figures: Figures, labels: Labels, sql: string): Table {
  const rows = IN_TABLE.map((contender) => [
    contender.name,
    driverOf(contender),
    shownFigure(figures.find({ labels, variant: contender.name, metric: 'perSecond' })),
    ...['meanMs', 'p50Ms', 'p99Ms'].map((metric) =>
      shown(figures.find({ labels, variant: contender.name, metric })?.median ?? NaN),
    ),
    shownFigure(ratio(figures, labels, contender, sqlitePool)),
    contender.note ?? '',
  ]);
  return {
    title: labels === POSTS ? 'A post and its author, by key' : 'Twenty comments and their authors',
    head: ['', 'driver', 'per second', 'mean ms', 'p50 ms', 'p99 ms', 'in sqlite-pool', ''],
    rows,
    note:
      `${WORKERS} at once, ten connections, the same PRAGMAs, every row checked: \`${sql}\`. Those around sqlite3 call ` +
      '`db.get` and `db.all`, as their documentation has it.',
  };
}

function targets(figures: Figures, labels: Labels): Target[] {
  const [best] = onSqlite3
    .map((contender) => ({
      contender,
      value: ratio(figures, labels, sqlitePoolOnSqlite3, contender)?.median ?? Infinity,
    }))
    .sort((a, b) => a.value - b.value);
  const byHand = ratio(figures, labels, fixedConnections, sqlitePoolOnSqlite3)?.median ?? NaN;
  const what = labels === POSTS ? 'posts' : 'comments';
  return [
    {
      text: `${what}: throughput on sqlite3, in that of the best other way on it (${best?.contender.name ?? 'none'})`,
      value: best?.value ?? NaN,
      atLeast: 2,
    },
    {
      text: `${what}: time per read on sqlite3 over that of statements cached by hand on fixed connections, %`,
      value: (byHand - 1) * 100,
      atMost: 10,
    },
  ];
}
