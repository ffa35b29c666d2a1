import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import autocannon from 'autocannon';

import type { Benchmark, Job, Place, Table, Target } from '../benchmark.ts';
import type { Said } from '../http/app.ts';
import { frameworks, type Framework, type Way } from '../http/frameworks.ts';
import type { Figures, Labels, Sample } from '../figures.ts';
import { arrive, Latencies } from '../measure.ts';
import { shown, shownFigure } from '../results.ts';

interface Task {
  readonly kind: 'requests' | 'beside';
  readonly framework: Framework;
  readonly way: Way;
}

const CONNECTIONS = 50;
/** Each client asks for them one after the other, and again. */
const POSTS = 25;

/** Far less than either can do: nobody waits because there is too much to do. */
const ARRIVE_PER_SECOND = 300;
const SLOW_EVERY = 100;
const SLOW_MS = 100;
/** So that there are slow ones. */
const SHORTEST_SECONDS = 0.5;

/** The routes that read a row and do not block. */
const READERS: readonly Way[] = ['req.db', 'req.db on sqlite3', 'by hand'];

/** Those of which a slow query is to be seen beside cheap ones. */
const BESIDE: readonly Way[] = ['req.db', 'req.db on sqlite3', 'better-sqlite3 inline'];

export const benchmark: Benchmark<Task> = {
  name: 'http',
  about: 'a route that reads a row, in three frameworks, and cheap requests beside slow ones',
  plan: ({ complete }) => [
    ...frameworks.flatMap((framework) =>
      jobs('requests', framework, complete ? [...READERS, 'none'] : READERS),
    ),
    ...(complete ? frameworks : frameworks.slice(0, 1)).flatMap((framework) =>
      jobs('beside', framework, BESIDE),
    ),
  ],
  async measure({ kind, framework, way }, place) {
    const app = start(framework, way, place.filename);
    const { port } = (await said(app)) as { port: number };
    const url = `http://127.0.0.1:${port}`;
    const sample = kind === 'requests' ? await requests(app, url, place) : await beside(url, place);
    app.disconnect();
    await once(app, 'exit');
    return sample;
  },
  report: (figures) => ({
    tables: [requestsTable(figures), besideTable(figures)],
    targets: [...requestsTargets(figures), ...besideTargets(figures)],
  }),
};

function jobs(kind: Task['kind'], framework: Framework, ways: readonly Way[]): Job<Task>[] {
  return ways.map((way) => ({
    labels: labelsOf(kind, framework),
    variant: way,
    task: { kind, framework, way },
    data: 'seeded',
  }));
}

const labelsOf = (kind: Task['kind'], framework: Framework): Labels => ({ kind, framework });

function start(...args: [Framework, Way, string]): ChildProcess {
  return fork(fileURLToPath(new URL('../http/app.ts', import.meta.url)), args, {
    env: { ...process.env, NODE_ENV: 'production' },
    // Express and Hono print what a request ended with whose client has left, as autocannon does at its end; what else
    // goes wrong is a wrong answer.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

async function said(app: ChildProcess): Promise<Said> {
  return await Promise.race([
    once(app, 'message').then(([message]) => message as Said),
    once(app, 'exit').then(() => {
      throw new Error('The server ended by itself.');
    }),
  ]);
}

async function requests(app: ChildProcess, url: string, { seconds, scale }: Place): Promise<Sample> {
  await cannonade(url, scale.warmUpSeconds);
  const before = await cpuOf(app);
  const { requests: sent, latency, duration } = await cannonade(url, seconds);
  const cpuUs = (((await cpuOf(app)) - before) * 1000) / sent.total;
  return { perSecond: sent.total / duration, cpuUs, p50Ms: latency.p50, p99Ms: latency.p99 };
}

async function cpuOf(app: ChildProcess): Promise<number> {
  app.send('cpu');
  return ((await said(app)) as { cpuMs: number }).cpuMs;
}

async function cannonade(url: string, seconds: number): Promise<autocannon.Result> {
  const result = await autocannon({
    url,
    connections: CONNECTIONS,
    duration: seconds,
    sampleInt: 25,
    requests: Array.from({ length: POSTS }, (_, index) => ({ path: `/posts/${index + 1}` })),
    verifyBody: (body) => isPost(JSON.parse(String(body))),
  });
  const { errors, mismatches, non2xx, timeouts } = result;
  if (errors + mismatches + non2xx + timeouts > 0)
    throw new Error(
      `${errors} errors, ${mismatches} wrong answers, ${non2xx} statuses, ${timeouts} timeouts.`,
    );
  return result;
}

function isPost(value: unknown): boolean {
  const { id, body, author } = value as Record<string, unknown>;
  return Number(id) > 0 && Number(id) <= POSTS && typeof body === 'string' && typeof author === 'string';
}

/** One request in a hundred is slow; how long the others take, each from when it is sent. */
async function beside(url: string, { seconds }: Place): Promise<Sample> {
  const rows = await rowsFor(url, SLOW_MS);
  const [cheap, slow] = [new Latencies(), new Latencies()];
  const load = { perSecond: ARRIVE_PER_SECOND, seconds: Math.max(seconds, SHORTEST_SECONDS) };
  await arrive(load, async (arrival) => {
    const start = performance.now();
    const isSlow = arrival % SLOW_EVERY === SLOW_EVERY / 2;
    if (isSlow) await count(url, rows);
    else if (!isPost(await json(`${url}/posts/${1 + (arrival % POSTS)}`)))
      throw new Error('A post was read wrongly.');
    (isSlow ? slow : cheap).add(performance.now() - start);
  });
  const { p50Ms, p99Ms, maxMs } = cheap.over(1);
  return { p50Ms, p99Ms, maxMs, slowP50Ms: slow.over(1).p50Ms };
}

/** How far SQLite counts in this time, on this machine when nothing disturbs it. */
async function rowsFor(url: string, ms: number): Promise<number> {
  const trial = 200_000;
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    await count(url, trial);
    times.push(performance.now() - start);
  }
  return Math.round((trial * ms) / Math.min(...times));
}

async function count(url: string, rows: number): Promise<void> {
  const { n } = (await json(`${url}/count/${rows}`)) as { n: number };
  if (n !== rows) throw new Error(`Counted ${n} rows instead of ${rows}.`);
}

async function json(url: string): Promise<unknown> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} was answered ${response.status}.`);
  return response.json();
}

function requestsTable(figures: Figures): Table {
  const metrics = ['perSecond', 'cpuUs', 'p50Ms', 'p99Ms'];
  return {
    title: 'A route that reads one row',
    head: ['framework', 'the row is from', 'requests per second', 'CPU µs each', 'p50 ms', 'p99 ms'],
    rows: rowsOf(figures, 'requests', [...READERS, 'none'], metrics),
    note:
      `${CONNECTIONS} connections of autocannon, the server in a process of its own, every answer checked. By hand is one ` +
      'connection that is held open and a statement that is kept; none is the framework with an answer that is always ' +
      'the same. Processor time is that of the server, all threads.',
  };
}

function besideTable(figures: Figures): Table {
  const metrics = ['p50Ms', 'p99Ms', 'maxMs', 'slowP50Ms'];
  return {
    title: `Cheap requests, while one in ${SLOW_EVERY} runs a query of ${SLOW_MS} ms`,
    head: ['framework', 'the row is from', 'p50 ms', 'p99 ms', 'max ms', 'a slow one, p50 ms'],
    rows: rowsOf(figures, 'beside', BESIDE, metrics),
    note: `${shown(ARRIVE_PER_SECOND)} requests a second, whatever became of those before.`,
  };
}

function rowsOf(figures: Figures, kind: Task['kind'], ways: readonly Way[], metrics: readonly string[]) {
  return frameworks.flatMap((framework) => {
    const labels = labelsOf(kind, framework);
    return ways
      .filter((variant) => figures.find({ labels, variant, metric: 'p99Ms' }) !== undefined)
      .map((variant) => [
        framework,
        variant,
        ...metrics.map((metric) => shownFigure(figures.find({ labels, variant, metric }))),
      ]);
  });
}

function requestsTargets(figures: Figures): Target[] {
  return frameworks.flatMap((framework) => {
    const point = { labels: labelsOf('requests', framework), metric: 'perSecond' };
    const over = (variant: Way): number =>
      figures.ratio({ ...point, variant: 'req.db' }, { ...point, variant }).median;
    return [
      {
        text: `${framework}: requests per second through req.db, in those by hand`,
        value: over('by hand'),
        atLeast: 0.9,
      },
      {
        text: `${framework}: requests per second through req.db, in those on sqlite3`,
        value: over('req.db on sqlite3'),
        atLeast: 1.5,
      },
    ];
  });
}

function besideTargets(figures: Figures): Target[] {
  return frameworks.flatMap((framework) => {
    const point = { labels: labelsOf('beside', framework), metric: 'p99Ms' };
    const [inline, db] = [
      { ...point, variant: 'better-sqlite3 inline' },
      { ...point, variant: 'req.db' },
    ];
    if (!figures.find(db)) return [];
    return [
      {
        text: `${framework}: p99 beside slow requests with better-sqlite3 inline, in that through req.db`,
        value: figures.ratio(inline, db).median,
        atLeast: 15,
      },
    ];
  });
}
