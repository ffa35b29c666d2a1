import { setTimeout as sleep } from 'node:timers/promises';

import type { Benchmark, Chart, Job, Table, Target } from '../benchmark.ts';
import { PRAGMAS } from '../by-hand.ts';
import type { Contender } from '../contender.ts';
import { fixedConnections } from '../contenders/contenders.ts';
import { inline } from '../contenders/on-better-sqlite3.ts';
import { poolOn } from '../contenders/sqlite-pool.ts';
import { Reads } from '../contenders/workload.ts';
import type { Figures, Labels, Sample } from '../figures.ts';
import { hammer } from '../measure.ts';
import { shown, shownFigure } from '../results.ts';
import { keepAwake, wakeUpUs } from '../wake-up.ts';

interface Task {
  readonly way: string;
  readonly work: Work;
  readonly callers: number;
  readonly awake: boolean;
}

/** `point`: a row by its key. `rows`: 10,000 rows. `write`: single INSERTs. `memory`: ten connections that have read. */
type Work = 'point' | 'rows' | 'NORMAL' | 'FULL' | 'memory';

const CONNECTIONS = 10;
const ROWS = 10_000;

const onNodeSqlite = poolOn('pool, node:sqlite', async () => {
  return (await import('@sqlite-pool/core/node-sqlite')).nodeSqlite;
});
const onBetterSqlite3 = poolOn('pool, better-sqlite3', async () => {
  return (await import('@sqlite-pool/core/better-sqlite3')).betterSqlite3;
});
const onSqlite3 = poolOn('pool, sqlite3', async () => {
  return (await import('@sqlite-pool/core/sqlite3')).sqlite3;
});

const WAYS: readonly Contender[] = [onNodeSqlite, onBetterSqlite3, onSqlite3, fixedConnections, inline];

export const benchmark: Benchmark<Task> = {
  name: 'drivers',
  about: 'the same reads and writes through each driver, with the cores awake and quiet',
  plan: ({ name }) => [
    // The tests only want to see that it runs.
    ...(name === 'tiny' ? [true] : [true, false]).flatMap((awake) => [
      ...[1, 16, 100].flatMap((callers) => jobs('point', callers, awake)),
      ...jobs('rows', 1, awake),
      ...jobs('NORMAL', 64, awake),
      ...jobs('FULL', 64, awake),
    ]),
    ...jobs('memory', CONNECTIONS, true),
  ],
  async measure({ way, work, callers, awake }, { filename, seconds, scale: { warmUpSeconds } }) {
    using _ = awake ? await keepAwake() : { [Symbol.dispose]: () => undefined };
    const before = process.memoryUsage.rss();
    const cost = await wakeUpUs();
    const contender = WAYS.find(({ name }) => name === way);
    if (contender === undefined) throw new Error(`There is no way ${way}.`);
    const synchronous = work === 'FULL' ? 'FULL' : 'NORMAL';
    const began = performance.now();
    const database = await contender.open(filename, {
      connections: CONNECTIONS,
      pragmas: { ...PRAGMAS, synchronous },
    });
    const openMs = performance.now() - began;
    try {
      const call = await callOf(work, database);
      if (work === 'memory') return { openMs, ...(await memory(call, before)) };
      return { wakeUpUs: cost, ...(await measured(call, { callers, seconds, warmUpSeconds })) };
    } finally {
      await database.close();
    }
  },
  report: (figures) => ({ tables: tables(figures), targets: targets(figures), charts: [chart(figures)] }),
};

function jobs(work: Work, callers: number, awake: boolean): Job<Task>[] {
  const writes = work === 'NORMAL' || work === 'FULL';
  return WAYS.map(({ name }) => ({
    labels: labelsOf(work, callers, awake),
    variant: name,
    task: { way: name, work, callers, awake },
    data: writes ? 'new' : 'seeded',
  }));
}

function labelsOf(work: Work, callers: number, awake: boolean): Labels {
  return { work, callers, cores: awake ? 'awake' : 'quiet' };
}

async function callOf(
  work: Work,
  database: Awaited<ReturnType<Contender['open']>>,
): Promise<() => Promise<unknown>> {
  if (work === 'NORMAL' || work === 'FULL') {
    await database.run('CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)', []);
    let n = 0;
    return () => database.run('INSERT INTO t (a, b) VALUES (?, ?)', [(n += 1), 'a short text']);
  }
  if (work === 'rows') {
    const sql = `SELECT id, post_id, user_id, body, created_at FROM comments LIMIT ${String(ROWS)}`;
    const expected = (await database.all(sql, [])).length;
    return async () => {
      const rows = await database.all(sql, []);
      if (rows.length !== expected || typeof rows.at(-1)?.['body'] !== 'string')
        throw new Error(`${String(rows.length)} rows were read.`);
    };
  }
  const reads = await Reads.of(database);
  return () => reads.post();
}

/** What a loop of callers gets done, and what it costs the main thread. */
async function measured(
  call: () => Promise<unknown>,
  { callers, seconds, warmUpSeconds }: { callers: number; seconds: number; warmUpSeconds: number },
): Promise<Sample> {
  let cpu = process.threadCpuUsage();
  const { perSecond, count, p50Ms, p99Ms } = await hammer(
    { workers: callers, seconds, warmUpSeconds },
    call,
    () => (cpu = process.threadCpuUsage()),
  );
  const { user, system } = process.threadCpuUsage(cpu);
  return {
    perSecond,
    p50Us: p50Ms * 1000,
    p99Us: p99Ms * 1000,
    mainUs: (user + system) / Math.max(1, count),
  };
}

async function memory(call: () => Promise<unknown>, before: number): Promise<Sample> {
  for (let n = 0; n < 100; n += 1) await Promise.all(Array.from({ length: CONNECTIONS }, call));
  await sleep(100);
  return { rssMiB: (process.memoryUsage.rss() - before) / 2 ** 20 };
}

const CORES = ['awake', 'quiet'] as const;

function tables(figures: Figures): Table[] {
  return [
    ...[1, 16, 100].map((callers) => table(figures, 'point', callers, 'A post and its author, by key')),
    table(figures, 'rows', 1, 'Comments, 10,000 at a time'),
    table(figures, 'NORMAL', 64, 'Single INSERTs, synchronous NORMAL'),
    table(figures, 'FULL', 64, 'Single INSERTs, synchronous FULL'),
    {
      title: 'Ten connections',
      head: ['', 'MiB above a bare process', 'first connection ms'],
      rows: WAYS.map(({ name }) => [
        name,
        ...['rssMiB', 'openMs'].map((metric) =>
          shownFigure(figures.find({ labels: labelsOf('memory', CONNECTIONS, true), variant: name, metric })),
        ),
      ]),
    },
  ];
}

function table(figures: Figures, work: Work, callers: number, title: string): Table {
  const cell = (name: string, metric: string, cores: (typeof CORES)[number]): string =>
    shownFigure(figures.find({ labels: { work, callers, cores }, variant: name, metric }));
  const wakeUps = CORES.map((cores) =>
    shown(
      figures.find({ labels: { work, callers, cores }, variant: onNodeSqlite.name, metric: 'wakeUpUs' })
        ?.median ?? NaN,
    ),
  );
  return {
    title: `${title}, ${String(callers)} at once`,
    head: [
      '',
      'per second, awake',
      'quiet',
      'p50 µs, awake',
      'quiet',
      'main thread µs per call, awake',
      'quiet',
    ],
    rows: WAYS.map(({ name }) => [
      name,
      ...['perSecond', 'p50Us', 'mainUs'].flatMap((metric) =>
        CORES.map((cores) => cell(name, metric, cores)),
      ),
    ]),
    note: `Waking a thread took ${wakeUps[0] ?? '–'} µs with the cores awake and ${wakeUps[1] ?? '–'} µs quiet.`,
  };
}

/** A figure of one way in that of another. */
function ratio(figures: Figures, over: Contender, under: Contender, labels: Labels, metric: string): number {
  const point = ({ name }: Contender) => ({ labels, variant: name, metric });
  return figures.ratio(point(over), point(under)).median;
}

function targets(figures: Figures): Target[] {
  const awake = (work: Work, callers: number): Labels => labelsOf(work, callers, true);
  const of = (over: Contender, under: Contender, labels: Labels, metric: string): number =>
    ratio(figures, over, under, labels, metric);
  return [
    ...[16, 100].map((callers) => ({
      text: `point reads at ${String(callers)} callers, in those on sqlite3`,
      value: of(onNodeSqlite, onSqlite3, awake('point', callers), 'perSecond'),
      atLeast: 2,
    })),
    ...(isMeasured(figures, labelsOf('point', 100, false)) ? [quietTarget(figures)] : []),
    {
      text: 'main thread per point read at 16 callers, in that on sqlite3',
      value: of(onNodeSqlite, onSqlite3, awake('point', 16), 'mainUs'),
      atMost: 0.35,
    },
    {
      text: 'main thread per point read at 16 callers, in that of better-sqlite3 inline',
      value: of(onNodeSqlite, inline, awake('point', 16), 'mainUs'),
      atMost: 0.8,
    },
    {
      text: 'main thread for 10,000 rows, in that of better-sqlite3 inline',
      value: of(onNodeSqlite, inline, awake('rows', 1), 'mainUs'),
      atMost: 0.35,
    },
    {
      text: 'p50 at one caller, in that of the sqlite3 package by hand',
      value: of(onNodeSqlite, fixedConnections, awake('point', 1), 'p50Us'),
      atMost: 1.3,
    },
    {
      text: 'MiB of ten connections above a bare process',
      value: figures.at({
        labels: awake('memory', CONNECTIONS),
        variant: onNodeSqlite.name,
        metric: 'rssMiB',
      }).median,
      atMost: 110,
    },
  ];
}

const isMeasured = (figures: Figures, labels: Labels): boolean =>
  figures.find({ labels, variant: onNodeSqlite.name, metric: 'perSecond' }) !== undefined;

const quietTarget = (figures: Figures): Target => ({
  text: 'point reads at 100 callers, quiet, in those on sqlite3',
  value: ratio(figures, onNodeSqlite, onSqlite3, labelsOf('point', 100, false), 'perSecond'),
  atLeast: 1.5,
});

function chart(figures: Figures): Chart {
  const values = WAYS.flatMap(({ name }) =>
    [1, 16, 100].flatMap((callers) => {
      const figure = figures.find({
        labels: labelsOf('point', callers, true),
        variant: name,
        metric: 'perSecond',
      });
      return figure === undefined ? [] : [{ way: name, callers, perSecond: figure.median }];
    }),
  );
  return {
    name: 'drivers',
    title: 'Reads of a post and its author per second, with the cores awake',
    spec: {
      data: { values },
      mark: 'bar',
      encoding: {
        y: { field: 'callers', type: 'ordinal', title: 'at once' },
        yOffset: { field: 'way', sort: WAYS.map(({ name }) => name) },
        x: { field: 'perSecond', type: 'quantitative', title: 'per second' },
        color: { field: 'way', type: 'nominal', sort: WAYS.map(({ name }) => name) },
      },
    },
  };
}
