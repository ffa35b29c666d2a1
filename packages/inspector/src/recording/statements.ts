import { querySummary, type QueryEvent } from '@sqlite-pool/core/channels';
import type { List, StatementOrder, StatementState } from '../state.ts';
import { Latencies } from './latencies.ts';
import { rounded } from './seconds.ts';

const MOST_TEXTS = 500;
const LONGEST_TEXT = 10_000;
const SHOWN = 50;

/** All calls with one text. */
class Statement {
  readonly id: number;
  readonly sql: string;
  readonly kind: string;
  /** Whether `sql` is all of the text. */
  readonly isWhole: boolean;
  /** Whether a call had several statements. */
  readonly isSeveral: boolean;
  readonly #latencies = new Latencies();
  #summary: string | undefined;
  #count = 0;
  #errors = 0;
  #totalMs = 0;
  #waitMs = 0;
  #state: StatementState | undefined;

  constructor(id: number, sql: string, { kind, method, statements, sql: whole }: QueryEvent) {
    this.id = id;
    this.sql = sql;
    this.kind = kind;
    this.isWhole = sql === whole;
    this.isSeveral = statements > 1 || method === 'script';
  }

  add({ durationMs, waitMs, lockMs, error }: QueryEvent): void {
    this.#latencies.add(Number(durationMs));
    this.#count += 1;
    if (error !== undefined) this.#errors += 1;
    this.#totalMs += Number(durationMs);
    this.#waitMs += waitMs + lockMs;
    this.#state = undefined;
  }

  /** What `order` compares. */
  measure(order: StatementOrder): number {
    switch (order) {
      case 'total':
        return this.#totalMs;
      case 'count':
        return this.#count;
      case 'errors':
        return this.#errors;
      case 'max':
        return this.#latencies.maxMs;
      case 'p50':
        return this.state().p50Ms;
      case 'p95':
        return this.state().p95Ms;
    }
  }

  /** Kept until the next call, because most texts rest between two polls. */
  state(): StatementState {
    this.#summary ??= querySummary(this.sql);
    return (this.#state ??= {
      id: this.id,
      summary: this.#summary,
      sql: this.isWhole ? this.sql : `${this.sql}…`,
      kind: this.kind,
      count: this.#count,
      errors: this.#errors,
      p50Ms: rounded(this.#latencies.percentile(0.5)),
      p95Ms: rounded(this.#latencies.percentile(0.95)),
      maxMs: rounded(this.#latencies.maxMs),
      totalMs: rounded(this.#totalMs),
      waitMs: rounded(this.#waitMs),
    });
  }
}

/** The calls by their text. Keeps the 500 texts that were used last. */
export class Statements {
  /** The one used last is at the end. */
  readonly #byText = new Map<string, Statement>();
  #last: Statement | undefined;
  #ids = 0;

  add(event: QueryEvent): void {
    const { sql } = event;
    const text = sql.length > LONGEST_TEXT ? sql.slice(0, LONGEST_TEXT) : sql;
    const statement = this.#byText.get(text) ?? this.#create(text, event);
    if (statement !== this.#last) {
      this.#byText.delete(text);
      this.#byText.set(statement.sql, statement);
      this.#last = statement;
    }
    statement.add(event);
  }

  find(id: number): Statement | undefined {
    return [...this.#byText.values()].find((statement) => statement.id === id);
  }

  list(order: StatementOrder): List<StatementState> {
    const sorted = [...this.#byText.values()].sort((a, b) => b.measure(order) - a.measure(order));
    return { total: sorted.length, shown: sorted.slice(0, SHOWN).map((statement) => statement.state()) };
  }

  #create(text: string, event: QueryEvent): Statement {
    if (this.#byText.size >= MOST_TEXTS) {
      const [oldest] = this.#byText.keys();
      this.#byText.delete(String(oldest));
    }
    this.#ids += 1;
    // A slice would keep the whole text in memory.
    const own = text === event.sql ? text : Buffer.from(text).toString();
    return new Statement(this.#ids, own, event);
  }
}
