import { fromDriver } from '../../../src/driver-errors.ts';
import type { Connection, Driver, ExecuteHint } from '../../../src/driver.ts';
import { workerDriver } from '../../../src/drivers/worker/driver.ts';
import { findInterrupter, type Interrupter } from '../../../src/drivers/worker/interrupter.ts';
import type { BindingSource } from '../../../src/drivers/worker/protocol.ts';
import type { WorkerOptions } from '../../../src/drivers/worker/node-sqlite.ts';

/** The package in this repository: the core does not depend on it. */
const PACKAGE = new URL('../../../../interrupt/src/index.ts', import.meta.url).href;

export function findHere(binding: BindingSource): Promise<Interrupter | undefined> {
  return findInterrupter(binding, () => import(PACKAGE));
}

/** A driver that interrupts, or does not, whatever is installed. */
export function interruptibleDriver(
  binding: BindingSource,
  find: (binding: BindingSource) => Promise<Interrupter | undefined> = findHere,
): (options: WorkerOptions) => Driver {
  return (options) => workerDriver(options, binding.name, () => binding, find);
}

const HINT: ExecuteHint = {
  rowMode: 'object',
  readonly: true,
  returnsRows: true,
  effect: 'none',
  unleased: true,
};
/** From nothing to several milliseconds. */
const MOST_STEPS = 20_000;
/** Longest that an interrupt waits, in milliseconds. */
const MOST_MS = 8;
const COUNTING =
  'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT ?) SELECT count(*) AS n FROM c';

/** What became of many calls of which one was interrupted. */
interface Round {
  /** Those that ended with SQLITE_INTERRUPT though nobody interrupted them, or with another error. */
  readonly wrong: readonly unknown[];
  readonly interrupted: boolean;
}

/** Calls on all connections at once, of which one is interrupted at some moment, perhaps after it is over. */
async function interruptOne(connections: readonly Connection[], random: () => number): Promise<Round> {
  const target = Math.floor(random() * connections.length);
  const wrong: unknown[] = [];
  let interrupted = false;
  const calls = connections.map(async (connection, at) => {
    const steps = 1 + Math.floor(random() ** 3 * MOST_STEPS);
    try {
      const { rows } = await connection.execute(COUNTING, [steps], HINT);
      if (rows[0]?.['n'] !== steps) wrong.push(rows);
    } catch (error) {
      const { errno } = fromDriver(error) as { errno?: number };
      if (at !== target || errno !== 9) wrong.push(error);
      // Others were withdrawn before they began.
      else if (!(error as Error).message.includes('before it began')) interrupted = true;
    }
  });
  const all = Promise.all(calls);
  for (let times = Math.floor(random() * 4); times >= 0; times -= 1) {
    const until = performance.now() + random() * MOST_MS;
    while (performance.now() < until) await new Promise(setImmediate);
    connections[target]?.interrupt?.();
  }
  await all;
  return { wrong, interrupted };
}

/** Interrupts calls that share one handle with others, so many times, and says how often that came in time. Throws if it hit another. */
export async function interruptMany(
  driver: Driver,
  rounds: number,
  random: () => number,
  progress: (round: number, interrupted: number) => void = () => undefined,
): Promise<number> {
  const connections = await Promise.all(Array.from({ length: 8 }, () => driver.open()));
  let interrupted = 0;
  try {
    for (let round = 0; round < rounds; round += 1) {
      const { wrong, interrupted: inTime } = await interruptOne(connections, random);
      if (inTime) interrupted += 1;
      if (wrong.length > 0) throw new AggregateError(wrong, 'An interrupt hit another call.');
      progress(round + 1, interrupted);
    }
  } finally {
    await Promise.all(connections.map((connection) => connection.close()));
  }
  return interrupted;
}
