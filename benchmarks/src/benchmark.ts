import type { TopLevelSpec } from 'vega-lite';

import type { Figures, Labels, Sample } from './figures.ts';
import type { Scale } from './scale.ts';

/** One thing to measure, once per round, in a process of its own. */
export interface Job<Task> {
  readonly labels: Labels;
  /** What is compared: a contender, or a setting of the pool. */
  readonly variant: string;
  /** Told to `measure`; it must be JSON. */
  readonly task: Task;
  /** The database: a new one, the seeded one (only to read), or a copy of the seeded one. Default `'new'`. */
  readonly data?: 'new' | 'seeded' | 'copy';
  /** For Node.js, `--expose-gc` for example. */
  readonly execArgv?: readonly string[];
  /** Measured in the first round only, because it takes long. */
  readonly once?: boolean;
}

/** Where a run takes place. */
export interface Place {
  /** The database file, in a directory of its own unless it is the seeded one. */
  readonly filename: string;
  /** How long to measure. */
  readonly seconds: number;
  readonly scale: Scale;
}

/** A cell is what is printed: figures are formatted by who makes the table. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly note?: string;
}

/** A bound on a figure. */
export interface Target {
  readonly text: string;
  readonly value: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Drawn for a light and for a dark page; colours and fonts are the theme's. */
export interface Chart {
  /** The file is called `<name>-light.svg` and `<name>-dark.svg`. */
  readonly name: string;
  readonly title: string;
  readonly spec: TopLevelSpec;
}

export interface Report {
  readonly tables: readonly Table[];
  readonly targets?: readonly Target[];
  readonly charts?: readonly Chart[];
}

/** What `pnpm bench <name>` runs. */
export interface Benchmark<Task> {
  readonly name: string;
  /** One sentence, for the help. */
  readonly about: string;
  /** What to measure, in this order, in each round. Those to be compared stand side by side. */
  plan(scale: Scale): readonly Job<Task>[];
  /**
   * Runs in the child. It checks what it reads and throws when it is wrong, which ends the whole run; it throws
   * `Unavailable` where a contender cannot take part.
   */
  measure(task: Task, place: Place): Promise<Sample>;
  /** Runs in the parent when the child is gone, and throws when the database is wrong; what it finds is added to the sample. */
  check?(task: Task, place: Place, sample: Sample): Sample;
  report(figures: Figures): Report;
}
