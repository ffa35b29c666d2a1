import type { Dice } from '../dice.ts';
import type { Param, Statement } from '../program.ts';

/** A statement without its values; those of one text differ in these. */
export interface Line extends Omit<Statement, 'params'> {
  readonly values: (dice: Dice) => readonly Param[];
}

/** A part of a schema, and what can be done with it. */
export interface Part {
  readonly schema: string;
  /** The table that triggers, indices and columns are added to while a program runs; it has a column `tag`. */
  readonly table: string;
  /** The first is the plainest `INSERT`. */
  readonly writes: readonly [Line, ...Line[]];
  /** The first does not fail at a row. */
  readonly reads: readonly [Line, ...Line[]];
  /** What a program may do to the schema while it runs. */
  readonly changes?: readonly [string, ...string[]];
}

/** A kind of part. `n` is in the names of what belongs to one of them. Of a plain one no statement may need a second try. */
export type Kind = (n: string, dice: Dice, isPlain: boolean) => Part;

function clause(dice: Dice, isPlain: boolean, word: string): string {
  const how = dice.of(['', 'ABORT', 'FAIL', 'IGNORE', 'REPLACE', ...(isPlain ? [] : ['ROLLBACK'])]);
  return how === '' ? '' : `${word} ${how}`;
}

/** A conflict clause of a table. */
export function onConflict(dice: Dice, isPlain: boolean): string {
  return clause(dice, isPlain, 'ON CONFLICT');
}

/** A conflict clause of a statement. */
export function or(dice: Dice, isPlain: boolean): string {
  return clause(dice, isPlain, 'OR');
}

/** A small number, so that there are conflicts. */
export function small(dice: Dice): number {
  return dice.below(9);
}

/** A wrong value among many that are right. */
export function orWrong<T>(dice: Dice, right: T, wrong: T): T {
  return dice.oneIn(6) ? wrong : right;
}

export function line(sql: string, values: Line['values'], olderRowid?: boolean): Line {
  return olderRowid === true ? { sql, values, olderRowid } : { sql, values };
}
