import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

import { createPool, type Driver } from '@sqlite-pool/core';
import { libsql } from '@sqlite-pool/core/libsql';

import { NO_SQLD, Server, SQLD } from '../../../conformance/libsql-server.ts';
import type { Benchmark, Job, Place, Table, Target } from '../benchmark.ts';
import { Unavailable } from '../contender.ts';
import type { Figures, Sample } from '../figures.ts';
import { SlowNetwork } from '../libsql/slow-network.ts';
import { CALLERS, SCHEMA, USERS, ways, type WayName } from '../libsql/ways.ts';
import { hammer, Latencies } from '../measure.ts';
import { shownFigure } from '../results.ts';

type Task =
  | { readonly kind: 'reads' | 'writes'; readonly way: WayName }
  | { readonly kind: 'transaction' }
  | { readonly kind: 'updates'; readonly batch: boolean }
  | { readonly kind: 'processor'; readonly replicas: number };

const WIRE = 'the bare wire';
const POOL = 'sqlite-pool';
const CLIENT = '@libsql/client';
const ALONE = 'alonePerSecond';
const ROUND_TRIP_MS = 10;
const UPDATERS = 16;
const WITHOUT_BATCH = 'a driver without batch';
const REPLICAS = 2;

/** The clock of the processor time has a hundred ticks a second. */
const TICK_SECONDS = 0.01;
/** For what has few calls, or few ticks. */
const SHORTEST_SECONDS = 0.5;

const READS = { what: 'reads' };
const WRITES = { what: 'writes' };
const SLOW = { what: `${ROUND_TRIP_MS} ms away` };
const PROCESSOR = { what: 'processor' };
const TRANSACTION = 'a transaction of two statements';
const UPDATES = `${UPDATERS} UPDATEs at once`;
const AT_PRIMARY = 'reads at the primary';
const AT_REPLICAS = 'reads at replicas';

export const benchmark: Benchmark<Task> = {
  name: 'libsql',
  about: 'a libSQL server: beside its client library, far away, and with replicas',
  plan: ({ complete }) => {
    const once = { once: !complete };
    return [
      ...([WIRE, POOL, CLIENT] as const).map((way) => reachJob('reads', way)),
      ...([POOL, CLIENT] as const).map((way) => ({ ...reachJob('writes', way), ...once })),
      { labels: SLOW, variant: TRANSACTION, task: { kind: 'transaction' }, ...once },
      { labels: SLOW, variant: UPDATES, task: { kind: 'updates', batch: true }, ...once },
      {
        labels: SLOW,
        variant: `${UPDATES}, ${WITHOUT_BATCH}`,
        task: { kind: 'updates', batch: false },
        ...once,
      },
      { labels: PROCESSOR, variant: AT_PRIMARY, task: { kind: 'processor', replicas: 0 }, ...once },
      { labels: PROCESSOR, variant: AT_REPLICAS, task: { kind: 'processor', replicas: REPLICAS }, ...once },
    ];
  },
  async measure(task, place) {
    if (SQLD === undefined) throw new Unavailable(NO_SQLD);
    await using servers = new AsyncDisposableStack();
    const start = async (primary?: Server) =>
      servers.adopt(await Server.start(primary && { primary }), (server) => server.remove());
    const server = await start();
    {
      await using pool = createPool({ driver: libsql({ url: server.url }) });
      await pool.script(SCHEMA);
    }
    switch (task.kind) {
      case 'reads':
      case 'writes':
        return await measureReach(task, server, place);
      case 'transaction':
        return await measureTransaction(server, place);
      case 'updates':
        return await measureUpdates(task.batch, server, place);
      case 'processor':
        return await measureProcessor(server, await startAll(task.replicas, () => start(server)), place);
    }
  },
  report: (figures) => {
    const tables = [reachTable(figures), slowTable(figures), processorTable(figures)];
    // Where there is no server, each row says why.
    const measured = figures.find({ labels: READS, variant: POOL, metric: 'perSecond' }) !== undefined;
    return { tables, targets: measured ? targets(figures) : [] };
  },
};

function reachJob(kind: 'reads' | 'writes', way: WayName): Job<Task> {
  return { labels: kind === 'reads' ? READS : WRITES, variant: way, task: { kind, way } };
}

async function startAll(count: number, start: () => Promise<Server>): Promise<Server[]> {
  const servers: Server[] = [];
  while (servers.length < count) servers.push(await start());
  return servers;
}

async function measureReach(
  { kind, way: name }: { kind: 'reads' | 'writes'; way: WayName },
  { url }: Server,
  { seconds, scale }: Place,
): Promise<Sample> {
  await using way = await ways[name](url);
  let calls = 0;
  let busy = 0;
  const once = async (caller: number) => {
    const id = 1 + ((++calls * 7919) % USERS);
    if (kind === 'writes') {
      if (!(await way.write(caller, id))) busy++;
    } else if ((await way.read(caller, id)) !== id) throw new Error(`User ${id} was read wrongly.`);
  };
  // Connections are there before it begins.
  await Promise.all(Array.from({ length: CALLERS }, (_, caller) => once(caller)));
  const { warmUpSeconds } = scale;
  const { perSecond, p50Ms, p99Ms } = await hammer({ workers: CALLERS, seconds, warmUpSeconds }, once);
  const alone = await hammer({ workers: 1, seconds }, once);
  if (kind === 'writes') await checkWrites(url, calls - busy);
  return { perSecond, p50Ms, p99Ms, alonePerSecond: alone.perSecond, busy };
}

async function checkWrites(url: string, acknowledged: number): Promise<void> {
  await using pool = createPool({ driver: libsql({ url }) });
  const row = await pool.get('SELECT sum(n) AS n FROM users');
  if (row?.['n'] !== acknowledged)
    throw new Error(`${acknowledged} writes were acknowledged, and ${String(row?.['n'])} are there.`);
}

/** How long a transaction takes, in round trips; what a round trip takes is measured beside it. */
async function measureTransaction({ port }: Server, { seconds, scale }: Place): Promise<Sample> {
  await using network = await SlowNetwork.to(port, ROUND_TRIP_MS);
  await using pool = createPool({ driver: libsql({ url: network.url }), poolSize: 1 });
  const transaction = () =>
    pool.transaction(async (tx) => {
      await tx.run('UPDATE users SET n = n + 1 WHERE id = 1');
      await tx.run('UPDATE users SET n = n - 1 WHERE id = 2');
    });
  const read = () => pool.get('SELECT name FROM users WHERE id = ?', [1]);
  const timed = async (latencies: Latencies, work: () => Promise<unknown>) => {
    const before = performance.now();
    await work();
    latencies.add(performance.now() - before);
  };
  const measureFor = async (time: number) => {
    const [singles, transactions] = [new Latencies(), new Latencies()];
    const start = performance.now();
    while (performance.now() < start + time * 1000) {
      await timed(singles, read);
      await timed(transactions, transaction);
    }
    return { single: singles.over(time * 1000), whole: transactions.over(time * 1000) };
  };
  await measureFor(scale.warmUpSeconds);
  const { single, whole } = await measureFor(Math.max(SHORTEST_SECONDS, seconds));
  const { p50Ms, p99Ms } = whole;
  return { p50Ms, p99Ms, roundTripMs: single.p50Ms, trips: p50Ms / single.p50Ms };
}

async function measureUpdates(batch: boolean, { port }: Server, { seconds, scale }: Place): Promise<Sample> {
  await using network = await SlowNetwork.to(port, ROUND_TRIP_MS);
  const driver = libsql({ url: network.url });
  await using pool = createPool({ driver: batch ? driver : withoutBatch(driver) });
  const once = (caller: number) => pool.run('UPDATE users SET n = n + 1 WHERE id = ?', [caller + 1]);
  const { warmUpSeconds } = scale;
  const longer = Math.max(SHORTEST_SECONDS, seconds);
  const { perSecond, p50Ms, p99Ms } = await hammer(
    { workers: UPDATERS, seconds: longer, warmUpSeconds },
    once,
  );
  return { perSecond, p50Ms, p99Ms };
}

/** The same, but each statement is a call of its own. */
function withoutBatch(driver: Driver): Driver {
  return {
    ...driver,
    open: async (signal) => Object.defineProperty(await driver.open(signal), 'batch', { value: undefined }),
  };
}

async function measureProcessor(
  primary: Server,
  replicas: readonly Server[],
  { seconds, scale }: Place,
): Promise<Sample> {
  const urls = replicas.map(({ url }) => url);
  const driver = libsql({
    url: primary.url,
    ...(urls.length > 0 && { replicas: urls, reads: 'replica' as const }),
  });
  await using pool = createPool({ driver, poolSize: CALLERS });
  let calls = 0;
  const once = () => pool.get('SELECT id, name FROM users WHERE id = ?', [1 + ((++calls * 7919) % USERS)]);
  const readMany = (time: number) => hammer({ workers: CALLERS, seconds: time }, once);
  if (urls.length > 0) await untilReplicasRead(primary, () => readMany(0.05));
  await readMany(scale.warmUpSeconds);
  const before = await processorSeconds(primary);
  const { count, perSecond, p50Ms, p99Ms } = await readMany(Math.max(SHORTEST_SECONDS, seconds));
  const used = (await processorSeconds(primary)) - before;
  return { perSecond, p50Ms, p99Ms, processorUs: (used / count) * 1e6 };
}

/** A replica sends reads on to its primary until it has what that had when they met. */
async function untilReplicasRead(primary: Server, read: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const { query_count: before } = await primary.stats();
    await read();
    if ((await primary.stats()).query_count === before) return;
    await setTimeout(20);
  }
  throw new Error('The replicas are not read.');
}

async function processorSeconds({ pid }: Server): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // After the name, which may have spaces in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_SECONDS;
}

function targets(figures: Figures): Target[] {
  const reads = (variant: string, metric = 'perSecond') => ({ labels: READS, variant, metric });
  const writes = (variant: string) => ({ labels: WRITES, variant, metric: 'perSecond' });
  const slow = (variant: string, metric = 'perSecond') => ({ labels: SLOW, variant, metric });
  const used = (variant: string) => ({ labels: PROCESSOR, variant, metric: 'processorUs' });
  return [
    {
      text: `get through the pool, in reads over the bare wire, ${CALLERS} callers`,
      value: figures.ratio(reads(POOL), reads(WIRE)).median,
      atLeast: 0.8,
    },
    {
      text: 'get through the pool, in reads over the bare wire, one caller',
      value: figures.ratio(reads(POOL, ALONE), reads(WIRE, ALONE)).median,
      atLeast: 0.8,
    },
    {
      text: `reads through the pool, in those of ${CLIENT} over WebSockets too`,
      value: figures.ratio(reads(POOL), reads(CLIENT)).median,
      atLeast: 1.5,
    },
    {
      text: `writes through the pool, in those of ${CLIENT} over WebSockets too`,
      value: figures.ratio(writes(POOL), writes(CLIENT)).median,
      atLeast: 1.3,
    },
    {
      text: `round trips of a transaction of two statements, at ${ROUND_TRIP_MS} ms`,
      value: figures.at(slow(TRANSACTION, 'trips')).median,
      atMost: 3.3,
    },
    {
      text: `${UPDATES}, at ${ROUND_TRIP_MS} ms, in those of ${WITHOUT_BATCH}`,
      value: figures.ratio(slow(UPDATES), slow(`${UPDATES}, ${WITHOUT_BATCH}`)).median,
      atLeast: 8,
    },
    {
      text: 'processor time of the primary for a read at replicas, in that for a read at the primary',
      value: figures.ratio(used(AT_REPLICAS), used(AT_PRIMARY)).median,
      atMost: 0.15,
    },
  ];
}

const heads = (what: string) => [`${what} per second`, 'p50 ms', 'p99 ms', `${what} per second, one caller`];

function reachTable(figures: Figures): Table {
  const metrics = ['perSecond', 'p50Ms', 'p99Ms', ALONE];
  return {
    title: `Reads by key and single UPDATEs, ${CALLERS} callers`,
    head: ['', ...heads('reads'), ...heads('writes'), 'writes that met a lock'],
    rows: Object.keys(ways).map((variant) => [
      variant,
      ...[READS, WRITES].flatMap((labels) =>
        metrics.map((metric) => shownFigure(figures.find({ labels, variant, metric }))),
      ),
      shownFigure(figures.find({ labels: WRITES, variant, metric: 'busy' })),
    ]),
    note: `The bare wire and the pool have a socket for each caller, @libsql/client has one for all. All send JSON, Hrana 3 or 2.`,
  };
}

function slowTable(figures: Figures): Table {
  const rows = [TRANSACTION, UPDATES, `${UPDATES}, ${WITHOUT_BATCH}`];
  return {
    title: `A network that takes ${ROUND_TRIP_MS} ms there and back`,
    head: ['', 'per second', 'p50 ms', 'p99 ms', 'a round trip, ms', 'round trips'],
    rows: rows.map((variant) => [
      variant,
      ...['perSecond', 'p50Ms', 'p99Ms', 'roundTripMs', 'trips'].map((metric) =>
        shownFigure(figures.find({ labels: SLOW, variant, metric })),
      ),
    ]),
    note: 'A proxy in the same process delays what passes. A round trip is the p50 of `get`, measured between the transactions.',
  };
}

function processorTable(figures: Figures): Table {
  return {
    title: `Reads by key, ${CALLERS} callers, and what they cost the primary`,
    head: ['', 'per second', 'p50 ms', 'p99 ms', 'processor time of the primary per read, µs'],
    rows: [AT_PRIMARY, AT_REPLICAS].map((variant) => [
      variant,
      ...['perSecond', 'p50Ms', 'p99Ms', 'processorUs'].map((metric) =>
        shownFigure(figures.find({ labels: PROCESSOR, variant, metric })),
      ),
    ]),
    note: 'All servers are on one machine, so replicas do not make reads faster here. The processor time has a hundred ticks a second.',
  };
}
