import { constants } from 'node:buffer';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { WireValue } from '../codec.ts';
import type { BindingSource, OpenMode } from '../protocol.ts';
import { describeError, hasResultCode } from './errors.ts';

/** The part of a binding that the worker uses. It hides the differences between the two bindings. */
export interface Binding {
  open(path: string, mode: OpenMode): BoundDatabase;
}

/** One open database handle. */
export interface BoundDatabase {
  /** The binding's own object, for the application's setup module. */
  readonly raw: object;
  readonly inTransaction: boolean;
  prepare(sql: string): BoundStatement;
  /** Runs one statement, and drops its rows. */
  exec(sql: string): void;
  /** Loads extensions. Loading is allowed only during this call. */
  loadExtensions(paths: readonly string[]): void;
  /** Allows statements to write while a cursor is open. */
  letCursorsWrite(open: boolean): void;
  close(): void;
}

/** The counts of a statement without rows. */
export interface Counts {
  readonly changes: number | bigint;
  readonly lastInsertRowid: number | bigint;
}

/** One prepared statement. Its rows are arrays. */
export interface BoundStatement {
  /** Whether the statement has columns. */
  readonly returnsRows: boolean;
  /** The names of its columns, as of the last time it was prepared. */
  columns(): string[];
  run(values: readonly WireValue[]): Counts;
  /**
   * @param exact - Whether integers are returned as bigints. Otherwise they are numbers, or it throws
   *   {@link isTooLarge}.
   */
  all(values: readonly WireValue[], exact: boolean): WireValue[][];
  /** Integers are returned as bigints. */
  iterate(values: readonly WireValue[]): IterableIterator<WireValue[]>;
}

export function loadBinding(source: BindingSource): Binding {
  return source.name === 'node:sqlite' ? loadNodeSqlite() : loadBetterSqlite3(source.path);
}

/** A wait for a lock would delay every connection of the thread. The pool tries again instead. */
const BUSY_TIMEOUT_MS = 0;

type SqlValue = null | number | bigint | string | Uint8Array;

function loadNodeSqlite(): Binding {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
  // In Deno, the errors of exec() and of an open have no result code.
  const onDeno = process.versions['deno'] !== undefined;
  // A URI, because no other option keeps it from creating a missing file: https://www.sqlite.org/uri.html
  const locate = (path: string, mode: OpenMode): string =>
    path === ':memory:' || mode === 'readonly'
      ? path
      : `${pathToFileURL(path).href}?mode=${mode === 'create' ? 'rwc' : 'rw'}`;
  return {
    open(path, mode) {
      const options = {
        readOnly: mode === 'readonly',
        timeout: BUSY_TIMEOUT_MS,
        enableForeignKeyConstraints: false,
        // Without it the binding has no loadExtension(). It is switched off at once.
        allowExtension: mayLoadExtensions(),
        // Of a longer text it makes no string. It returns nothing instead, also when the text is in the table by then.
        // Node.js before 24.15 ignores this option, and ends the process: there @sqlite-pool/interrupt sets the limit.
        // better-sqlite3 sets it by itself.
        limits: { length: constants.MAX_STRING_LENGTH },
      };
      const database = opened(() => new DatabaseSync(locate(path, mode), options));
      if (options.allowExtension) allowLoading(database, false);
      return {
        raw: database,
        get inTransaction() {
          return database.isTransaction;
        },
        prepare: (sql) => new NodeStatement(database.prepare(sql)),
        exec: (sql) => {
          if (onDeno) database.prepare(sql).run();
          else database.exec(sql);
        },
        loadExtensions(paths) {
          allowLoading(database, true);
          try {
            for (const path of paths) database.loadExtension(path);
          } finally {
            allowLoading(database, false);
          }
        },
        letCursorsWrite: () => undefined,
        close: () => {
          database.close();
        },
      };
    },
  };
}

/** https://www.sqlite.org/rescode.html#cantopen */
const CANTOPEN = 14;

function opened<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    // Every error of SQLite's own has a code, except in Deno.
    if (!hasResultCode(error) && describeError(error).message.startsWith('unable to open'))
      throw Object.assign(error as Error, { errcode: CANTOPEN });
    throw error;
  }
}

/** Deno has no such method. There, SQL can never load an extension. */
function allowLoading(database: object, allow: boolean): void {
  (database as { enableLoadExtension?(allow: boolean): void }).enableLoadExtension?.(allow);
}

/** With `--permission`, Node.js refuses to open a database that could load extensions. */
function mayLoadExtensions(): boolean {
  return (process as { permission?: unknown }).permission === undefined;
}

/** The part of the statements of node:sqlite that this file uses. */
interface RawNodeStatement {
  columns(): { name: string }[];
  setReturnArrays(enabled: boolean): void;
  setReadBigInts(enabled: boolean): void;
  run(...values: SqlValue[]): Counts;
  all(...values: SqlValue[]): unknown[];
  iterate(...values: SqlValue[]): IterableIterator<unknown>;
}

class NodeStatement implements BoundStatement {
  readonly returnsRows: boolean;
  readonly #statement: RawNodeStatement;
  #exact = true;

  constructor(statement: unknown) {
    this.#statement = statement as RawNodeStatement;
    this.#statement.setReturnArrays(true);
    this.#statement.setReadBigInts(true);
    this.returnsRows = this.#statement.columns().length > 0;
  }

  columns(): string[] {
    return this.#statement.columns().map(({ name }) => name);
  }

  run(values: readonly WireValue[]): Counts {
    this.#read(true);
    return this.#statement.run(...(values as SqlValue[]));
  }

  all(values: readonly WireValue[], exact: boolean): WireValue[][] {
    this.#read(exact);
    return this.#statement.all(...(values as SqlValue[])) as WireValue[][];
  }

  iterate(values: readonly WireValue[]): IterableIterator<WireValue[]> {
    this.#read(true);
    return this.#statement.iterate(...(values as SqlValue[])) as IterableIterator<WireValue[]>;
  }

  #read(exact: boolean): void {
    if (exact === this.#exact) return;
    this.#statement.setReadBigInts(exact);
    this.#exact = exact;
  }
}

/** Whether a read failed because of an integer that no number holds. */
export function isTooLarge(error: unknown): boolean {
  return describeError(error).code === 'ERR_OUT_OF_RANGE';
}

/** The part of better-sqlite3 that this file uses. */
interface RawBetterDatabase {
  readonly inTransaction: boolean;
  prepare(sql: string): RawBetterStatement;
  exec(sql: string): void;
  loadExtension(path: string): void;
  unsafeMode(enabled: boolean): void;
  close(): void;
}

interface RawBetterStatement {
  readonly reader: boolean;
  raw(enabled: boolean): void;
  safeIntegers(enabled: boolean): void;
  columns(): { name: string }[];
  run(...values: SqlValue[]): Counts;
  all(...values: SqlValue[]): unknown[];
  iterate(...values: SqlValue[]): IterableIterator<unknown>;
}

interface BetterOptions {
  readonly timeout: number;
  readonly readonly: boolean;
  readonly fileMustExist: boolean;
}

type BetterDatabase = new (path: string, options: BetterOptions) => RawBetterDatabase;

function loadBetterSqlite3(path: string): Binding {
  const Database = createRequire(path)(path) as BetterDatabase;
  return {
    open(file, mode) {
      const database = openBetter(Database, file, mode);
      // better-sqlite3 switches them on. Only the PRAGMAs of the pool decide that.
      database.exec('PRAGMA foreign_keys = OFF');
      return {
        raw: database,
        get inTransaction() {
          return database.inTransaction;
        },
        prepare: (sql) => new BetterStatement(database.prepare(sql)),
        exec: (sql) => {
          database.exec(sql);
        },
        // better-sqlite3 allows loading only inside this call.
        loadExtensions: (paths) => {
          for (const extension of paths) database.loadExtension(extension);
        },
        letCursorsWrite: (open) => {
          database.unsafeMode(open);
        },
        close: () => {
          database.close();
        },
      };
    },
  };
}

function openBetter(Database: BetterDatabase, path: string, mode: OpenMode): RawBetterDatabase {
  try {
    return new Database(path, {
      timeout: BUSY_TIMEOUT_MS,
      readonly: mode === 'readonly',
      fileMustExist: mode !== 'create',
    });
  } catch (error) {
    // better-sqlite3 checks the directory itself, and throws an error without a code.
    if (error instanceof TypeError) throw Object.assign(error, { code: 'SQLITE_CANTOPEN' });
    throw error;
  }
}

class BetterStatement implements BoundStatement {
  readonly returnsRows: boolean;
  readonly #statement: RawBetterStatement;

  constructor(statement: RawBetterStatement) {
    this.#statement = statement;
    this.returnsRows = statement.reader;
    // Without this, better-sqlite3 rounds integers that no number holds, and reports no error.
    statement.safeIntegers(true);
    if (statement.reader) statement.raw(true);
  }

  columns(): string[] {
    return this.#statement.columns().map(({ name }) => name);
  }

  run(values: readonly WireValue[]): Counts {
    return this.#statement.run(...(values as SqlValue[]));
  }

  all(values: readonly WireValue[]): WireValue[][] {
    return this.#statement.all(...(values as SqlValue[])) as WireValue[][];
  }

  iterate(values: readonly WireValue[]): IterableIterator<WireValue[]> {
    return this.#statement.iterate(...(values as SqlValue[])) as IterableIterator<WireValue[]>;
  }
}
