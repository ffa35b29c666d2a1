import type { ScaleName as SeedScale } from '@sqlite-pool/examples/seeding';

/** How much is measured. */
export interface Scale {
  readonly name: ScaleName;
  /** Which data set; see examples/src/shared/seed-data.ts. */
  readonly data: SeedScale;
  readonly rounds: number;
  /** How long each run measures. */
  readonly seconds: number;
}

export type ScaleName = 'tiny' | 'small' | 'default' | 'full';

/** `tiny` is for the tests: it shows that everything runs, and its figures mean nothing. */
export const scales: Readonly<Record<ScaleName, Scale>> = {
  tiny: { name: 'tiny', data: 'tiny', rounds: 1, seconds: 0.05 },
  small: { name: 'small', data: 'small', rounds: 1, seconds: 0.3 },
  default: { name: 'default', data: 'medium', rounds: 3, seconds: 0.4 },
  full: { name: 'full', data: 'full', rounds: 5, seconds: 2 },
};
