/** What the benchmark `writes` runs in its children: writers, and endless readers, beside a probe of the file system. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

import { BusyError, createPool, type SqlitePool } from '@sqlite-pool/core';

import type { Place } from '../benchmark.ts';
import { HandConnection, isBusy, PRAGMAS } from '../by-hand.ts';
import type { Sample } from '../figures.ts';
import { hammer, probeFile, probeIdle } from '../measure.ts';

export type Synchronous = 'NORMAL' | 'FULL';

/** `ungrouped` is the pool with `groupCommit: false`: the write gate alone. */
export type Way = 'pool' | 'ungrouped' | 'hand';

export type Task =
  | {
      readonly kind: 'transactions' | 'inserts';
      readonly way: Way;
      readonly workers: number;
      readonly synchronous: Synchronous;
    }
  | { readonly kind: 'endless'; readonly way: Way; readonly workers: number };

const SCHEMA = `
  CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
  WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000) INSERT INTO counters SELECT i, 0 FROM c;
  CREATE TABLE events (id INTEGER PRIMARY KEY, writer INTEGER NOT NULL, body TEXT NOT NULL) STRICT;`;
const UPDATE = 'UPDATE counters SET n = n + 1 WHERE id = ?';
const INSERT = 'INSERT INTO events (writer, body) VALUES (?, ?)';
const ENDLESS =
  'WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) AS n FROM c WHERE i < 0';

/**
 * How much longer than elsewhere writers are warmed up and measured when everything is. In a second there are 200 file reads, and p99
 * is the second slowest of them; in five seconds it is the tenth slowest of a thousand, and one accident of the machine no longer
 * decides it. And as long as V8 compiles, on threads of its own, it takes one of two cores from those that read, for some
 * milliseconds at a time: after ten seconds it still does for 64 writers.
 */
export const LONGER = { warmUp: 8, measure: 4 };

/** Below this, the slowest of a hundred probes would stand for the slowest of all. */
const SHORTEST_PROBE_SECONDS = 0.2;

export async function measure(task: Task, place: Place): Promise<Sample> {
  const small = join(dirname(place.filename), 'small.txt');
  await writeFile(small, 'x'.repeat(1024));
  return task.kind === 'endless' ? readEndlessly(task, place, small) : write(task, place, small);
}

type WriteTask = Exclude<Task, { kind: 'endless' }>;

/** One write by a writer: `true` if it was acknowledged, `false` if it met BUSY. */
type Write = (writer: number) => Promise<boolean>;

async function write(task: WriteTask, place: Place, small: string): Promise<Sample> {
  const { filename, scale } = place;
  const longer = scale.complete ? LONGER : { warmUp: 1, measure: 1 };
  const seconds = place.seconds * longer.measure;
  const warmUpSeconds = scale.warmUpSeconds * longer.warmUp;
  const probeSeconds = Math.max(SHORTEST_PROBE_SECONDS, seconds);
  const writeOnce = await (task.way === 'hand' ? writerByHand : writerOfPool)(task, filename);
  let acknowledged = 0;
  let busy = 0;
  const writeAndCount = async (writer: number): Promise<void> => {
    if (await writeOnce(writer)) acknowledged++;
    else busy++;
  };
  // With more writers by hand, some would still be asleep when the measurement begins.
  const stalls = task.way === 'hand' && task.kind === 'transactions';
  if (stalls) await hammer({ workers: 1, seconds: warmUpSeconds }, writeAndCount);
  // After writers that stall some may still be asleep. After others, because a pause before them would undo a part of the warm-up.
  const idleBefore = stalls ? await probeIdle(small, probeSeconds) : undefined;
  let before = acknowledged;
  const probe = probeFile(small);
  // By hand a stall lasts as long as some busy timeouts; what has not ended twelve times the time later counts with the time that it took so far.
  const patienceSeconds = seconds * 12;
  const { perSecond, count, inFlight, ...latency } = await hammer(
    { workers: task.workers, seconds, warmUpSeconds: stalls ? 0 : warmUpSeconds, patienceSeconds },
    writeAndCount,
    () => {
      before = acknowledged;
      probe.restart();
    },
  );
  const beside = probe.stop();
  const idle = idleBefore ?? (await probeIdle(small, probeSeconds));
  return {
    ...latency,
    perSecond: count === 0 ? 0 : (perSecond * (acknowledged - before)) / count,
    busy,
    acknowledged,
    inFlight,
    idleP99Ms: idle.p99Ms,
    fileP99Ms: beside.p99Ms,
    fileMaxMs: beside.maxMs,
    fileRatio: beside.p99Ms / idle.p99Ms,
  };
}

async function writerOfPool({ kind, way, synchronous }: WriteTask, filename: string): Promise<Write> {
  const pool = openPool(filename, way, synchronous);
  await pool.script(SCHEMA);
  const once: (writer: number) => Promise<unknown> =
    kind === 'inserts'
      ? (writer) => pool.run(INSERT, [writer, 'written'])
      : (writer) => pool.transaction((tx) => tx.run(UPDATE, [1 + writer]));
  return (writer) =>
    once(writer).then(
      () => true,
      (error: unknown) => {
        if (error instanceof BusyError) return false;
        throw error;
      },
    );
}

function openPool(filename: string, way: Way, synchronous: Synchronous): SqlitePool {
  return createPool({
    filename,
    pragmas: { ...PRAGMAS, synchronous },
    groupCommit: way !== 'ungrouped',
  });
}

/** A connection per writer, as the documentation of SQLite advises for threads. */
async function writerByHand({ kind, workers, synchronous }: WriteTask, filename: string): Promise<Write> {
  const connections: HandConnection[] = [];
  for (let i = 0; i < workers; i++)
    connections.push(await HandConnection.open(filename, { ...PRAGMAS, synchronous }));
  await connections[0]?.script(SCHEMA);
  return async (writer) => {
    const connection = connections[writer];
    if (!connection) throw new Error(`There is no connection ${writer}.`);
    try {
      if (kind === 'inserts') await connection.run(INSERT, [writer, 'written']);
      else await transactionByHand(connection, writer);
      return true;
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    }
  };
}

async function transactionByHand(connection: HandConnection, writer: number): Promise<void> {
  await connection.run('BEGIN IMMEDIATE');
  try {
    await connection.run(UPDATE, [1 + writer]);
    await connection.run('COMMIT');
  } catch (error) {
    await connection.script('ROLLBACK');
    throw error;
  }
}

/** Every acknowledged write must be there; one that was not acknowledged when the process ended may be. */
export function check(task: Task, { filename }: Place, sample: Sample): Sample {
  if (task.kind === 'endless') return {};
  const { acknowledged = NaN, inFlight = NaN } = sample;
  using database = new DatabaseSync(filename);
  const sql =
    task.kind === 'inserts' ? 'SELECT count(*) AS n FROM events' : 'SELECT sum(n) AS n FROM counters';
  const present = Number(database.prepare(sql).get()?.['n']);
  if (!(present >= acknowledged && present <= acknowledged + inFlight))
    throw new Error(
      `${acknowledged} writes were acknowledged, ${inFlight} under way, and ${present} are there.`,
    );
  return { present };
}

/** Reads that never end, and what a program feels that reads a file meanwhile. */
async function readEndlessly(
  { way, workers }: Extract<Task, { kind: 'endless' }>,
  { filename, seconds }: Place,
  small: string,
): Promise<Sample> {
  const idle = await probeIdle(small, Math.max(SHORTEST_PROBE_SECONDS, seconds / 2));
  await (way === 'hand' ? startByHand : startInPool)(filename, workers);
  const probe = probeFile(small);
  await sleep(Math.max(SHORTEST_PROBE_SECONDS, seconds) * 1000);
  const { p50Ms, p99Ms, maxMs } = probe.stop();
  return { idleP99Ms: idle.p99Ms, fileP50Ms: p50Ms, fileP99Ms: p99Ms, fileMaxMs: maxMs };
}

/** Nobody ends them: the parent ends this process. */
async function startInPool(filename: string, readers: number): Promise<void> {
  const pool = openPool(filename, 'pool', 'NORMAL');
  await pool.script(SCHEMA);
  for (let i = 0; i < readers; i++) void pool.get(ENDLESS);
}

async function startByHand(filename: string, readers: number): Promise<void> {
  const connections: HandConnection[] = [];
  for (let i = 0; i < readers; i++) connections.push(await HandConnection.open(filename, PRAGMAS));
  for (const connection of connections) void connection.all(ENDLESS);
}
