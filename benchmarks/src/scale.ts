import type { ScaleName as SeedScale } from '@sqlite-pool/examples/seeding';

/** How much is measured. */
export interface Scale {
  readonly name: ScaleName;
  /** Which data set; see examples/src/shared/seed-data.ts. */
  readonly data: SeedScale;
  readonly rounds: number;
  /** How long each run measures. */
  readonly seconds: number;
  /**
   * How long each run does the same before that. V8 compiles what runs often only by and by, and more code takes longer: reads of
   * twenty rows through the pool are as fast as they get after 2.5 s, by hand after 1 s. A server runs for days.
   */
  readonly warmUpSeconds: number;
  /** Everything, in about an hour and three quarters; else what stands for it: nine benchmarks share two minutes. */
  readonly complete: boolean;
}

export type ScaleName = 'tiny' | 'small' | 'default' | 'full';

/** `tiny` is for the tests: it shows that everything runs, and its figures mean nothing. */
export const scales: Readonly<Record<ScaleName, Scale>> = {
  tiny: { name: 'tiny', data: 'tiny', rounds: 1, seconds: 0.02, warmUpSeconds: 0.02, complete: false },
  small: { name: 'small', data: 'small', rounds: 1, seconds: 0.25, warmUpSeconds: 0.5, complete: false },
  default: { name: 'default', data: 'medium', rounds: 2, seconds: 0.25, warmUpSeconds: 0.5, complete: false },
  full: { name: 'full', data: 'full', rounds: 3, seconds: 1.25, warmUpSeconds: 2.5, complete: true },
};
