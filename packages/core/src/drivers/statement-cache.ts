import { LinkedList, type Listed, type Place } from '../waiting/linked-list.ts';

/** Longer texts are not worth their memory: they are generated, and rarely come twice. */
const LONGEST_TEXT = 65_536;
/** The limit for the texts that a connection keeps, in characters. */
const MOST_TEXT = 1_048_576;

/** A statement in the cache. */
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
 * Keeps prepared statements by their text, limited in number and in text. It removes the least recently used statement
 * first. While a statement is in use, its text has no other statement in the cache, and no other caller can use or drop
 * it.
 */
export class StatementCache<S> {
  readonly #byText = new Map<string, Kept<S>>();
  /** The statements that are not in use, the least recently used first. */
  readonly #unused = new LinkedList<Kept<S>>();
  readonly #size: number;
  readonly #finalize: (statement: S) => void;
  #text = 0;

  constructor(size: number, finalize: (statement: S) => void) {
    this.#size = size;
    this.#finalize = finalize;
  }

  /** Takes a statement into use, if the cache has it for this text. The caller must `give` or `drop` it. */
  take(sql: string): S | undefined {
    const kept = this.#byText.get(sql);
    return kept !== undefined && this.#unused.delete(kept) ? kept.statement : undefined;
  }

  /** Puts a statement into the cache after its use, or a new one. The cache finalizes it if there is no room for it. */
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
      /* v8 ignore next -- never reached: there is room at the latest when the new statement itself is removed */
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

  /** Finalizes all statements that are not in use. */
  clear(): void {
    for (let kept = this.#unused.shift(); kept; kept = this.#unused.shift()) this.#forget(kept);
  }

  #forget({ sql, statement }: Kept<S>): void {
    this.#byText.delete(sql);
    this.#text -= sql.length;
    this.#finalize(statement);
  }
}
