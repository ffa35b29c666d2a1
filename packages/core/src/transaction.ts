import { bounded, limitOf, type Clock, type Limit } from './deadline.ts';
import type { Result, Row } from './driver.ts';
import {
  BusyError,
  InvalidArgumentError,
  LeaseEndedError,
  StatementTimeoutError,
  TransactionActiveError,
  TransactionLostError,
} from './errors.ts';
import {
  checkLimits,
  QueryMethods,
  type Call,
  type Queryable,
  type QueryOptions,
  type TransactionOptions,
} from './queryable.ts';
import type { Scope, Session } from './session.ts';
import { parseScript } from './sql.ts';

/** What a transaction runs on, and what ends it from outside. */
export interface TransactionHost {
  readonly session: Session;
  readonly clock: Clock;
  /** The transaction around this one, which makes this one a savepoint. */
  readonly outer: Scope | undefined;
  /** Aborts when the lease or the outer transaction ends. */
  readonly ended: AbortSignal | undefined;
}

const BEGIN = { immediate: 'BEGIN IMMEDIATE', deferred: 'BEGIN', exclusive: 'BEGIN EXCLUSIVE' } as const;

/** SQLite's code for a deferred transaction that read before another one wrote: only a new start can help. */
const BUSY_SNAPSHOT = 517;

/** Runs `fn` in a transaction, again from its start after a BUSY_SNAPSHOT if `retries` says so. */
export async function transact<T>(
  host: TransactionHost,
  fn: (tx: Queryable) => T | Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  checkTransaction(fn, options);
  for (let left = options.retries ?? 0; ; left -= 1) {
    try {
      return await transactOnce(host, fn, options);
    } catch (error) {
      if (left <= 0 || !(error instanceof BusyError) || error.errno !== BUSY_SNAPSHOT) throw error;
    }
  }
}

function checkTransaction(fn: unknown, options: TransactionOptions): void {
  if (typeof fn !== 'function')
    throw new InvalidArgumentError('transaction() takes a function: transaction(async (tx) => { … }).');
  checkLimits(options);
  const { mode, retries } = options;
  if (mode !== undefined && !Object.hasOwn(BEGIN, mode)) {
    throw new InvalidArgumentError("mode must be 'immediate', 'deferred' or 'exclusive'.");
  }
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0)) {
    throw new InvalidArgumentError('retries must be a whole number from 0.');
  }
}

async function transactOnce<T>(
  host: TransactionHost,
  fn: (tx: Queryable) => T | Promise<T>,
  { mode = 'immediate', signal, timeoutMs = Infinity }: TransactionOptions,
): Promise<T> {
  const { session, clock, outer } = host;
  if (session.scope !== outer) throw new TransactionActiveError();
  const limit = limitOf(
    clock,
    timeoutMs,
    () => new StatementTimeoutError('transaction', timeoutMs),
    signal,
    host.ended,
  );
  const tx = new Transaction(host);
  const savepoint = outer === undefined ? undefined : `sqlite_pool_${String(tx.depth)}`;
  // From here on only `tx` may use the connection; calls made before go first, because a connection serves in order.
  session.scope = tx;
  try {
    await session.control(savepoint === undefined ? BEGIN[mode] : `SAVEPOINT ${savepoint}`, limit);
    const value = await bounded((async () => await fn(tx))(), limit);
    tx.seal();
    await (savepoint === undefined ? session.commit(limit) : session.control(`RELEASE ${savepoint}`, limit));
    return value;
  } catch (error) {
    tx.end();
    const undone = undo(session, savepoint);
    // Past its deadline nobody waits for a rollback: it has its turn before whatever comes next on this connection.
    if (!isCut(error, limit)) await undone;
    throw error;
  } finally {
    tx.end();
    session.scope = outer;
  }
}

function isCut(error: unknown, { signals }: Limit): boolean {
  return (
    error instanceof StatementTimeoutError ||
    signals.some((signal) => signal.aborted && signal.reason === error)
  );
}

/** Never rejects: a connection that cannot roll back is found out by whoever uses it next, and is closed then. */
async function undo(session: Session, savepoint: string | undefined): Promise<void> {
  try {
    if (savepoint === undefined) await session.rollback();
    else {
      await session.control(`ROLLBACK TO ${savepoint}`);
      await session.control(`RELEASE ${savepoint}`);
    }
  } catch (error) {
    // A transaction that SQLite has rolled back takes its savepoints with it.
    if (!(error instanceof TransactionLostError)) session.markDirty();
  }
}

/** The handle a transaction's callback is given. */
class Transaction extends QueryMethods {
  readonly depth: number;
  readonly #host: TransactionHost;
  readonly #ended = new AbortController();
  /** `sealed`: calls made so far still run, before the COMMIT; new ones are refused. */
  #state: 'open' | 'sealed' | 'ended' = 'open';

  constructor(host: TransactionHost) {
    super();
    this.#host = host;
    this.depth = host.outer instanceof Transaction ? host.outer.depth + 1 : 0;
  }

  /** The callback has resolved: the handle takes no more calls. */
  seal(): void {
    this.#state = 'sealed';
  }

  /** Ends the handle: calls that wait or run reject. */
  end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#ended.abort(new LeaseEndedError(ENDED));
  }

  protected override perform(call: Call): Promise<Result> {
    this.#check(call.statement.control);
    return this.#host.session.perform(call, this.#ended.signal);
  }

  protected override step(call: Call): AsyncIterableIterator<Row> {
    this.#check('none');
    return this.#host.session.iterate(call, this.#ended.signal);
  }

  override async script(sql: string, options: QueryOptions = {}): Promise<void> {
    checkLimits(options);
    for (const { control } of parseScript(sql)) this.#check(control);
    await this.#host.session.script(sql, options, this.#ended.signal);
  }

  override async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T> {
    this.#check('none');
    return await transact({ ...this.#host, outer: this, ended: this.#ended.signal }, fn, options);
  }

  #check(control: string): void {
    if (this.#state !== 'open') throw new LeaseEndedError(ENDED);
    if (this.#host.session.scope !== this) throw new TransactionActiveError();
    if (control === 'begin' || control === 'commit' || control === 'rollback') {
      throw new InvalidArgumentError(
        'transaction() begins, commits and rolls back by itself: resolve to commit, throw to roll back, and nest transaction() for savepoints.',
      );
    }
  }
}

const ENDED = 'This transaction has ended; its handle cannot be used after its callback.';
