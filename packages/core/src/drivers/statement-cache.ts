/** Texts longer than this are not worth their memory: they are generated, and hardly come twice. */
const LONGEST_TEXT = 65_536;
/** Bound on the texts kept per connection, in characters. */
const MOST_TEXT = 1_048_576;

/**
 * Keeps prepared statements by their text, the least recently used going first, bounded in number and in text. A
 * statement that is in use is out of the cache, so nothing can use it twice or drop it meanwhile.
 */
export class StatementCache<S> {
  readonly #kept = new Map<string, S>();
  readonly #size: number;
  readonly #finalize: (statement: S) => void;
  #text = 0;

  constructor(size: number, finalize: (statement: S) => void) {
    this.#size = size;
    this.#finalize = finalize;
  }

  /** Takes the statement of a text out of the cache. */
  take(sql: string): S | undefined {
    const statement = this.#kept.get(sql);
    if (statement !== undefined) this.#forget(sql);
    return statement;
  }

  /** Puts a statement back, or finalizes it if there is no place for it. */
  give(sql: string, statement: S): void {
    if (this.#size === 0 || sql.length > LONGEST_TEXT || this.#kept.has(sql)) {
      this.#finalize(statement);
      return;
    }
    this.#kept.set(sql, statement);
    this.#text += sql.length;
    for (const [oldest, unused] of this.#kept) {
      if (this.#kept.size <= this.#size && this.#text <= MOST_TEXT) break;
      this.#forget(oldest);
      this.#finalize(unused);
    }
  }

  /** Finalizes everything. */
  clear(): void {
    for (const statement of this.#kept.values()) this.#finalize(statement);
    this.#kept.clear();
    this.#text = 0;
  }

  #forget(sql: string): void {
    this.#kept.delete(sql);
    this.#text -= sql.length;
  }
}
