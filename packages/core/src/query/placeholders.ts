import { InvalidArgumentError } from '../errors.ts';
import { eachToken } from './tokens.ts';

/** SQLite's own limit. A `?999999` in a text must not become an array of that length. */
const MOST_PARAMETERS = 32_766;

/** Numbers the parameters of a statement as SQLite does: https://www.sqlite.org/lang_expr.html#varparam */
export class ParameterNumbers {
  /** The name of each parameter; `undefined` for a `?`. */
  readonly names: (string | undefined)[] = [];
  readonly #indexOf = new Map<string, number>();

  /** The number of a parameter, or `undefined` for any other token. */
  of(token: string): number | undefined {
    if (token.length > 1 ? !/^[:@$#?]/.test(token) : token !== '?') return undefined;
    const numbered = token.startsWith('?');
    const given = numbered && token !== '?' ? Number(token.slice(1)) : this.#indexOf.get(token);
    const index = given ?? this.names.length + 1;
    if (index < 1 || index > MOST_PARAMETERS) {
      throw new InvalidArgumentError(
        `A statement has at most ${String(MOST_PARAMETERS)} parameters, numbered from 1.`,
      );
    }
    while (this.names.length < index) this.names.push(undefined);
    if (numbered) return index;
    this.#indexOf.set(token, index);
    this.names[index - 1] = token.slice(1);
    return index;
  }
}

/** A text with a `?` for each parameter, and the numbers of the parameters in the order of the text. */
export interface PlainParameters {
  readonly text: string;
  readonly numbers: readonly number[];
}

/** Replaces every parameter by a `?`, the form that every native binding knows. Changes nothing else of the text. */
export function plainParameters(sql: string): PlainParameters {
  const numbers: number[] = [];
  const text = replaceParameters(sql, (number) => {
    numbers.push(number);
    return '?';
  });
  return { text, numbers };
}

/** The text of a statement with its parameters written by their numbers: `?1` for `:id`. */
export function numberedParameters(
  sql: string,
  form: (number: number) => string = (number) => `?${String(number)}`,
): string {
  return replaceParameters(sql, form);
}

function replaceParameters(sql: string, form: (number: number) => string): string {
  const numbers = new ParameterNumbers();
  let text = '';
  let copied = 0;
  eachToken(sql, (token, start, end) => {
    const number = numbers.of(token);
    if (number === undefined) return;
    text += sql.slice(copied, start) + form(number);
    copied = end;
  });
  return text + sql.slice(copied);
}
