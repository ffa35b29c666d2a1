import { setImmediate } from 'node:timers/promises';

import { createPool } from '@sqlite-pool/core';
import BetterSqlite3 from 'better-sqlite3';

import type { Benchmark, Chart, Place } from '../benchmark.ts';
import { PRAGMAS, pragmaSql } from '../by-hand.ts';
import type { Row } from '../contender.ts';
import type { Figures, Labels, Sample } from '../figures.ts';
import { arrive, hammer, Latencies, probeEventLoop } from '../measure.ts';
import { shown, shownFigure } from '../results.ts';
import type { Scale } from '../scale.ts';

interface Task {
  readonly load: Load;
  readonly way: Way;
}
type Load = 'mixed' | 'beside';
type Way = 'sqlite-pool' | 'better-sqlite3 inline';

const WAYS: readonly Way[] = ['sqlite-pool', 'better-sqlite3 inline'];

/** So many at once, as requests are. */
const WORKERS = 64;
/** One per millisecond: far less than either can do, so that nobody waits because there is too much to do. */
const READS_PER_SECOND = 1000;
/** A fifth of the time. */
const SLOW_EVERY_MS = 500;
const SLOW_FIRST_MS = 50;
const SLOW_MS = 100;
/** So that there is at least one. */
const SHORTEST_SECONDS = 0.3;

const POST = 'SELECT id, user_id AS author, body FROM posts WHERE id = ?';
const COMMENT = 'INSERT INTO comments (post_id, user_id, body) VALUES (?, ?, ?)';
const COUNT =
  'WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) SELECT count(*) AS n FROM c';

const MIXED: Labels = { load: '90 % reads, 10 % writes' };
const BESIDE: Labels = { load: 'reads beside a 100 ms query' };

export const benchmark: Benchmark<Task> = {
  name: 'mixed',
  about: 'reads and writes together, and reads beside a slow query, against better-sqlite3 called inline',
  plan: () => [
    ...WAYS.map((way) => ({
      labels: MIXED,
      variant: way,
      task: { load: 'mixed', way } as const,
      data: 'copy' as const,
    })),
    ...WAYS.map((way) => ({
      labels: BESIDE,
      variant: way,
      task: { load: 'beside', way } as const,
      data: 'seeded' as const,
    })),
  ],
  async measure({ load, way }, place) {
    await using database = way === 'sqlite-pool' ? openPool(place.filename) : openInline(place.filename);
    return await (load === 'mixed' ? readAndWrite(database, place) : readBeside(database, place));
  },
  report: (figures) => ({
    tables: [mixedTable(figures), besideTable(figures)],
    targets: [
      {
        text: 'p99 of reads beside a 100 ms query: that of better-sqlite3 inline, in that of the pool',
        value: figures.ratio(
          { labels: BESIDE, variant: 'better-sqlite3 inline', metric: 'p99Ms' },
          { labels: BESIDE, variant: 'sqlite-pool', metric: 'p99Ms' },
        ).median,
        atLeast: 15,
      },
    ],
    charts: [chart(figures)],
  }),
};

interface Database extends AsyncDisposable {
  get(sql: string, params: (number | string)[]): Promise<Row | undefined>;
  run(sql: string, params: (number | string)[]): Promise<unknown>;
}

function openPool(filename: string): Database {
  return createPool({ filename, pragmas: PRAGMAS });
}

/** One connection, as its documentation recommends: every call blocks the event loop until SQLite is done. */
function openInline(filename: string): Database {
  const database = new BetterSqlite3(filename);
  database.exec(pragmaSql(PRAGMAS));
  const statements = new Map<string, BetterSqlite3.Statement>();
  const prepared = (sql: string) => {
    let statement = statements.get(sql);
    if (!statement) statements.set(sql, (statement = database.prepare(sql)));
    return statement;
  };
  return {
    get: async (sql, params) => prepared(sql).get(...params) as Row | undefined,
    run: async (sql, params) => prepared(sql).run(...params),
    async [Symbol.asyncDispose]() {
      database.close();
    },
  };
}

async function readAndWrite(database: Database, { seconds, scale }: Place): Promise<Sample> {
  const posts = await countOf(database, 'posts');
  const before = await countOf(database, 'comments');
  const reads = new Latencies();
  const writes = new Latencies();
  let round = 0;
  let written = 0;
  const once = async (worker: number, measured: boolean): Promise<void> => {
    const start = performance.now();
    // A request comes from the event loop, and waits for the others that came with it.
    await setImmediate();
    const id = 1 + ((++round * 7919) % posts);
    const isWrite = round % 10 === 0;
    if (isWrite) {
      await database.run(COMMENT, [id, 1, `Written by ${worker}.`]);
      written += 1;
    } else mustBe(await database.get(POST, [id]), id);
    if (measured) (isWrite ? writes : reads).add(performance.now() - start);
  };
  await hammer({ workers: WORKERS, seconds: scale.warmUpSeconds }, (worker) => once(worker, false));
  const loop = probeEventLoop();
  const { perSecond } = await hammer({ workers: WORKERS, seconds }, (worker) => once(worker, true));
  const delays = loop.stop();
  const present = (await countOf(database, 'comments')) - before;
  if (present !== written) throw new Error(`${written} comments were written, ${present} are there.`);
  const [read, write] = [reads.over(1), writes.over(1)];
  return {
    perSecond,
    readP50Ms: read.p50Ms,
    readP99Ms: read.p99Ms,
    writeP50Ms: write.p50Ms,
    writeP99Ms: write.p99Ms,
    ...delays,
  };
}

async function readBeside(database: Database, { seconds, scale }: Place): Promise<Sample> {
  const posts = await countOf(database, 'posts');
  await warmUp(database, posts, scale);
  const rows = await rowsFor(database, SLOW_MS);
  const load = { perSecond: READS_PER_SECOND, seconds: Math.max(seconds, SHORTEST_SECONDS) };
  const loop = probeEventLoop();
  const slowCalls: Promise<unknown>[] = [];
  const reads = await arrive(load, async (arrival) => {
    if (arrival % SLOW_EVERY_MS === SLOW_FIRST_MS) slowCalls.push(count(database, rows));
    const id = 1 + ((arrival * 7919) % posts);
    mustBe(await database.get(POST, [id]), id);
  });
  await Promise.all(slowCalls);
  return { ...reads, ...loop.stop() };
}

async function warmUp(database: Database, posts: number, { warmUpSeconds }: Scale): Promise<void> {
  let round = 0;
  await hammer({ workers: WORKERS, seconds: warmUpSeconds }, async () => {
    // As in what is measured.
    await setImmediate();
    const id = 1 + (round++ % posts);
    mustBe(await database.get(POST, [id]), id);
  });
}

/** How far SQLite counts in this time, on this machine when nothing disturbs it. */
async function rowsFor(database: Database, ms: number): Promise<number> {
  const trial = 100_000;
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    await count(database, trial);
    times.push(performance.now() - start);
  }
  return Math.round((trial * ms) / Math.min(...times));
}

async function count(database: Database, rows: number): Promise<void> {
  const row = await database.get(COUNT, [rows]);
  if (row?.['n'] !== rows) throw new Error(`Counted ${String(row?.['n'])} rows instead of ${rows}.`);
}

async function countOf(database: Database, table: 'posts' | 'comments'): Promise<number> {
  return Number((await database.get(`SELECT count(*) AS n FROM ${table}`, []))?.['n']);
}

function mustBe(row: Row | undefined, id: number): void {
  if (row?.['id'] !== id || typeof row['body'] !== 'string') throw new Error(`Post ${id} was read wrongly.`);
}

function mixedTable(figures: Figures) {
  const metrics = [
    'perSecond',
    'readP50Ms',
    'readP99Ms',
    'writeP50Ms',
    'writeP99Ms',
    'loopP99Ms',
    'loopMaxMs',
  ];
  return {
    title: `90 % point reads, 10 % INSERTs, ${WORKERS} at once`,
    head: [
      '',
      'per second',
      'read p50 ms',
      'p99 ms',
      'write p50 ms',
      'p99 ms',
      'event loop p99 ms',
      'max ms',
    ],
    rows: rowsOf(figures, MIXED, metrics),
  };
}

function besideTable(figures: Figures) {
  const metrics = ['p50Ms', 'p99Ms', 'maxMs', 'loopP99Ms', 'loopMaxMs'];
  return {
    title: `${shown(READS_PER_SECOND)} point reads a second, beside a query of ${SLOW_MS} ms every ${SLOW_EVERY_MS} ms`,
    head: ['', 'read p50 ms', 'p99 ms', 'max ms', 'event loop p99 ms', 'max ms'],
    rows: rowsOf(figures, BESIDE, metrics),
    note: 'Reads come every millisecond, whatever became of those before, and wait from when they were due.',
  };
}

function rowsOf(figures: Figures, labels: Labels, metrics: readonly string[]): string[][] {
  return WAYS.map((variant) => [
    variant,
    ...metrics.map((metric) => shownFigure(figures.find({ labels, variant, metric }))),
  ]);
}

function chart(figures: Figures): Chart {
  const measures = { p50Ms: 'median', p99Ms: 'p99', maxMs: 'slowest' };
  const values = WAYS.flatMap((variant) =>
    Object.entries(measures).map(([metric, measure]) => ({
      variant,
      measure,
      ms: figures.at({ labels: BESIDE, variant, metric }).median,
    })),
  );
  return {
    name: 'mixed',
    title: `Point reads beside a query of ${SLOW_MS} ms: how long they take`,
    spec: {
      data: { values },
      facet: { row: { field: 'measure', type: 'nominal', title: null, sort: null } },
      spec: {
        width: 480,
        mark: 'bar',
        encoding: {
          y: { field: 'variant', type: 'nominal', sort: null, title: null },
          x: { field: 'ms', type: 'quantitative', title: 'ms' },
        },
      },
    },
  };
}
