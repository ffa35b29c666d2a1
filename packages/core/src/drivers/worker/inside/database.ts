import { DEFERRED_CONSTRAINTS, SCHEMA_STATE } from '../../deferred-constraints.ts';
import { StatementCache } from '../../statement-cache.ts';
import type { Executed } from '../answers.ts';
import { CHANGES, INSERTS, READONLY, type Statement, type Text } from '../calls.ts';
import type { WireValue } from '../codec.ts';
import { isInterrupt } from './errors.ts';
import { isTooLarge, type BoundDatabase, type BoundStatement, type Counts } from './bindings.ts';

const NO_NAMES: readonly string[] = [];
const NO_ROWS: readonly WireValue[][] = [];

/** A statement that stays prepared, and what is known of it. */
interface Prepared {
  readonly text: Text;
  readonly statement: BoundStatement;
  /** Whether its columns go by the schema: it has a `*` that is not that of `count(*)`. */
  readonly starred: boolean;
  /** The names of its columns, and the state of the schema that they are known to be of. */
  columns: readonly string[];
  schema: number;
  /** Whether a read has met an integer that no number holds. */
  exact: boolean;
}

/** A text that calls something "temp", or attaches a database: what happens there shows in no version of the main schema. */
const OTHER_SCHEMAS = /\b(?:attach|temp|temporary)\b/i;
const STAR = /\*(?!\s*\))/;
const ROLLBACK = /^\s*rollback/i;

/** A bound value of more bytes or characters than this is not kept with its statement. */
const HEAVIEST_KEPT = 65_536;
/** What a read rounds without an error, in node:sqlite. */
const LOWEST = -(2 ** 63);

/** What a database is opened with. */
export interface DatabaseSettings {
  readonly statementCacheSize: number;
  /** Whether rows of a kept statement may be as wide as its table was when it was prepared: node:sqlite in Node.js 22. */
  readonly keepsWidth: boolean;
}

/** One connection in the worker. The two bindings differ from each other, and from what the pool is promised; not from here on. */
export class Database {
  readonly bound: BoundDatabase;
  readonly #settings: DatabaseSettings;
  readonly #statements: StatementCache<Prepared>;
  /** Statements of the driver's own. */
  readonly #own = new Map<string, BoundStatement>();
  #hasOtherSchemas = false;
  /** Goes up when a version of the schema may be one that comes again, with other columns: something was rolled back. */
  #era = 0;
  /** The state of the schema as it was last seen. */
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
      throw error;
    } finally {
      this.#putBack(prepared, values, flags);
    }
  }

  /** Runs a statement of a script, and drops its rows. */
  exec(text: Text): void {
    this.#note(text);
    this.#era += 1;
    this.bound.exec(text.sql);
  }

  /** Steps through a statement of its own: one from the cache could be in use by the body of the loop. */
  iterate({ text, values }: Statement): Cursor {
    const statement = this.bound.prepare(text.sql);
    return { rows: statement.iterate(values), columns: () => this.#names(statement, text) };
  }

  /** Runs one of the statements of a batch's own transaction. */
  control(sql: string): void {
    let statement = this.#own.get(sql);
    if (statement === undefined) this.#own.set(sql, (statement = this.bound.prepare(sql)));
    statement.run([]);
    if (ROLLBACK.test(sql)) this.#era += 1;
  }

  /**
   * Whether constraints are checked at the COMMIT only. To be asked inside a transaction that has the write lock: then it stays so until
   * its COMMIT. https://www.sqlite.org/foreignkeys.html#fk_deferred
   */
  defersConstraints(): boolean {
    const [state] = this.#ask(SCHEMA_STATE);
    const version = this.#era * 2 ** 32 + Number(state?.[0]);
    if (this.#hasOtherSchemas || version !== this.#constraints.version)
      this.#constraints = { version, deferred: this.#ask(DEFERRED_CONSTRAINTS).length > 0 };
    return this.#constraints.deferred || Number(state?.[1]) === 1;
  }

  /** SQLite forgets an interrupt that hit nothing when it begins a statement; one that is closed before leaves its WAL behind. */
  forgetInterrupt(): void {
    try {
      this.#ask('SELECT 1');
    } catch {
      // It was interrupted instead, or the database is closed.
    }
  }

  rollback(): void {
    if (this.inTransaction) this.control('ROLLBACK');
  }

  close(): void {
    this.#statements.clear();
    this.bound.close();
  }

  /** Notes what a statement may do to the schema that its version does not tell. */
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

  /** SQLite calls an expression without an alias by its text, and that is to be the one its user wrote. */
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

  /** The rows, and after it the names of the columns they have, which an ALTER TABLE of anybody may have changed. */
  #rows(prepared: Prepared, values: readonly WireValue[], readonly: boolean): WireValue[][] {
    // What has written must not be run again, nor throw when its row is in.
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

  /** Numbers first: they are read faster than bigints. */
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
   * Makes the names current. They are known to be of the state of the schema that was last seen before the statement ran: an
   * ALTER TABLE that came in between shows the next time.
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

/** Beside a cursor that is open, SQLite does not forget an interrupt. https://www.sqlite.org/c3ref/interrupt.html */
const MOST_INTERRUPTS = 100;

/** Asks something about a statement that has been done: an interrupt that comes this late must not look as if it had not. */
function surely<T>(ask: () => T): T {
  for (let left = MOST_INTERRUPTS; ; left -= 1) {
    try {
      return ask();
    } catch (error) {
      if (left > 0 && isInterrupt(error)) continue;
      // Without a result code, which would be an answer to the statement.
      throw new Error('What the statement has done could not be read.', { cause: error });
    }
  }
}

const NONE: Counts = { changes: 0, lastInsertRowid: 0 };

/** SQLite keeps both counts from an earlier statement when this one has changed nothing. */
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
