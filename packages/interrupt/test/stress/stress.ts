import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { connect, interruptOf, numberIn, open, type Driver } from '../database.ts';
import { CONNECTIONS, INTERRUPTED, ROWS, STOP, type Setup } from './setup.ts';

/** Longer than it takes to end every endless statement, on any machine. */
const STOP_MS = 30_000;

/** What the random interrupts of {@link stress} did. */
export interface Result {
  /** Calls that found a connection: the others had the key of a closed one. */
  readonly found: number;
  /** Statements that ended as interrupted. */
  readonly interrupted: number;
}

/**
 * Interrupts random connections at random moments while workers open them, run statements that end and statements that
 * do not, and close them. Rejects if a statement fails otherwise, a worker does not end, or a database is damaged.
 */
export async function stress(options: {
  /** Of the workers: one each. */
  readonly drivers: readonly Driver[];
  readonly path: string;
  /** How many times to interrupt. */
  readonly interrupts: number;
}): Promise<Result> {
  const { drivers, path, interrupts } = options;
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  const keys = new BigInt64Array(new SharedArrayBuffer(8 * CONNECTIONS * drivers.length));
  const control = new Int32Array(new SharedArrayBuffer(8));
  const controller = open(drivers[0] ?? 'node:sqlite', path);
  const interrupt = interruptOf(controller);

  const setups = drivers.map((driver, i): Setup => ({
    driver,
    path,
    filename: join(folder, `${i}.db`),
    keys: keys.subarray(i * CONNECTIONS, (i + 1) * CONNECTIONS),
    control,
  }));
  const workers = setups.map(
    (workerData) => new Worker(new URL('worker.ts', import.meta.url), { workerData, execArgv: [] }),
  );
  const exits = Promise.allSettled(workers.map((worker) => once(worker, 'exit')));

  let found = 0;
  for (let i = 0; i < interrupts; i++) {
    found += interrupt(Number(Atomics.load(keys, Math.floor(Math.random() * keys.length))));
    if (Math.random() < 0.5) await setTimeout(Math.random() < 0.5 ? 0 : 1);
  }
  Atomics.store(control, STOP, 1);
  const timer = setInterval(() => keys.forEach((key) => interrupt(Number(key))), 1);
  const ends = await Promise.race([exits, setTimeout(STOP_MS, undefined, { ref: false }).then(neverEnds)]);
  clearInterval(timer);

  controller.close();
  for (const end of ends) {
    if (end.status === 'rejected') throw end.reason;
  }
  for (const { driver, filename } of setups) check(driver, filename);
  await rm(folder, { recursive: true });
  return { found, interrupted: Atomics.load(control, INTERRUPTED) };
}

function neverEnds(): never {
  throw new Error('A worker does not end');
}

function check(driver: Driver, filename: string): void {
  const database = connect(driver, filename);
  const intact = database.prepare('PRAGMA integrity_check').get();
  const rows = numberIn(database.prepare('SELECT count(*) AS value FROM t').get());
  database.close();
  if (!JSON.stringify(intact).includes('"ok"')) throw new Error(`${filename}: ${JSON.stringify(intact)}`);
  if (rows % ROWS !== 0) throw new Error(`${filename} has a part of a transaction: ${rows} rows`);
}
