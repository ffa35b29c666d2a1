import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { Contestant } from './contestant.ts';
import { machineTime } from './machine-time.ts';
import type { ComparisonState, Way } from './state.ts';
import { statements } from './statements.ts';

const QUERY_MS = 100;
const WAYS: readonly Way[] = ['inline', 'each', 'pool'];

/** Three contestants under the same load, each with its own process and its own copy of the database. */
export class Race {
  readonly #directory: string;
  readonly #contestants: readonly Contestant[];
  /** How many rows the query counts, so that it takes as long as it should, and not less. */
  #rows: number;

  /** @param file A seeded database that nothing writes to. */
  static async start(file: string): Promise<Race> {
    const directory = await mkdtemp(join(dirname(file), 'comparison-'));
    const started = await Promise.allSettled(
      WAYS.map(async (way) => {
        const copy = join(directory, `${way}.db`);
        await copyFile(file, copy);
        return Contestant.start(way, copy);
      }),
    );
    const contestants = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const race = new Race(directory, contestants);
    const failure = started.find((one) => one.status === 'rejected');
    if (failure === undefined) return race;
    await race.stop();
    throw failure.reason;
  }

  private constructor(directory: string, contestants: readonly Contestant[]) {
    this.#directory = directory;
    this.#contestants = contestants;
    this.#rows = rowsFor(QUERY_MS);
  }

  get running(): boolean {
    return this.#contestants.every(({ running }) => running);
  }

  /** Resolves when all have answered. They are asked one after the other, so that none takes a core from another. */
  async query(): Promise<void> {
    const times: number[] = [];
    for (const contestant of this.#contestants) times.push(await contestant.query(this.#rows));
    // The machine was slower when the rows were counted.
    this.#rows = Math.ceil(this.#rows * Math.max(1, QUERY_MS / Math.min(...times)));
  }

  async writers(): Promise<void> {
    for (const contestant of this.#contestants) await contestant.writers();
  }

  state(since?: number): ComparisonState {
    return {
      now: machineTime(),
      contestants: this.#contestants.map((contestant) => contestant.state(since)),
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#contestants.map((contestant) => contestant.stop()));
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** The fastest of some tries counts: a busy machine can only make the query longer than that. */
function rowsFor(ms: number): number {
  using database = new DatabaseSync(':memory:');
  const statement = database.prepare(statements.query);
  const sample = 25_000;
  const tries = Array.from({ length: 20 }, () => {
    const start = machineTime();
    statement.get(sample);
    return machineTime() - start;
  });
  return Math.ceil((sample * ms) / Math.min(...tries));
}
