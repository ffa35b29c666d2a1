import { counted, keyed, strict, unique } from './constraints.ts';
import { documents, sums, words } from './expressions.ts';
import type { Kind } from './part.ts';
import { family, guarded, seen, tree } from './references.ts';

export const KINDS: readonly [Kind, ...Kind[]] = [
  strict,
  unique,
  documents,
  guarded,
  tree,
  family,
  sums,
  words,
  keyed,
  seen,
];

/** Those of which no statement can need another try after a failure. */
export const PLAIN_KINDS: readonly [Kind, ...Kind[]] = [
  counted,
  unique,
  counted,
  guarded,
  counted,
  family,
  keyed,
  seen,
];
