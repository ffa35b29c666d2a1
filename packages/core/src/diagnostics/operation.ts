import type {
  OperationChannel,
  AcquireEvent,
  OpenEvent,
  OperationEvent,
  PoolEvent,
  QueryEvent,
  RequestOrigin,
  TransactionEvent,
} from './events.ts';
import { OutcomeUnknownError } from '../errors.ts';
import type { Observer } from './observer.ts';

/** An operation that something listens to. It is the event itself, and changes while the operation goes on. */
abstract class Operation implements OperationEvent {
  readonly pool: PoolEvent['pool'];
  readonly poolName: string;
  readonly database: string | undefined;
  readonly driver: string;
  readonly request: RequestOrigin | undefined;
  durationMs: number | undefined;
  error: unknown;
  errorCode: string | undefined;
  readonly #observer: Observer;
  readonly #since: number;

  constructor(observer: Observer, request: RequestOrigin | undefined) {
    const { pool, poolName, database, driver } = observer.source;
    this.pool = pool;
    this.poolName = poolName;
    this.database = database;
    this.driver = driver;
    this.request = request;
    this.#observer = observer;
    this.#since = observer.clock.now();
  }

  protected get observer(): Observer {
    return this.#observer;
  }

  /** How long ago it began, in milliseconds. */
  get ageMs(): number {
    return this.#observer.clock.now() - this.#since;
  }

  /** The operation has ended well. */
  succeeded(_value: unknown): void {
    this.durationMs = this.ageMs;
  }

  /** The operation has failed. */
  failed(reason: unknown): void {
    this.durationMs = this.ageMs;
    this.error = reason;
    this.errorCode = codeOf(reason);
  }
}

/**
 * Runs `work`, and publishes the beginning and the end of its operation as `TracingChannel.tracePromise` does, except
 * that the result is no part of the event: it would show rows. `note` hears of the result before the end is published.
 */
export function traced<Event extends object, T>(
  channel: OperationChannel<Event>,
  operation: Operation & Event,
  work: () => Promise<T>,
  note?: (value: T) => void,
): Promise<T> {
  const { start, end, asyncStart, asyncEnd, error } = channel;
  // Not an async function: that would cost each call that something listens to one more promise.
  const begun = (): Promise<T> => {
    try {
      return work();
    } catch (refused) {
      return Promise.reject(refused);
    }
  };
  const running = start.runStores(operation, begun).then(
    (value) => {
      note?.(value);
      operation.succeeded(value);
      asyncStart.publish(operation);
      asyncEnd.publish(operation);
      return value;
    },
    (reason: unknown) => {
      operation.failed(reason);
      error.publish(operation);
      asyncStart.publish(operation);
      asyncEnd.publish(operation);
      throw reason;
    },
  );
  end.publish(operation);
  return running;
}

/** The wait of one caller for a connection. */
export class AcquireOperation extends Operation implements AcquireEvent {
  readonly purpose: AcquireEvent['purpose'];
  readonly ahead: number;

  constructor(
    observer: Observer,
    request: RequestOrigin | undefined,
    purpose: AcquireEvent['purpose'],
    ahead: number,
  ) {
    super(observer, request);
    this.purpose = purpose;
    this.ahead = ahead;
  }
}

/** An operation that waits for a connection and for the write lock. Where it waits, the code says so to it. */
export abstract class WaitingOperation extends Operation {
  phase: QueryEvent['phase'] = 'waiting';
  waitMs = 0;
  lockMs = 0;
  #lockSince = 0;

  /** How long it has waited for a lock so far, in milliseconds. */
  get lockedMs(): number {
    return this.phase === 'locking' ? this.lockMs + this.ageMs - this.#lockSince : this.lockMs;
  }

  /** It has a connection to itself. */
  connected(_inTransaction: boolean): void {
    if (this.phase === 'ended') return;
    this.waitMs = this.ageMs - this.lockMs;
    this.phase = 'running';
  }

  /** It begins to wait for the write lock, or for a lock of another process. */
  waitsForLock(): void {
    // A cancelled call has ended, and the others of its group go on.
    if (this.phase === 'ended') return;
    this.#lockSince = this.ageMs;
    this.phase = 'locking';
  }

  /** SQLite has answered that another process holds the lock. It waits for that. */
  meetsLock(): void {
    this.waitsForLock();
  }

  /** That wait is over. `next`: what it does now. */
  endsLockWait(next: QueryEvent['phase']): void {
    if (this.phase !== 'locking') return;
    this.lockMs += this.ageMs - this.#lockSince;
    this.phase = next;
  }

  /** It has waited for a lock together with another operation, in milliseconds. */
  waitedForLock(ms: number): void {
    this.lockMs += ms;
  }

  override succeeded(value: unknown): void {
    super.succeeded(value);
    this.ended(Number(this.durationMs));
  }

  override failed(reason: unknown): void {
    super.failed(reason);
    this.ended(Number(this.durationMs));
  }

  protected ended(durationMs: number): void {
    if (this.phase === 'locking') this.lockMs += durationMs - this.#lockSince;
    else if (this.phase === 'waiting') this.waitMs = durationMs - this.lockMs;
    this.phase = 'ended';
  }
}

/** One `transaction()`. */
export class TransactionOperation extends WaitingOperation implements TransactionEvent {
  readonly mode: TransactionEvent['mode'];
  outcome: TransactionEvent['outcome'];

  constructor(
    observer: Observer,
    request: RequestOrigin | undefined,
    mode: TransactionEvent['mode'] = 'immediate',
  ) {
    super(observer, request);
    this.mode = mode;
  }

  /** A transaction that runs again has waited for its connection before. */
  override connected(inTransaction: boolean): void {
    if (this.phase === 'waiting') super.connected(inTransaction);
  }

  override succeeded(value: unknown): void {
    super.succeeded(value);
    this.outcome = 'committed';
  }

  override failed(reason: unknown): void {
    super.failed(reason);
    this.outcome = reason instanceof OutcomeUnknownError ? 'unknown' : 'rolled back';
  }
}

/** The opening of one connection. */
export class OpenOperation extends Operation implements OpenEvent {}

/** One call of a query method. */
export class QueryOperation extends WaitingOperation implements QueryEvent {
  readonly method: QueryEvent['method'];
  readonly sql: string;
  readonly kind: QueryEvent['kind'];
  readonly parameters: number;
  readonly statements: number;
  rows: number | undefined;
  changes: number | undefined;
  runMs: number | undefined;
  busyRetries = 0;
  groupSize = 1;
  inTransaction = false;
  #onClosed: ((reason: unknown) => void) | undefined;

  constructor(
    observer: Observer,
    request: RequestOrigin | undefined,
    call: Pick<QueryEvent, 'method' | 'sql' | 'kind' | 'parameters' | 'statements'>,
  ) {
    super(observer, request);
    this.method = call.method;
    this.sql = call.sql;
    this.kind = call.kind;
    this.parameters = call.parameters;
    this.statements = call.statements;
  }

  /** Calls `callback` with the reason when the cursor of the call is closed under its loop. */
  whenClosed(callback: (reason: unknown) => void): void {
    this.#onClosed = callback;
  }

  /** The cursor of the call is closed, and its loop may never take the next step. */
  closed(reason: unknown): void {
    this.#onClosed?.(reason);
  }

  /** What the call has returned. */
  returned(rows: number, changes: number | undefined): void {
    this.rows = rows;
    this.changes = changes;
  }

  override connected(inTransaction: boolean): void {
    super.connected(inTransaction);
    if (this.phase === 'running') this.inTransaction = inTransaction;
  }

  override meetsLock(): void {
    super.meetsLock();
    if (this.phase === 'locking') this.busyRetries += 1;
  }

  protected override ended(durationMs: number): void {
    super.ended(durationMs);
    this.runMs = Math.max(0, durationMs - this.waitMs - this.lockMs);
    this.observer.ended(this);
  }
}

function codeOf(reason: unknown): string | undefined {
  const { sqliteCode, code, name } = (reason ?? {}) as Partial<
    Record<'sqliteCode' | 'code' | 'name', unknown>
  >;
  return [sqliteCode, code, name].find((one) => typeof one === 'string');
}
