import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { check, type Anomaly } from './check.ts';
import { parseLog, type History, type Op, type Outcome, type Read } from './history.ts';
import { DEFERRED_SCHEMA, READ_ALL, SCHEMA, valuesOf } from './lists.ts';
import { Log, noteComplaint } from './log.ts';
import { Random } from './random.ts';
import { Worker, type WorkerSettings } from './workers.ts';

/** Longest time from the moment in which a process begins to its end, in milliseconds. */
const LONGEST_LIFE_MS = 1500;

/** How many processes are killed so soon that they may not have begun, in percent, and how soon. */
const KILLED_EARLY = 10;
const EARLY_MS = 300;
/** How many kills are of all processes at once, in percent. */
const KILLED_WITH_ALL = 15;
/** How many processes are not killed, but told to end, in percent. */
const TOLD_TO_END = 15;

/** How long another connection waits for a lock, in milliseconds. */
const BUSY_TIMEOUT_MS = 10_000;

export interface GenerationSettings {
  /** Where it may put a directory for its database and its log. */
  readonly directory: string;
  readonly seed: number;
  readonly processes: number;
  /** Whether no process is to be started any more. */
  readonly isEnough: (progress: Progress) => boolean;
}

/** How far a history is. */
interface Progress {
  readonly ms: number;
  readonly kills: number;
  /** A transaction is some 250 bytes in the log. */
  readonly logBytes: number;
  /** How many transactions were done. */
  readonly ok: number;
}

interface Totals extends Record<Outcome, number> {
  readonly transactions: number;
  readonly kills: number;
}

export interface Generation {
  readonly anomalies: readonly Anomaly[];
  readonly totals: Totals;
  /** The directory with its database and its log. */
  readonly directory: string;
}

/** The history of one database: processes that use it, are killed and replaced, and what is found in the end. */
export async function generation({
  directory: parent,
  seed,
  processes,
  isEnough,
}: GenerationSettings): Promise<Generation> {
  const directory = await mkdtemp(join(parent, 'history-'));
  const filename = join(directory, 'lists.db');
  const log = join(directory, 'history.log');
  const random = new Random(seed);
  const deferred = random.in(50);
  await writeFile(log, '');
  withDatabase(filename, (database) => database.exec(SCHEMA + (deferred ? DEFERRED_SCHEMA : '')));
  const cache = join(parent, 'compiled');
  const place = new Place({ filename, log, deferred, cache }, random);
  const start = performance.now();
  const isOver = (): boolean =>
    isEnough({
      ms: performance.now() - start,
      kills: place.kills,
      logBytes: statSync(log).size,
      get ok() {
        return readFileSync(log, 'utf8').split('\n["ok",').length - 1;
      },
    });
  await Promise.all(Array.from({ length: processes }, () => place.keepBusy(isOver)));
  const history = await finish(filename, log);
  return { anomalies: check(history), totals: totalsOf(history, place.kills), directory };
}

/** The task of all processes of a database. */
type Common = Pick<WorkerSettings, 'filename' | 'log' | 'deferred' | 'cache'>;

/** A database, and the processes that use it. */
class Place {
  kills = 0;
  readonly #settings: Common;
  readonly #random: Random;
  readonly #alive = new Set<Worker>();
  #started = 0;

  constructor(settings: Common, random: Random) {
    this.#settings = settings;
    this.#random = random;
  }

  /** Has one process at a time until it is enough; it ends the last one with a message. */
  async keepBusy(isOver: () => boolean): Promise<void> {
    const random = this.#random;
    let mustCheck = false;
    while (!isOver()) {
      const worker = this.#start();
      const isEarly = random.in(KILLED_EARLY);
      if (!isEarly) await Promise.race([worker.ready, worker.dead]);
      if (mustCheck) this.#check();
      await untilDead(worker, random.next() * (isEarly ? EARLY_MS : LONGEST_LIFE_MS));
      this.#alive.delete(worker);
      if (worker.isDead) continue;
      if (isOver() || random.in(TOLD_TO_END)) await worker.end();
      else {
        await this.#kill(random.in(KILLED_WITH_ALL) ? [worker, ...this.#alive] : [worker]);
        // Half of the time before another process has opened the file, and repaired it.
        mustCheck = random.in(50);
        if (!mustCheck) this.#check();
      }
    }
  }

  #start(): Worker {
    this.#started += 1;
    const seed = this.#random.from(0, 2 ** 32 - 1);
    const worker = new Worker({ ...this.#settings, process: this.#started, seed });
    this.#alive.add(worker);
    return worker;
  }

  async #kill(workers: readonly Worker[]): Promise<void> {
    this.kills += workers.length;
    await Promise.all(workers.map((worker) => worker.kill()));
  }

  #check(): void {
    const { filename, log } = this.#settings;
    const found = withDatabase(filename, (database) => database.prepare('PRAGMA integrity_check').all());
    const text = JSON.stringify(found);
    if (text !== '[{"integrity_check":"ok"}]') noteComplaint(log, `The file is damaged: ${text}`);
  }
}

async function untilDead(worker: Worker, longestMs: number): Promise<void> {
  const timer = new AbortController();
  const over = wait(longestMs, undefined, { signal: timer.signal }).catch(() => undefined);
  await Promise.race([worker.dead, over]);
  timer.abort();
}

/** Reads all lists, past the pool and with another build of SQLite, and adds that to the log as its last transaction. */
async function finish(filename: string, path: string): Promise<History> {
  const names = new Set<string>();
  for (const { ops } of parseLog(await readFile(path, 'utf8')).transactions) nameLists(ops, names);
  const reads = Array.from(names, (read): Read => ({ read }));
  const log = new Log(path, 0);
  const entry = log.begin(log.nextId(), 'the read of all lists at the end', reads, false);
  withDatabase(filename, (database) => {
    const rows = READ_ALL.flatMap((sql) => database.prepare(sql).all()) as {
      name: string;
      list: string | number;
    }[];
    for (const read of reads) read.saw = valuesOf(rows, read.read);
  });
  entry.end('ok');
  return parseLog(await readFile(path, 'utf8'));
}

function nameLists(ops: readonly Op[], names: Set<string>): void {
  for (const op of ops) {
    if ('nested' in op) nameLists(op.nested, names);
    else names.add('append' in op ? op.to : op.read);
  }
}

function withDatabase<T>(filename: string, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(filename, { timeout: BUSY_TIMEOUT_MS });
  try {
    return use(database);
  } finally {
    database.close();
  }
}

function totalsOf({ transactions }: History, kills: number): Totals {
  const count = (outcome: Outcome): number => transactions.filter((one) => one.outcome === outcome).length;
  return {
    transactions: transactions.length,
    kills,
    ok: count('ok'),
    fail: count('fail'),
    info: count('info'),
  };
}
