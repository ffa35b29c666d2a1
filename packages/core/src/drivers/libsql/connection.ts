import type {
  BatchedStatement,
  BatchOutcome,
  Connection,
  ExecuteHint,
  Result,
  Row,
  Value,
} from '../../driver.ts';
import { isLocked } from '../../driver-errors.ts';
import { InvalidArgumentError, TransactionLostError } from '../../errors.ts';
import { parse, parseScript } from '../../query/sql.ts';
import { BatchSteps } from './batch.ts';
import { Calls } from './calls.ts';
import { OwnCursor, readAll } from './cursor.ts';
import { LibsqlError, serverError, StreamLostError } from './errors.ts';
import {
  batchIn,
  statementIn,
  type Answer,
  type BatchResult,
  type OpenStream,
  type StatementResult,
  type Step,
  type Stream,
  type WireError,
} from './protocol.ts';
import type { ReplicaReader } from './replica.ts';
import { scriptSteps } from './script.ts';
import { INSIDE, plainStep, stepsOf } from './steps.ts';
import { ServerTransaction } from './server-transaction.ts';
import { toResult, wireStatement } from './values.ts';

/** What a connection needs of its driver. */
export interface ConnectionSettings {
  /** Opens a stream to the primary. */
  readonly open: OpenStream;
  /** The most that a cursor in a transaction keeps in memory. */
  readonly bufferBytes: number;
  /** Reads at a replica. */
  readonly replica?: ReplicaReader;
  /** Called when it is closed. */
  readonly onClose?: () => void;
}

const UNDESCRIBED: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: true, effect: 'insert' };
const CURSOR: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };

/** One connection to a libSQL server. */
export class LibsqlConnection implements Connection {
  readonly #settings: ConnectionSettings;
  readonly #transaction = new ServerTransaction();
  readonly #calls: Calls;
  readonly #cursors = new Set<OwnCursor>();
  #state: 'open' | 'closed' = 'open';

  constructor(stream: Stream, settings: ConnectionSettings) {
    this.#settings = settings;
    this.#calls = new Calls(stream, settings.open, this.#transaction);
  }

  /**
   * Whether it has lost what was set on it: a stream that was changed, by a PRAGMA for example, is not replaced in silence. The pool
   * opens another connection, and runs `onConnect` on it.
   */
  get broken(): boolean {
    return this.#calls.isLost;
  }

  /** The stream that it uses now. */
  get raw(): Stream {
    return this.#calls.stream;
  }

  /** With the end of a stream the server rolls back. */
  inTransaction(): boolean {
    if (this.#transaction.state === 'begun' && !this.#calls.stream.isOpen) this.#transaction.clear();
    return this.#transaction.state !== 'none';
  }

  async execute(
    sql: string,
    params: readonly Value[] = [],
    hint: ExecuteHint = UNDESCRIBED,
  ): Promise<Result> {
    const { control, readonly, taints } = parse(sql);
    const { state } = this.#transaction;
    if (isOptimize(sql)) return nothing();
    if (control === 'begin' && state !== 'none')
      throw new LibsqlError('SQLITE_ERROR', 'cannot start a transaction within a transaction');
    if (control === 'begin' && hint.urgency === 'control') {
      this.#transaction.postpone(sql, !readonly);
      return nothing();
    }
    if (state === 'pending' && (control === 'commit' || control === 'rollback')) {
      this.#transaction.clear();
      return nothing();
    }
    const stmt = wireStatement(sql, params, hint);
    const nature = {
      reads: readonly && control === 'none',
      commits: control === 'commit' || control === 'release' || (!readonly && state === 'none'),
    };
    if (taints) this.#calls.keepStream();
    const replica = nature.reads && state === 'none' ? this.#replicaFor(sql) : undefined;
    const elsewhere = replica && {
      work: async () => {
        const read = await replica.read(stepsOf(stmt));
        return read && toResult(read, hint);
      },
      end: () => replica.destroy(),
    };
    const work = async (stream: Stream): Promise<Result> => {
      if (state === 'none' && control === 'none')
        return toResult(await this.#runAlone(stream, stepsOf(stmt)), hint);
      if (control === 'begin') this.#transaction.locks = !readonly;
      return toResult(this.#resultOf(await this.#run(stream, this.#transaction.stepsOf(stmt)), state), hint);
    };
    return await this.#calls.make(nature, work, elsewhere);
  }

  async batch(
    statements: readonly BatchedStatement[],
    onError: 'abort' | 'continue',
  ): Promise<readonly BatchOutcome[]> {
    for (const { sql } of statements) {
      const { control, taints } = parse(sql);
      if (taints) this.#calls.keepStream();
      if (control !== 'none')
        throw new InvalidArgumentError('A statement of a batch must not begin or end a transaction.');
    }
    const writes = statements.some(({ hint }) => !hint.readonly);
    const outside = !this.inTransaction();
    const batch = new BatchSteps(statements, onError, this.#transaction);
    return await this.#calls.make({ reads: !writes, commits: writes && outside }, async (stream) => {
      try {
        return batch.outcomes(await this.#run(stream, batch.steps));
      } finally {
        // An answer that is too large ends a batch half-way.
        if (outside && this.inTransaction()) await this.#end(stream);
      }
    });
  }

  async script(sql: string): Promise<void> {
    const statements = parseScript(sql);
    if (statements.some(({ taints }) => taints)) this.#calls.keepStream();
    const before = this.inTransaction() ? this.#transaction.state : 'none';
    const steps = scriptSteps(statements, this.#transaction);
    const commits = statements.some(({ control, readonly }) => !readonly || control !== 'none');
    await this.#calls.make({ reads: false, commits }, async (stream) => {
      const { step_results, step_errors } = await this.#run(stream, steps);
      const failed = step_errors.find((error) => error !== null) ?? undefined;
      if (failed !== undefined) throw this.#explain(failed, before);
      if (step_results.includes(null)) throw new TransactionLostError();
    });
  }

  /** On a stream of its own, so that it goes on beside other calls. In a transaction the rows are read at once. */
  iterate(sql: string, params: readonly Value[]): AsyncGenerator<Row, void, undefined> {
    const stmt = wireStatement(sql, params, CURSOR);
    return this.inTransaction()
      ? this.#rowsInTransaction(stepsOf(stmt, INSIDE))
      : this.#rowsOutside(stepsOf(stmt));
  }

  async rollback(): Promise<void> {
    if (this.inTransaction() && this.#transaction.state === 'begun') {
      try {
        await this.#calls.make({ reads: false, commits: false }, (stream) => this.#end(stream));
      } catch (error) {
        // Where the stream has ended, the server has rolled back.
        if (this.raw.isOpen) throw error;
      }
    }
    this.#transaction.clear();
  }

  interrupt(): void {
    this.#calls.interrupt();
    for (const cursor of this.#cursors) cursor.interrupt();
  }

  async close(): Promise<void> {
    this.#calls.close();
    this.#settings.replica?.close();
    if (this.#state === 'open') this.#settings.onClose?.();
    this.#state = 'closed';
    for (const cursor of this.#cursors) cursor.destroy();
  }

  /** Where a statement that only reads may run, besides the primary. */
  #replicaFor(sql: string): ReplicaReader | undefined {
    return this.#calls.isPlain && !isAboutConnection(sql) ? this.#settings.replica : undefined;
  }

  async *#rowsOutside(steps: readonly Step[]): AsyncGenerator<Row, void, undefined> {
    const cursor = new OwnCursor(steps, this.#settings.open);
    this.#cursors.add(cursor);
    try {
      yield* cursor.rows();
    } finally {
      this.#cursors.delete(cursor);
    }
  }

  async *#rowsInTransaction(steps: readonly Step[]): AsyncGenerator<Row, void, undefined> {
    yield* await this.#calls.make({ reads: true, commits: false }, async (stream) => {
      const { state, begin } = this.#transaction;
      if (state === 'pending') this.#resultOf(await this.#run(stream, [plainStep(begin)]), state);
      try {
        const rows = await readAll(stream, steps, this.#settings.bufferBytes);
        if (rows !== undefined) return rows;
        throw new TransactionLostError();
      } catch (error) {
        // A cursor does not say where the transaction stands.
        if (stream.isOpen) this.#note(stream, (await stream.send([{ type: 'get_autocommit' }]))[0]);
        throw error;
      }
    });
  }

  async #end(stream: Stream): Promise<void> {
    const { step_errors } = await this.#run(stream, [plainStep('ROLLBACK', INSIDE)]);
    const error = step_errors[0] ?? undefined;
    if (error !== undefined) throw serverError(error);
  }

  /** Runs steps, and learns in the same hop where the transaction stands after them. */
  async #run(stream: Stream, steps: readonly Step[]): Promise<BatchResult> {
    const [batch, transaction] = await stream.send([
      { type: 'batch', batch: { steps } },
      { type: 'get_autocommit' },
    ]);
    const result = batchIn(batch);
    // It may be over again: OR ROLLBACK.
    if ((result?.step_results[0] ?? undefined) !== undefined) this.#transaction.began();
    this.#note(stream, transaction);
    if (result === undefined) throw failureOf(stream, batch);
    return result;
  }

  #note(stream: Stream, answer: Answer | undefined): void {
    if (answer?.type !== 'ok' || answer.response.type !== 'get_autocommit') throw failureOf(stream, answer);
    this.#transaction.note(answer.response.is_autocommit);
  }

  /** Runs one statement that is its own transaction. */
  async #runAlone(stream: Stream, steps: readonly Step[]): Promise<StatementResult> {
    const [first] = steps;
    const [answer] = await stream.send([
      first !== undefined && steps.length === 1
        ? { type: 'execute', stmt: first.stmt }
        : { type: 'batch', batch: { steps } },
    ]);
    const batch = batchIn(answer);
    const result = batch === undefined ? statementIn(answer) : this.#resultOf(batch, 'none');
    if (result === undefined) throw failureOf(stream, answer);
    return result;
  }

  /** The result of the last of some steps; a step that was skipped has found its transaction gone. */
  #resultOf({ step_results, step_errors }: BatchResult, before: ServerTransaction['state']): StatementResult {
    const error = step_errors.find((each) => each !== null) ?? undefined;
    if (error !== undefined) throw this.#explain(error, before);
    const result = step_results.at(-1) ?? undefined;
    if (result === undefined) throw new TransactionLostError();
    return result;
  }

  /**
   * The server has one code for a lock and for a read that is out of date. A transaction that has begun without the lock has read
   * by now, and waiting does not help it.
   */
  #explain(error: WireError, before: ServerTransaction['state']): Error {
    const explained = serverError(error);
    const isStale = before === 'begun' && this.#transaction.state === 'begun' && !this.#transaction.locks;
    return isStale && isLocked(explained)
      ? new LibsqlError('SQLITE_BUSY_SNAPSHOT', explained.message)
      : explained;
  }
}

function failureOf(stream: Stream, answer: Answer | undefined): Error {
  if (answer?.type === 'error') return serverError(answer.error);
  stream.destroy();
  return new StreamLostError(true, new Error('The server has sent something else than was asked for.'));
}

/** Each time another one, because its arrays are the caller's. */
function nothing(): Result {
  return { rows: [], columns: [], changes: 0, lastInsertRowid: 0 };
}

/** The pool asks for it when it closes a connection, and the server refuses it. */
function isOptimize(sql: string): boolean {
  return /^PRAGMA\s+(?:main\s*\.\s*)?optimize\b/i.test(sql);
}

/** A PRAGMA, or a function that tells what this connection has done. */
function isAboutConnection(sql: string): boolean {
  return /^(?:explain\b.*)?pragma\b|\b(?:changes|total_changes|last_insert_rowid)\s*\(|\bpragma_/is.test(sql);
}
