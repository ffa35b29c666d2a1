import { LinkedList, type Listed, type Place } from '../waiting/linked-list.ts';

/** Texts longer than this are not worth their memory: they are generated, and hardly come twice. */
const LONGEST_TEXT = 65_536;
/** Bound on the texts kept per connection, in characters. */
const MOST_TEXT = 1_048_576;

/** A statement that was given to the cache. */
class Kept<S> implements Listed<Kept<S>> {
  place: Place<Kept<S>> | undefined;
  readonly sql: string;
  readonly statement: S;

  constructor(sql: string, statement: S) {
    this.sql = sql;
    this.statement = statement;
  }
}

/**
 * Keeps prepared statements by their text, the least recently used going first, bounded in number and in text. While a
 * statement is in use its text has no other one in the cache, and nothing can use it twice or drop it.
 */
export class StatementCache<S> {
  readonly #byText = new Map<string, Kept<S>>();
  /** Those that are not in use, the least recently used first. */
  readonly #unused = new LinkedList<Kept<S>>();
  readonly #size: number;
  readonly #finalize: (statement: S) => void;
  #text = 0;

  constructor(size: number, finalize: (statement: S) => void) {
    this.#size = size;
    this.#finalize = finalize;
  }

  /** Takes the statement of a text into use, if it is there: it must be given back or dropped. */
  take(sql: string): S | undefined {
    const kept = this.#byText.get(sql);
    return kept !== undefined && this.#unused.delete(kept) ? kept.statement : undefined;
  }

  /** Gives a statement back, or a new one to the cache, which finalizes it if there is no place for it. */
  give(sql: string, statement: S): void {
    const known = this.#byText.get(sql);
    if (known?.statement === statement) {
      this.#unused.add(known);
      return;
    }
    if (this.#size === 0 || sql.length > LONGEST_TEXT || known !== undefined) {
      this.#finalize(statement);
      return;
    }
    const kept = new Kept(sql, statement);
    this.#byText.set(sql, kept);
    this.#text += sql.length;
    this.#unused.add(kept);
    while (this.#byText.size > this.#size || this.#text > MOST_TEXT) {
      const oldest = this.#unused.shift();
      /* v8 ignore next -- at the latest it is the one that has just come, and then there is room */
      if (oldest === undefined) break;
      this.#forget(oldest);
    }
  }

  /** Finalizes a statement that is in use. */
  drop(sql: string, statement: S): void {
    const kept = this.#byText.get(sql);
    if (kept?.statement === statement) this.#forget(kept);
    else this.#finalize(statement);
  }

  /** Finalizes everything that is not in use. */
  clear(): void {
    for (let kept = this.#unused.shift(); kept; kept = this.#unused.shift()) this.#forget(kept);
  }

  #forget({ sql, statement }: Kept<S>): void {
    this.#byText.delete(sql);
    this.#text -= sql.length;
    this.#finalize(statement);
  }
}
