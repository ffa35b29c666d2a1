/**
 * The contract between the pool and a database driver: three basic methods (`execute`, `rollback`, `close`), and
 * further abilities that make the driver better. docs/drivers.md gives the reasons for each member.
 */

/**
 * A value that SQLite can bind. The pool has checked it and converted booleans to 0 or 1.
 *
 * @example const values: Value[] = [null, 1, 2n, 'text', new Uint8Array(1)];
 */
export type Value = null | number | bigint | string | Uint8Array;

/**
 * A row as an object, with columns by name.
 *
 * @example const row: Row = { id: 1, name: 'Ada' };
 */
export type Row = Record<string, Value>;

/**
 * The result of one statement.
 *
 * @example const { rows, columns, changes, lastInsertRowid }: Result = await pool.execute('SELECT 1 AS n');
 */
export interface Result<R = Row> {
  /** The returned rows; empty for a statement that returns none. */
  readonly rows: R[];
  /** The names of the columns, in order, as far as the driver knows them. */
  readonly columns: readonly string[];
  /** The number of rows that the statement inserted, updated or deleted. */
  readonly changes: number;
  /** The rowid of the newest inserted row on this connection. */
  readonly lastInsertRowid: number | bigint;
}

/**
 * What the pool knows about a statement, and the form of the result that it wants. A driver may ignore everything but
 * `rowMode`.
 *
 * @example const hint: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
 */
export interface ExecuteHint {
  /** `array` asks for rows as arrays, in column order, which keeps two columns with the same name. */
  readonly rowMode: 'object' | 'array';
  /** Whether the statement only reads; `false` when in doubt. */
  readonly readonly: boolean;
  /** Whether the statement may return rows; `true` when in doubt. */
  readonly returnsRows: boolean;
  /**
   * How the statement changes rows; `insert` when in doubt. For `none`, SQLite keeps the counts of an earlier
   * statement.
   */
  readonly effect: 'insert' | 'change' | 'none';
  /**
   * The kind of caller that waits for the statement, for a driver that limits the number of running calls. `control`
   * must begin at once: it begins or ends a transaction, or is the pool's own statement. `writer`: it writes, or its
   * connection holds the write lock.
   */
  readonly urgency?: 'control' | 'writer' | 'reader';
  /**
   * No lease needs this connection, no transaction is open on it, and the statement changes only the database. So a
   * driver may run the statement on any handle of the same database, at the same time as the calls of other
   * connections. All statements of a batch have the same value here.
   */
  readonly unleased?: boolean;
}

/**
 * One statement of a batch. It never begins or ends a transaction.
 *
 * @example const statement: BatchedStatement = { sql: 'DELETE FROM t WHERE id = ?', params: [1], hint };
 */
export interface BatchedStatement {
  readonly sql: string;
  /** The values in the order of SQLite's parameter numbers. */
  readonly params: readonly Value[];
  readonly hint: ExecuteHint;
}

/**
 * The outcome of one statement of a batch.
 *
 * - `done`: it is kept, or is part of the transaction that was open before.
 * - `failed`: it failed, and nothing of it is kept.
 * - `undone`: nothing of it is kept, for another reason, which `error` holds: another statement failed, SQLite rolled
 *   back the transaction, or the COMMIT failed.
 *
 * @example const kept = outcomes.filter(({ status }) => status === 'done').length;
 */
export type BatchOutcome =
  | { readonly status: 'done'; readonly result: Result }
  | { readonly status: 'failed' | 'undone'; readonly error: unknown };

/**
 * One open database handle.
 *
 * The pool calls one method at a time and waits until it settles before the next call; only `interrupt` may come in
 * between. A method must report every error by rejecting.
 *
 * @example
 * const connection: Connection = {
 *   execute: async (sql, params = []) => await handle.query(sql, params),
 *   rollback: async () => {
 *     if (handle.inTransaction) await handle.query('ROLLBACK', []);
 *   },
 *   close: () => handle.close(),
 *   inTransaction: () => handle.inTransaction,
 * };
 */
export interface Connection {
  /** Runs one statement. The text keeps its named parameters; the values are in the order of SQLite's parameter numbers. */
  execute(sql: string, params?: readonly Value[], hint?: ExecuteHint): Promise<Result>;
  /** Rolls back an open transaction. Resolves if there is none. */
  rollback(): Promise<void>;
  /** Closes the handle. The pool calls no method after it. */
  close(): Promise<void>;
  /** Runs several statements without parameters. Stops at the first one that fails. */
  script?(sql: string): Promise<void>;
  /**
   * Runs several statements in one call and one transaction: its own, which it commits, or a savepoint of the open one.
   * Resolves to one outcome per statement. Rejects if the transaction could not begin: then nothing was done. If all
   * statements only read, its own transaction takes no write lock.
   *
   * `onError`: with `abort` it is all or nothing. With `continue` the outcome of each statement is as if it had run
   * alone: a failed statement is undone alone, and the others stay. Where that is not possible, all are undone: after
   * an interrupt, when SQLite has rolled back the transaction, and in a transaction of its own if some constraints are
   * checked only at the COMMIT.
   *
   * `inTransaction`: whether a transaction is open, for a driver that does not know it. Without this method, the pool
   * does the same with `execute`.
   */
  batch?(
    statements: readonly BatchedStatement[],
    onError: 'abort' | 'continue',
    inTransaction?: boolean,
  ): Promise<readonly BatchOutcome[]>;
  /**
   * Steps through the rows of one reading statement, also beside other calls and after a COMMIT. `return()` must end
   * the read.
   */
  iterate?(sql: string, params: readonly Value[]): AsyncIterator<Row, unknown, undefined>;
  /** Makes the running call reject soon; does nothing when no call runs. Without it, a cancelled call runs to its end. */
  interrupt?(): void;
  /**
   * Withdraws the running call if the driver has not begun it. Then the call rejects with SQLITE_INTERRUPT and has done
   * nothing. Returns whether the call was withdrawn. For a driver that queues calls and may be unable to interrupt
   * them.
   */
  withdraw?(): boolean;
  /** The driver's own object behind this connection, for users who need it. */
  readonly raw?: unknown;
  /** Whether the handle can no longer be trusted. Then the pool closes it instead of leasing it again. */
  readonly broken?: boolean;
  /** Whether a transaction is open. */
  inTransaction(): boolean | Promise<boolean>;
}

/**
 * A connection with at least the three basic methods, as `connectionFactory` makes it. If it does not report whether a
 * transaction is open, the pool tries a `BEGIN` to find out.
 *
 * @example const connection: BasicConnection = { execute, rollback, close };
 */
export type BasicConnection = Pick<Connection, 'execute' | 'rollback' | 'close'> & Partial<Connection>;

/**
 * Defaults that a driver knows better than the pool.
 *
 * @example const defaults: DriverDefaults = { validateAfterIdleMs: Infinity };
 */
export interface DriverDefaults {
  /** `Infinity` for a driver whose connections notice by themselves that they have ended. */
  readonly validateAfterIdleMs?: number;
}

/**
 * Opens connections to one database.
 *
 * @example const driver: Driver = { name: 'mine', open: () => openMine('app.db') };
 */
export interface Driver {
  /** The driver's name, for errors and for `docs/drivers.md`. */
  readonly name: string;
  /** A short name of the database, for logs: the last part of a path, or a host. Never with a secret. */
  readonly database?: string;
  /**
   * Whether the database lives in its connection. Then the pool opens one connection, and never closes it while the
   * pool is open. https://www.sqlite.org/inmemorydb.html
   */
  readonly inMemory?: boolean;
  /**
   * What decides which connection may write. `file`: a lock on the file; SQLite refuses it while another connection has it. `server`: a
   * server, which lets writers wait, and may take the lock away from a transaction that holds it for long. Default: `file`.
   */
  readonly locks?: 'file' | 'server';
  /** Values for options of the pool that the user does not set. */
  readonly defaults?: DriverDefaults;
  /**
   * Opens one connection, ready for use. `signal` aborts when the pool no longer wants the connection, because the pool
   * closes or `operationTimeoutMs` is over. A running open should end then. If it succeeds nevertheless, the pool
   * closes the connection.
   */
  open(signal?: AbortSignal): Promise<Connection>;
  /**
   * Resolves to an id of the database, the same for every path to the same file. Pools with the same id share one write
   * lock. A change of the id means that the file was replaced. Without this method, every pool has its own write lock.
   */
  databaseId?(): Promise<string>;
  /** The size of the WAL in bytes; 0 if there is none. Without this method, the pool does not keep the WAL small. */
  walBytes?(): Promise<number>;
}
