import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, type Clock, type PoolOptions } from '../../src/index.ts';
import { sqlite3 } from '../../src/drivers/sqlite3/sqlite3.ts';
import { nodeSqlite } from '../../src/drivers/worker/node-sqlite.ts';
import { Difference } from './account.ts';
import { contentsOf } from './contents.ts';
import { History } from './history.ts';
import { judge } from './judge.ts';
import type { Program, ProgramOptions } from './program.ts';
import { Recorder } from './recorder.ts';

/** A program that takes longer than this hangs. */
const LONGEST_MS = 10_000;

/** Where a program has its files: in memory if there is such a directory, because most of the time would be spent waiting for the disk. */
const DIRECTORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Runs a program on a pool; rejects with a {@link Difference} if anything of it is not as if each call had been alone. */
export async function run(program: Program): Promise<void> {
  const directory = await mkdtemp(join(DIRECTORY, 'sqlite-pool-'));
  try {
    const filename = join(directory, 'pool.db');
    const { options, schema } = program;
    const recorder = new Recorder(options.pace);
    const pools = Array.from({ length: options.pools }, () =>
      createPool(poolOptions(options, filename, recorder)),
    );
    const history = new History(program, pools, recorder);
    const done = (async () => {
      await pools[0]!.script(schema);
      await history.run(program);
      for (const pool of pools) await pool.close();
    })();
    await inTime(done, history);
    await judge(program, history, recorder, await contentsOf(filename), join(directory, 'alone.db'));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function poolOptions(
  { poolSize, groupCommit, synchronous, statementCache, recursiveTriggers, pace, ...others }: ProgramOptions,
  filename: string,
  recorder: Recorder,
): PoolOptions {
  const make = others.driver === 'node:sqlite' ? nodeSqlite : sqlite3;
  const driver = make({
    filename,
    pragmas: { synchronous, recursive_triggers: recursiveTriggers },
    ...(!statementCache && { statementCacheSize: 0 }),
  });
  const clock = pace === 'free' ? {} : { clock: timelessClock };
  return { driver: recorder.around(driver), poolSize, groupCommit, ...clock };
}

/** Nothing takes any time, so that nothing is decided by what took longer. */
const timelessClock: Clock = {
  now: () => 0,
  schedule: (callback, delayMs) => {
    const timer = setTimeout(callback, delayMs).unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

async function inTime(done: Promise<void>, history: History): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Difference('It hangs. So far:', history.actions));
    }, LONGEST_MS);
  });
  try {
    await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
