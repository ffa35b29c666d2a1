import type { Benchmark, Chart, Job, Place, Table, Target } from '../benchmark.ts';
import { others, pools, sqlitePool, type Pool, type PoolContender } from '../contenders/pools.ts';
import type { Figures, Labels, Sample } from '../figures.ts';
import { shown, shownFigure } from '../results.ts';

interface Task {
  readonly pool: string;
  readonly timeoutMs: number;
  readonly size: number;
  /** So many want a resource at the same time; none: its memory is measured. */
  readonly users: number;
}

/** What sqlite-pool and tarn have by default. The others have no end by default, and are measured like that too. */
const TIMEOUT_MS = 30_000;
const SIZE = 10;
const CROWD = 10_000;
/** How many resources, and how many waiters, memory is measured over. */
const IDLE = 1000;
const WAITERS = 10_000;
const WARM_UP = 0.25;
/** With processor time, this is long enough to see a difference. */
const LONGEST_SECONDS = 1;
/** So many acquires at least between two looks at the clock. */
const BATCH = 1000;

export const benchmark: Benchmark<Task> = {
  name: 'pool',
  about: 'acquire and release alone, with nothing behind them, against tarn, generic-pool and lightning-pool',
  plan: ({ complete }) => [
    ...(complete ? [TIMEOUT_MS, 0] : [TIMEOUT_MS]).flatMap((timeoutMs) =>
      [1, CROWD].flatMap((users) => jobs('turns', timeoutMs, SIZE, users)),
    ),
    ...(complete ? growth() : []),
    ...jobs('memory', TIMEOUT_MS, IDLE, 0),
  ],
  async measure({ pool: name, size, timeoutMs, users }, place) {
    const contender = pools.find((each) => each.name === name);
    if (!contender) throw new Error(`There is no pool ${name}.`);
    return await (users === 0 ? weigh(contender, timeoutMs) : take(contender, timeoutMs, size, users, place));
  },
  report: (figures) => ({
    tables: [turnsTable(figures), memoryTable(figures)],
    targets: [TIMEOUT_MS, 0].flatMap((timeoutMs) =>
      [1, CROWD].flatMap((users) => target(figures, turns(timeoutMs, users))),
    ),
    charts: [
      ...growthChart(figures, 'size', 'connections, each with one user'),
      ...growthChart(figures, 'waiters', `users of ${SIZE} connections`),
    ],
  }),
};

function growth(): Job<Task>[] {
  return [
    ...[1, 10, 100, 1000].flatMap((size) => jobs('size', TIMEOUT_MS, size, size)),
    ...[10, 100, 1000, 10_000, 100_000].flatMap((waiters) =>
      jobs('waiters', TIMEOUT_MS, SIZE, SIZE + waiters),
    ),
  ];
}

function jobs(kind: string, timeoutMs: number, size: number, users: number): Job<Task>[] {
  return pools
    .filter(({ waitsForEver }) => timeoutMs > 0 || waitsForEver)
    .map(({ name }) => ({
      labels: { kind, timeoutMs, size, users },
      variant: name,
      task: { pool: name, timeoutMs, size, users },
      execArgv: kind === 'memory' ? ['--expose-gc'] : [],
      // Only drawn.
      once: kind === 'size' || kind === 'waiters',
    }));
}

const turns = (timeoutMs: number, users: number): Labels => ({ kind: 'turns', timeoutMs, size: SIZE, users });

async function take(
  contender: PoolContender,
  timeoutMs: number,
  size: number,
  users: number,
  { seconds }: Place,
): Promise<Sample> {
  const pool = await contender.open(size, timeoutMs);
  const seen = new Set<unknown>();
  const held = new Set<unknown>();
  await each(Array.from({ length: users }), async () => {
    const resource = await pool.acquire();
    seen.add(resource);
    held.add(resource);
    if (held.size > size) throw new Error(`${held.size} of ${size} resources were leased at once.`);
    await Promise.resolve();
    held.delete(resource);
    await pool.release(resource);
  });
  if (seen.size === 0) throw new Error('Nothing was leased.');
  const long = Math.min(seconds, LONGEST_SECONDS);
  await inTurns(pool, users, long * WARM_UP);
  return inTurns(pool, users, long);
}

/**
 * Everybody takes a resource and releases it, and again until the time is over. Nothing is waited for but the pool, so
 * processor time is counted, that of the garbage collector's threads too: it is the same when the machine has other work.
 */
async function inTurns(pool: Pool, users: number, seconds: number): Promise<Sample> {
  const laps = Math.ceil(BATCH / users);
  let count = 0;
  const use = async (): Promise<void> => {
    for (let lap = 0; lap < laps; lap++) {
      const ended = pool.release(await pool.acquire());
      if (ended) await ended;
    }
  };
  const crowd = Array.from({ length: users });
  const end = performance.now() + seconds * 1000;
  const before = process.cpuUsage();
  do {
    await each(crowd, use);
    count += users * laps;
  } while (performance.now() < end);
  const { user, system } = process.cpuUsage(before);
  const ns = ((user + system) * 1000) / count;
  return { perSecond: 1e9 / ns, ns };
}

async function each(crowd: readonly unknown[], use: () => Promise<void>): Promise<void> {
  await Promise.all(crowd.map(use));
}

/** The heap that a resource takes when it is idle, and a waiter while it waits. */
async function weigh(contender: PoolContender, timeoutMs: number): Promise<Sample> {
  // What is compiled and cached at the first use belongs to nobody.
  await fill(await contender.open(SIZE, timeoutMs), SIZE);
  const before = heap();
  const pool = await contender.open(IDLE, timeoutMs);
  await fill(pool, IDLE);
  const idleBytes = (heap() - before) / IDLE;
  const held = await Promise.all(Array.from({ length: IDLE }, () => pool.acquire()));
  const empty = heap();
  const waiting = Array.from({ length: WAITERS }, () => pool.acquire());
  const waiterBytes = (heap() - empty) / WAITERS;
  for (const resource of held) await pool.release(resource);
  for (const acquired of waiting) await pool.release(await acquired);
  return { idleBytes, waiterBytes };
}

async function fill(pool: Pool, size: number): Promise<void> {
  const all = await Promise.all(Array.from({ length: size }, () => pool.acquire()));
  for (const resource of all) await pool.release(resource);
}

function heap(): number {
  if (!globalThis.gc) throw new Error('Memory is measured with --expose-gc.');
  // Twice, because what a finalizer lets go of goes with the next.
  globalThis.gc();
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}

function turnsTable(figures: Figures): Table {
  return {
    title: `Acquire and release, ${SIZE} connections`,
    head: ['longest wait', '', 'free, per second', 'ns each', '10,000 at once, per second', 'ns each'],
    rows: [TIMEOUT_MS, 0].flatMap((timeoutMs) =>
      pools
        .filter(({ name }) => figures.find({ labels: turns(timeoutMs, 1), variant: name, metric: 'ns' }))
        .map(({ name: variant }) => [
          timeoutMs === 0 ? 'no end' : `${timeoutMs / 1000} s`,
          variant,
          ...[1, CROWD].flatMap((users) => {
            const labels = turns(timeoutMs, users);
            return [
              shownFigure(figures.find({ labels, variant, metric: 'perSecond' })),
              shown(figures.at({ labels, variant, metric: 'ns' }).median),
            ];
          }),
        ]),
    ),
    note:
      'In seconds of processor time. A connection does nothing. tarn and sqlite-pool wait 30 s unless told otherwise, the others without an end; tarn ' +
      'cannot. sqlite-pool also watches over its leases meanwhile: a lease that has ended refuses, a lost one is taken back.',
  };
}

function memoryTable(figures: Figures): Table {
  const labels = { kind: 'memory', timeoutMs: TIMEOUT_MS, size: IDLE, users: 0 };
  return {
    title: 'Bytes of heap',
    head: ['', 'an idle connection', 'a waiter'],
    rows: pools.map(({ name: variant }) => [
      variant,
      ...['idleBytes', 'waiterBytes'].map((metric) => shownFigure(figures.find({ labels, variant, metric }))),
    ]),
    note: `Over ${shown(IDLE)} connections and ${shown(WAITERS)} waiters. That of the promise and the timer of a waiter included.`,
  };
}

function target(figures: Figures, labels: Labels): Target[] {
  const metric = 'perSecond';
  const [best] = others
    .filter(({ name }) => figures.find({ labels, variant: name, metric }) !== undefined)
    .map(({ name }) => ({
      name,
      value: figures.ratio({ labels, variant: sqlitePool.name, metric }, { labels, variant: name, metric })
        .median,
    }))
    .sort((a, b) => a.value - b.value);
  if (!best) return [];
  const wait = labels['timeoutMs'] === 0 ? 'waits without an end' : 'waits of 30 s';
  const users = labels['users'] === 1 ? 'free' : '10,000 at once';
  return [
    {
      text: `acquire and release, ${users}, ${wait}, in the best other (${best.name})`,
      value: best.value,
      atLeast: 3,
    },
  ];
}

function growthChart(figures: Figures, kind: 'size' | 'waiters', title: string): Chart[] {
  const values = figures
    .entries()
    .filter(({ labels }) => labels['kind'] === kind)
    .map(({ labels, variant, metrics }) => ({
      variant,
      count: labels['users'],
      ns: metrics['ns']?.median ?? NaN,
    }));
  if (values.length === 0) return [];
  return [
    {
      name: `pool-${kind}`,
      title: `Nanoseconds for acquire and release, by ${title}`,
      spec: {
        data: { values },
        mark: { type: 'line', point: true },
        encoding: {
          x: { field: 'count', type: 'quantitative', scale: { type: 'log' }, title },
          y: { field: 'ns', type: 'quantitative', scale: { type: 'log' }, title: 'ns' },
          color: { field: 'variant', type: 'nominal' },
        },
      },
    },
  ];
}
