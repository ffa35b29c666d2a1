import type { BasicConnection, BatchedStatement, BatchOutcome, Connection, ExecuteHint } from '../driver.ts';
import { leftNothing, resultCodeOf } from '../driver-errors.ts';
import { DeferredConstraints } from './deferred-constraints.ts';

/** A connection with all the methods that the pool needs. */
export type CompleteConnection = Connection & Required<Pick<Connection, 'batch'>>;

/** Adds the methods that the pool cannot do without, made of `execute` and `rollback`. */
export function complete(connection: BasicConnection): CompleteConnection {
  return isComplete(connection) ? connection : new CompletedConnection(connection);
}

function isComplete(connection: BasicConnection): connection is CompleteConnection {
  return connection.inTransaction !== undefined && connection.batch !== undefined;
}

/** A name that no caller uses by accident for a SAVEPOINT by hand. */
const SAVEPOINT = 'sqlite_pool_batch';

/** https://www.sqlite.org/rescode.html#interrupt */
const INTERRUPT = 9;

/** The hint for statements that begin or end a transaction. */
export const CONTROL: ExecuteHint = {
  rowMode: 'object',
  readonly: true,
  returnsRows: false,
  effect: 'none',
  urgency: 'control',
};

type Abilities = Required<Connection>;

/** The thing that a batch has opened and must end. */
type Opened = 'nothing' | 'transaction' | 'savepoint';

/** Adds `inTransaction` and `batch` to a connection that lacks one of them. */
class CompletedConnection implements CompleteConnection {
  readonly script?: Abilities['script'];
  readonly iterate?: Abilities['iterate'];
  readonly #connection: BasicConnection;
  readonly #deferredConstraints = new DeferredConstraints();
  #batch: 'none' | 'running' | 'stopped' | 'undoing' | 'not undone' = 'none';

  constructor(connection: BasicConnection) {
    this.#connection = connection;
    for (const ability of ['script', 'iterate'] as const) {
      const method = connection[ability]?.bind(connection);
      if (method !== undefined) Object.defineProperty(this, ability, { value: method });
    }
  }

  get raw(): unknown {
    return this.#connection.raw ?? this.#connection;
  }

  get broken(): boolean {
    return this.#batch === 'not undone' || this.#connection.broken === true;
  }

  execute(...call: Parameters<Connection['execute']>): ReturnType<Connection['execute']> {
    return this.#connection.execute(...call);
  }

  rollback(): Promise<void> {
    return this.#connection.rollback();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  /** A batch also stops by itself between two of its statements. */
  interrupt(): void {
    // An interrupted ROLLBACK would leave the transaction open.
    if (this.#batch === 'undoing') return;
    if (this.#batch === 'running') this.#batch = 'stopped';
    this.#connection.interrupt?.();
  }

  /** The same for a call that the driver has not begun. */
  withdraw(): boolean {
    if (this.#batch === 'undoing' || this.#connection.withdraw?.() !== true) return false;
    if (this.#batch === 'running') this.#batch = 'stopped';
    return true;
  }

  async inTransaction(): Promise<boolean> {
    return await (this.#connection.inTransaction?.() ?? tryBegin(this.#connection));
  }

  async batch(
    statements: readonly BatchedStatement[],
    onError: 'abort' | 'continue',
    inTransaction?: boolean,
  ): Promise<readonly BatchOutcome[]> {
    if (this.#connection.batch !== undefined)
      return await this.#connection.batch(statements, onError, inTransaction);
    const writes = statements.some(({ hint }) => !hint.readonly);
    this.#batch = 'running';
    const opened = await this.#begin(writes, inTransaction ?? (await this.inTransaction()));
    const outcomes: BatchOutcome[] = [];
    try {
      if (opened === 'transaction' && writes && onError === 'continue')
        await this.#refuseDeferredConstraints();
      for (const statement of statements) outcomes.push(await this.#runOne(statement, onError));
      this.#goOn();
      if (opened === 'transaction') await this.#control('COMMIT');
      if (opened === 'savepoint') await this.#control(`RELEASE ${SAVEPOINT}`);
      return outcomes;
    } catch (error) {
      await this.#undo(opened);
      const failed = onError === 'abort' ? outcomes.length : -1;
      return statements.map((_, at) => ({ status: at === failed ? 'failed' : 'undone', error }));
    } finally {
      if (!this.broken) this.#batch = 'none';
    }
  }

  async #begin(writes: boolean, inTransaction: boolean): Promise<Opened> {
    if (inTransaction && !writes) return 'nothing';
    await this.#control(inTransaction ? `SAVEPOINT ${SAVEPOINT}` : writes ? 'BEGIN IMMEDIATE' : 'BEGIN');
    return inTransaction ? 'savepoint' : 'transaction';
  }

  /**
   * A failed statement may leave some of its changes behind (see {@link leftNothing}). And this must ask SQLite whether
   * the transaction is still open: ON CONFLICT ROLLBACK and RAISE(ROLLBACK) have the code of any other constraint.
   */
  async #runOne(
    { sql, params, hint }: BatchedStatement,
    onError: 'abort' | 'continue',
  ): Promise<BatchOutcome> {
    this.#goOn();
    try {
      // On this handle and no other, because the transaction is open here.
      const own = { ...hint, unleased: false };
      return { status: 'done', result: await this.#connection.execute(sql, params, own) };
    } catch (error) {
      if (onError === 'abort' || !leftNothing(error) || !(await this.inTransaction())) throw error;
      return { status: 'failed', error };
    }
  }

  #goOn(): void {
    if (this.#batch === 'stopped') throw Object.assign(new Error('interrupted'), { errno: INTERRUPT });
  }

  async #refuseDeferredConstraints(): Promise<void> {
    const hint = { ...CONTROL, returnsRows: true };
    if (await this.#deferredConstraints.exist((sql) => this.#connection.execute(sql, [], hint)))
      throw new Error('Constraints of this database are checked at the COMMIT only.');
  }

  async #undo(opened: Opened): Promise<void> {
    this.#batch = 'undoing';
    try {
      if (opened === 'transaction') await this.#connection.rollback();
      // SQLite may have rolled the transaction back by itself, and has then removed the savepoint.
      if (opened === 'savepoint' && (await this.inTransaction())) {
        await this.#control(`ROLLBACK TO ${SAVEPOINT}`);
        await this.#control(`RELEASE ${SAVEPOINT}`);
      }
    } catch (error) {
      this.#batch = 'not undone';
      throw error;
    }
  }

  async #control(sql: string): Promise<void> {
    await this.#connection.execute(sql, [], CONTROL);
  }
}

/**
 * Whether a transaction is open: SQLite refuses a BEGIN inside one. Rejects if the BEGIN fails in any other way. After that, or if the
 * call is cancelled, the connection must not be used again: the BEGIN may succeed later, and look like the user's.
 */
export async function tryBegin(connection: Pick<Connection, 'execute' | 'rollback'>): Promise<boolean> {
  for (let left = MOST_INTERRUPTS; ; left -= 1) {
    try {
      await connection.execute('BEGIN');
      break;
    } catch (error) {
      if (isRefusedBegin(error)) return true;
      // An interrupt that was meant for the call before it says nothing about the transaction.
      if (left === 0 || resultCodeOf(error) !== INTERRUPT) throw error;
    }
  }
  await connection.rollback();
  return false;
}

/** How many interrupts in a row the question for a transaction survives. */
const MOST_INTERRUPTS = 100;

/** SQLITE_ERROR, "cannot start a transaction within a transaction". Not every driver has a result code. */
function isRefusedBegin(error: unknown): boolean {
  return (
    resultCodeOf(error) === 1 || (error instanceof Error && error.message.includes('within a transaction'))
  );
}
