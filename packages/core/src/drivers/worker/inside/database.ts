import { DEFERRED_CONSTRAINTS, SCHEMA_STATE } from '../../deferred-constraints.ts';
import { StatementCache } from '../../statement-cache.ts';
import type { Executed } from '../answers.ts';
import { CHANGES, INSERTS, READONLY, type Statement, type Text } from '../calls.ts';
import type { WireValue } from '../codec.ts';
import { functionFailed, hasResultCode, isInterrupt } from './errors.ts';
import { isTooLarge, type BoundDatabase, type BoundStatement, type Counts } from './bindings.ts';

const NO_NAMES: readonly string[] = [];
const NO_ROWS: readonly WireValue[][] = [];

/** A statement that stays prepared, and its known properties. */
interface Prepared {
  readonly text: Text;
  readonly statement: BoundStatement;
  /** Whether its columns depend on the schema: it has a `*` that is not part of `count(*)`. */
  readonly starred: boolean;
  /** The names of its columns, and the state of the schema for which they are known to be right. */
  columns: readonly string[];
  schema: number;
  /** Whether a read has met an integer that no number holds. */
  exact: boolean;
}

/**
 * A text that names a "temp" schema, or attaches a database. Changes there do not change the version of the main
 * schema.
 */
const OTHER_SCHEMAS = /\b(?:attach|temp|temporary)\b/i;
const STAR = /\*(?!\s*\))/;
const ROLLBACK = /^\s*rollback/i;

/** A statement with a bound value of more bytes or characters than this is not kept. */
const HEAVIEST_KEPT = 65_536;
/** node:sqlite reads this integer as a number without an error. */
const LOWEST = -(2 ** 63);

/** The settings with which a database is opened. */
export interface DatabaseSettings {
  readonly statementCacheSize: number;
  /**
   * Whether the rows of a kept statement may have the width of its table at the time when it was prepared: node:sqlite
   * in Node.js 22.
   */
  readonly keepsWidth: boolean;
}

/**
 * One connection in the worker. It hides the remaining differences between the bindings, and between them and the
 * contract.
 */
export class Database {
  readonly bound: BoundDatabase;
  readonly #settings: DatabaseSettings;
  readonly #statements: StatementCache<Prepared>;
  /** The driver's own statements. */
  readonly #own = new Map<string, BoundStatement>();
  #hasOtherSchemas = false;
  /** Increases when something was rolled back: then a version of the schema may come again with other columns. */
  #era = 0;
  /** The state of the schema at the last check. */
  #seen = Number.NaN;
  #constraints = { version: Number.NaN, deferred: true };

  constructor(bound: BoundDatabase, settings: DatabaseSettings) {
    this.bound = bound;
    this.#settings = settings;
    this.#statements = new StatementCache(settings.statementCacheSize, () => undefined);
  }

  get inTransaction(): boolean {
    return this.bound.inTransaction;
  }

  /** Runs one statement to its end. */
  execute({ text, values, flags }: Statement): Executed {
    this.#note(text);
    const prepared = this.#statements.take(text.sql) ?? this.#prepare(text);
    const { statement } = prepared;
    try {
      if (!statement.returnsRows) {
        const counts = statement.run(values);
        return { columns: NO_NAMES, rows: NO_ROWS, ...countsOf(counts, flags) };
      }
      const rows = this.#rows(prepared, values, (flags & READONLY) !== 0);
      const columns = prepared.columns;
      const counts =
        (flags & (INSERTS | CHANGES)) === 0
          ? NONE
          : countsOf(
              surely(() => this.#counts()),
              flags,
            );
      return { columns, rows, ...counts };
    } catch (error) {
      this.#era += 1;
      throw this.explain(error, statement.returnsRows && (flags & READONLY) === 0);
    } finally {
      this.#putBack(prepared, values, flags);
    }
  }

  /** Runs a statement of a script, and drops its rows. */
  exec(text: Text): void {
    this.#note(text);
    this.#era += 1;
    try {
      this.bound.exec(text.sql);
    } catch (error) {
      throw this.explain(error);
    }
  }

  /**
   * Both bindings throw what a function of the application has thrown, which looks as if SQLite had not answered. But
   * SQLite has undone the statement, as after any of its own errors. If the binding fails to read the rows of a write,
   * however, then the write is done.
   *
   * @param mayBeDone - Whether the statement writes and returns rows.
   */
  explain(error: unknown, mayBeDone = false): unknown {
    if (hasResultCode(error)) return error;
    try {
      // After a failed statement there are no changes. This fails if the handle no longer works.
      const { changes } = this.#counts();
      return mayBeDone && !this.inTransaction && Number(changes) > 0 ? error : functionFailed(error);
    } catch {
      return error;
    }
  }

  /** Steps through a statement of its own, because the body of the loop could use the one in the cache. */
  iterate({ text, values }: Statement): Cursor {
    const statement = this.bound.prepare(text.sql);
    return { rows: statement.iterate(values), columns: () => this.#names(statement, text) };
  }

  /** Runs a statement that begins or ends a transaction or savepoint of a batch. */
  control(sql: string): void {
    let statement = this.#own.get(sql);
    if (statement === undefined) this.#own.set(sql, (statement = this.bound.prepare(sql)));
    statement.run([]);
    if (ROLLBACK.test(sql)) this.#era += 1;
  }

  /**
   * Whether SQLite checks some constraints only at the COMMIT. The caller must be inside a transaction that has the
   * write lock, so that the answer holds until its COMMIT. https://www.sqlite.org/foreignkeys.html#fk_deferred
   */
  defersConstraints(): boolean {
    const [state] = this.#ask(SCHEMA_STATE);
    const version = this.#era * 2 ** 32 + Number(state?.[0]);
    if (this.#hasOtherSchemas || version !== this.#constraints.version)
      this.#constraints = { version, deferred: this.#ask(DEFERRED_CONSTRAINTS).length > 0 };
    return this.#constraints.deferred || Number(state?.[1]) === 1;
  }

  /**
   * Runs a statement, because SQLite clears an interrupt that hit nothing when it begins the next statement. A
   * connection that is closed before that leaves its WAL behind.
   */
  forgetInterrupt(): void {
    try {
      this.#ask('SELECT 1');
    } catch {
      // The interrupt hit this statement instead, or the database is closed.
    }
  }

  rollback(): void {
    if (this.inTransaction) this.control('ROLLBACK');
  }

  close(): void {
    this.#statements.clear();
    this.bound.close();
  }

  /** Notes a statement that may change the schema without changing its version. */
  #note({ sql }: Text): void {
    if (OTHER_SCHEMAS.test(sql)) this.#hasOtherSchemas = true;
    if (ROLLBACK.test(sql)) this.#era += 1;
  }

  #prepare(text: Text): Prepared {
    const statement = this.bound.prepare(text.sql);
    const starred = statement.returnsRows && STAR.test(text.sql);
    const columns = statement.returnsRows ? this.#names(statement, text) : NO_NAMES;
    return { text, statement, starred, columns, schema: Number.NaN, exact: false };
  }

  /** SQLite names an expression without an alias after its text. The name must be the text that the user wrote. */
  #names(statement: BoundStatement, text: Text): string[] {
    const names = statement.columns();
    if (text.written === text.sql || !names.some((name) => name.includes('?'))) return names;
    return this.bound.prepare(text.written).columns();
  }

  #putBack(prepared: Prepared, values: readonly WireValue[], flags: number): void {
    const { sql } = prepared.text;
    const stale = this.#settings.keepsWidth && prepared.starred && (flags & READONLY) === 0;
    if (stale || isHeavy(values)) this.#statements.drop(sql, prepared);
    else this.#statements.give(sql, prepared);
  }

  /**
   * Reads the rows, and then updates the column names, because any connection may have changed them with an ALTER
   * TABLE.
   */
  #rows(prepared: Prepared, values: readonly WireValue[], readonly: boolean): WireValue[][] {
    // A statement that writes must not run again, nor throw after its row is in the table.
    let rows = readonly ? this.#read(prepared, values) : prepared.statement.all(values, true);
    if (!prepared.starred) return rows;
    if (readonly) this.#refresh(prepared);
    else
      surely(() => {
        this.#refresh(prepared);
      });
    if (readonly && rows[0] !== undefined && rows[0].length !== prepared.columns.length)
      rows = this.#read(prepared, values);
    return rows;
  }

  /** Reads numbers first, because they are faster than bigints. */
  #read(prepared: Prepared, values: readonly WireValue[]): WireValue[][] {
    const { statement } = prepared;
    if (!prepared.exact) {
      try {
        const rows = statement.all(values, false);
        if (!rows.some((row) => row.includes(LOWEST))) return rows;
      } catch (error) {
        if (!isTooLarge(error)) throw error;
      }
      prepared.exact = true;
    }
    return statement.all(values, true);
  }

  /**
   * Updates the column names. They are recorded for the state of the schema that was last seen before the statement
   * ran. So an ALTER TABLE in between is noticed the next time.
   */
  #refresh(prepared: Prepared): void {
    const before = this.#seen;
    const now = this.#schema();
    if (now === prepared.schema) return;
    prepared.columns = this.#names(prepared.statement, prepared.text);
    prepared.schema = before;
  }

  /** https://www.sqlite.org/pragma.html#pragma_schema_version */
  #schema(): number {
    if (this.#hasOtherSchemas) return Number.NaN;
    const [row] = this.#ask('PRAGMA schema_version');
    return (this.#seen = this.#era * 2 ** 32 + Number(row?.[0]));
  }

  #counts(): Counts {
    const [row] = this.#ask('SELECT changes(), last_insert_rowid()');
    const [changes, lastInsertRowid] = row as [bigint, bigint];
    return { changes, lastInsertRowid };
  }

  #ask(sql: string): WireValue[][] {
    let statement = this.#own.get(sql);
    if (statement === undefined) this.#own.set(sql, (statement = this.bound.prepare(sql)));
    return statement.all([], true);
  }
}

/** A statement that is stepped through. */
export interface Cursor {
  readonly rows: IterableIterator<WireValue[]>;
  /** The names of its columns, after its first step. */
  readonly columns: () => string[];
  names?: string[];
}

/**
 * The largest number of tries. While a cursor is open, SQLite does not forget an interrupt.
 * https://www.sqlite.org/c3ref/interrupt.html
 */
const MOST_INTERRUPTS = 100;

/** Runs a query about a statement that is done. An interrupt that comes so late must not make the statement look failed. */
function surely<T>(ask: () => T): T {
  for (let left = MOST_INTERRUPTS; ; left -= 1) {
    try {
      return ask();
    } catch (error) {
      if (left > 0 && isInterrupt(error)) continue;
      // Without a result code, because that would look like the result of the statement.
      throw new Error('What the statement has done could not be read.', { cause: error });
    }
  }
}

const NONE: Counts = { changes: 0, lastInsertRowid: 0 };

/** If this statement has changed nothing, SQLite keeps both counts from an earlier one. */
function countsOf({ changes, lastInsertRowid }: Counts, flags: number): Counts {
  if ((flags & (INSERTS | CHANGES)) === 0) return NONE;
  const inserted = (flags & INSERTS) !== 0 && Number(changes) > 0;
  return { changes, lastInsertRowid: inserted ? lastInsertRowid : 0 };
}

function isHeavy(values: readonly WireValue[]): boolean {
  let weight = 0;
  for (const value of values) {
    if (typeof value === 'string') weight += value.length;
    else if (value instanceof Uint8Array) weight += value.byteLength;
  }
  return weight > HEAVIEST_KEPT;
}
