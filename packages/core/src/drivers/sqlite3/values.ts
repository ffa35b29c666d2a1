import type { Value } from '../../driver.ts';
import { InvalidArgumentError } from '../../errors.ts';

/** For a statement without parameters. */
export const NO_VALUES: readonly Value[] = [];

/** A kept statement keeps its bound values. One with more than this, in bytes and characters, is not kept. */
const HEAVIEST_KEPT = 65_536;

/** Whether the bound values are so large that the statement must not be kept. */
export function isHeavy(params: readonly Value[]): boolean {
  return weightOf(params) > HEAVIEST_KEPT;
}

function weightOf(params: readonly Value[]): number {
  let weight = 0;
  for (const value of params) {
    if (typeof value === 'string') weight += value.length;
    else if (typeof value === 'object' && value !== null) weight += value.byteLength;
  }
  return weight;
}

/** The package binds an unknown type as NULL (also a BigInt), and accepts bytes only as a Buffer. */
export function bindable(params: readonly Value[]): readonly Value[] {
  return params.some((value) => typeof value === 'bigint' || (typeof value === 'object' && value !== null))
    ? params.map(toBindable)
    : params;
}

function toBindable(value: Value): Value {
  if (typeof value === 'bigint') {
    if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER))
      return Number(value);
    throw new InvalidArgumentError(
      'The sqlite3 driver cannot bind an integer beyond 2^53. Bind it as a string and write CAST(? AS INTEGER) in the SQL.',
    );
  }
  if (typeof value !== 'object' || value === null) return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
