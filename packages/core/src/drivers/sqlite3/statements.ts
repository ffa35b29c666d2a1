import type { ExecuteHint, Value } from '../../driver.ts';
import { StatementCache } from '../statement-cache.ts';
import { interrupted, userOf, type NativeCalls } from './calls.ts';
import { isShort, learn, learnFromFailure, type Estimate, type Estimates } from './estimates.ts';
import type { Callback, Sqlite3Database, Sqlite3Statement } from './package.ts';
import type { ThreadCall } from './threads.ts';
import { isHeavy } from './values.ts';

/** A statement, and the estimate of its duration. */
interface Prepared {
  readonly statement: Sqlite3Statement;
  readonly estimate: Estimate;
}

/** What to do with the statement of a text, and the callbacks for the outcome. */
interface Job<T> {
  readonly sql: string;
  readonly params: readonly Value[];
  readonly start: (statement: Sqlite3Statement, callback: Callback<T>) => void;
  readonly done: (value: T) => void;
  readonly fail: (error: unknown) => void;
}

/** The settings of the statements of a handle. */
export interface StatementsSettings {
  readonly statementCacheSize: number;
  /** The estimates of the statements of all handles of a pool. */
  readonly estimates: Estimates;
}

/** The statements of one handle: it prepares them, keeps them, and learns how long each takes. */
export class NativeStatements {
  /** Whether the running call was interrupted. Then it makes no further step. */
  isInterrupted = false;
  readonly #prepareNative: Sqlite3Database['prepare'];
  readonly #calls: NativeCalls;
  readonly #kept: StatementCache<Prepared>;
  readonly #estimates: Estimates;
  readonly #onStray: (error: Error) => void;

  /**
   * @param onStray - Called with an error that belongs to no call.
   */
  constructor(
    prepareNative: Sqlite3Database['prepare'],
    calls: NativeCalls,
    { statementCacheSize, estimates }: StatementsSettings,
    onStray: (error: Error) => void,
  ) {
    this.#prepareNative = prepareNative;
    this.#calls = calls;
    this.#kept = new StatementCache(statementCacheSize, ({ statement }) => void statement.finalize());
    this.#estimates = estimates;
    this.#onStray = onStray;
  }

  /** Finalizes the statements that are kept. */
  clear(): void {
    this.#kept.clear();
  }

  /** Starts one call on the statement of a text, with a single promise. Starts it at once if it is known to be short. */
  use<T>(sql: string, params: readonly Value[], hint: ExecuteHint, start: Job<T>['start']): Promise<T> {
    return new Promise<T>((done, fail) => {
      const job: Job<T> = { sql, params, start, done, fail };
      const kept = this.#kept.take(sql);
      const user = userOf(hint);
      const needsNoSlot = hint.urgency === 'control' || isShort(kept?.estimate ?? this.#estimates.of(sql));
      if (needsNoSlot && this.#calls.goesAtOnce(user)) {
        this.#begin(job, kept, this.#calls.short(user));
        return;
      }
      const begin = (call: ThreadCall): void => {
        this.#begin(job, kept, call);
      };
      const giveUp = (error: unknown): void => {
        if (kept !== undefined) this.#kept.give(sql, kept);
        job.fail(error);
      };
      if (needsNoSlot) this.#calls.together(user, begin, giveUp);
      else this.#calls.whenThereIsASlot(user, begin, giveUp);
    });
  }

  #begin<T>(job: Job<T>, kept: Prepared | undefined, call: ThreadCall): void {
    if (kept !== undefined) {
      this.#use(job, kept, call);
      return;
    }
    this.prepare(job.sql, (error, statement) => {
      if (statement !== undefined) this.#use(job, { statement, estimate: this.#estimates.of(job.sql) }, call);
      else {
        this.#calls.end(call);
        job.fail(error);
      }
    });
  }

  #use<T>({ sql, params, start, done, fail }: Job<T>, prepared: Prepared, call: ThreadCall): void {
    const failed = (error: unknown): void => {
      learnFromFailure(prepared.estimate, this.#calls.end(call));
      // A statement that met SQLITE_BUSY stays active, and makes every later COMMIT fail.
      this.#kept.drop(sql, prepared);
      fail(error);
    };
    this.#calls.sent(call);
    try {
      start(prepared.statement, (error, value) => {
        if (error !== null) {
          failed(error);
          return;
        }
        learn(prepared.estimate, this.#calls.end(call));
        if (isHeavy(params)) this.#kept.drop(sql, prepared);
        else this.#kept.give(sql, prepared);
        done(value as T);
      });
    } catch (error) {
      failed(error);
    }
  }

  /** Prepares a statement that is not kept. */
  prepare(sql: string, callback: Callback<Sqlite3Statement>): void {
    const statement = this.#prepareNative(sql, (error) => {
      if (error !== null) callback(error);
      else if (this.isInterrupted) {
        // The interrupt came before the statement ran, so it hit nothing. A statement that never begins has no effect
        // either.
        statement.finalize();
        callback(interrupted());
      } else callback(null, statement);
    });
    // One listener for all: a function made here would keep the values and rows of the first caller alive.
    statement.on('error', this.#onStray);
  }
}
