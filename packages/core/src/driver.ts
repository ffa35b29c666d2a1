/**
 * The contract between the pool and a database driver: the three methods of the seed (`execute`, `rollback`,
 * `close`), and abilities that make it better. docs/drivers.md argues each member.
 */

/**
 * A value SQLite can bind. The pool has checked it and turned booleans into 0 or 1.
 *
 * @example const values: Value[] = [null, 1, 2n, 'text', new Uint8Array(1)];
 */
export type Value = null | number | bigint | string | Uint8Array;

/**
 * A row as an object, columns by name.
 *
 * @example const row: Row = { id: 1, name: 'Ada' };
 */
export type Row = Record<string, unknown>;

/**
 * What one statement did.
 *
 * @example const { rows, columns, changes, lastInsertRowid }: Result = await pool.execute('SELECT 1 AS n');
 */
export interface Result<R = Row> {
  /** The rows it returned; empty for a statement that returns none. */
  readonly rows: R[];
  /** The names of the columns, in order, as far as the driver can tell them. */
  readonly columns: readonly string[];
  /** How many rows it inserted, changed or deleted. */
  readonly changes: number;
  /** The rowid of the newest inserted row on this connection. */
  readonly lastInsertRowid: number | bigint;
}

/**
 * What the pool knows of a statement and wants of its result; a driver may ignore all of it but `rowMode`.
 *
 * @example const hint: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
 */
export interface ExecuteHint {
  /** `array` asks for rows as arrays, in column order, so that two columns of one name both survive. */
  readonly rowMode: 'object' | 'array';
  /** Whether it only reads; `false` when in doubt. */
  readonly readonly: boolean;
  /** Whether it may return rows; `true` when in doubt. */
  readonly returnsRows: boolean;
  /** What it does to rows; `insert` when in doubt. Counts are kept by SQLite from an earlier statement for `none`. */
  readonly effect: 'insert' | 'change' | 'none';
  /**
   * Who waits for it, for a driver that bounds what runs at once. `control` must begin at once: it begins or ends a
   * transaction, or is the pool's own. `writer`: it writes, or its connection has the turn to write.
   */
  readonly urgency?: 'control' | 'writer' | 'reader';
  /**
   * No lease holds the connection, no transaction is open on it, and the statement changes nothing but the database: a driver may run
   * it on any handle of the same database, and so beside the calls of other connections. The statements of a batch are all alike here.
   */
  readonly unleased?: boolean;
}

/**
 * One statement of a batch; none of them begins or ends a transaction.
 *
 * @example const statement: BatchedStatement = { sql: 'DELETE FROM t WHERE id = ?', params: [1], hint };
 */
export interface BatchedStatement {
  readonly sql: string;
  /** In the order of SQLite's numbers. */
  readonly params: readonly Value[];
  readonly hint: ExecuteHint;
}

/**
 * What became of one statement of a batch. `done`: it is kept, or part of the transaction that was open before. `failed`: it
 * failed, and nothing of it is kept. `undone`: nothing of it is kept because of something else, which `error` is: another
 * statement that failed, a transaction that SQLite rolled back, or a COMMIT that failed.
 *
 * @example const kept = outcomes.filter(({ status }) => status === 'done').length;
 */
export type BatchOutcome =
  | { readonly status: 'done'; readonly result: Result }
  | { readonly status: 'failed' | 'undone'; readonly error: unknown };

/**
 * One open database handle.
 *
 * The pool calls one method at a time and waits for it to settle before the next; only `interrupt` may come in
 * between. Whatever is wrong with a call, a method reports it by rejecting.
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
  /** Runs one statement. The text keeps its named parameters; the values come in the order of SQLite's numbers. */
  execute(sql: string, params?: readonly Value[], hint?: ExecuteHint): Promise<Result>;
  /** Rolls an open transaction back; resolves if there is none. */
  rollback(): Promise<void>;
  /** Closes the handle; nothing is called after it. */
  close(): Promise<void>;
  /** Runs several statements without parameters; stops at the first that fails. */
  script?(sql: string): Promise<void>;
  /**
   * Runs several statements in one call and one transaction: its own, which is committed, or in a savepoint of the open one. It
   * resolves to one outcome for each, and rejects if the transaction could not begin: then nothing was done. If all statements only
   * read, its own transaction takes no lock to write.
   *
   * `onError`: with `abort` it is all or nothing. With `continue` the outcome of each statement is as if it had been the only one: one
   * that fails is undone alone and the others stay. Where that cannot be had, all are undone: after an interrupt, when SQLite has rolled
   * back the transaction, and in a transaction of its own where constraints are checked at the COMMIT only.
   *
   * `inTransaction`: whether a transaction is open, for a driver that does not know it. Without this method the pool does the same
   * with `execute`.
   */
  batch?(
    statements: readonly BatchedStatement[],
    onError: 'abort' | 'continue',
    inTransaction?: boolean,
  ): Promise<readonly BatchOutcome[]>;
  /** Steps through the rows of one reading statement, beside other calls and after a COMMIT too; `return()` must end the read. */
  iterate?(sql: string, params: readonly Value[]): AsyncIterator<Row, unknown, undefined>;
  /** Makes the running call reject soon; does nothing when none runs. Without it a cancelled call runs to its end. */
  interrupt?(): void;
  /**
   * Takes back the running call if the driver has not begun it: it rejects with SQLITE_INTERRUPT and has done nothing. Says
   * whether it did. For a driver that queues calls and may be unable to interrupt them.
   */
  withdraw?(): boolean;
  /** The driver's own object behind this connection, for those who need it. */
  readonly raw?: unknown;
  /** Whether the handle cannot be trusted any more: the pool closes it instead of lending it again. */
  readonly broken?: boolean;
  /** Whether a transaction is open. */
  inTransaction(): boolean | Promise<boolean>;
}

/**
 * A connection with the three methods of the seed at least: what `connectionFactory` makes. Where it cannot say whether a transaction
 * is open, the pool finds out by trying a `BEGIN`.
 *
 * @example const connection: BasicConnection = { execute, rollback, close };
 */
export type BasicConnection = Pick<Connection, 'execute' | 'rollback' | 'close'> & Partial<Connection>;

/**
 * Opens connections to one database.
 *
 * @example const driver: Driver = { name: 'mine', open: () => openMine('app.db') };
 */
export interface Driver {
  /** The driver's name, for errors and for `docs/drivers.md`. */
  readonly name: string;
  /**
   * The database lives in its connection: the pool opens one, and never closes it while the pool is open.
   * https://www.sqlite.org/inmemorydb.html
   */
  readonly inMemory?: boolean;
  /**
   * Opens one connection, ready for use. `signal` aborts when nobody wants it any more, because the pool closes or
   * `operationTimeoutMs` is over: an open that is still under way should end then. One that succeeds all the same is closed.
   */
  open(signal?: AbortSignal): Promise<Connection>;
  /**
   * Names the database, the same for every path to the same file. Pools with one id share one write gate, and a
   * change of id tells the pool that the file was replaced. Without it every pool has a gate of its own.
   */
  databaseId?(): Promise<string>;
  /** How large the WAL is, in bytes; 0 if there is none. Without it the pool does not look after the WAL. */
  walBytes?(): Promise<number>;
}
