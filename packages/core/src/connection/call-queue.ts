import {
  cancelReason,
  limitOf,
  noTimeout,
  outsideCalls,
  CancelSource,
  systemClock,
  watch,
  type CancelToken,
  type Clock,
  type Limit,
} from '../waiting/deadline.ts';
import { fromDriver, isSuspicious } from '../driver-errors.ts';
import { PoolOverloadedError } from '../errors.ts';
import { Semaphore } from '../waiting/semaphore.ts';

/** How often the interrupt of a call that was cut is repeated. */
const INTERRUPT_AGAIN_MS = 10;

/**
 * The native calls of one connection, one at a time and first come first served.
 *
 * A call that is cancelled rejects at once, but its turn ends only when the native call returns: an interrupt does not
 * end a busy wait, and a connection must not be used while a call still runs on it.
 */
export class CallQueue {
  readonly #lock = new Semaphore();
  readonly #settings: CallQueueSettings;
  readonly #interrupt: () => void;
  readonly #onRelease: () => void;
  /** The native call under way, which may go on after its caller was told that it is cancelled. */
  #running: Promise<CallEnd> | undefined;
  /** Who waits for it; nobody, when the caller was told that it is cancelled. */
  #caller: Caller | undefined;
  /** Why the turn under way is cancelled: it makes no further statement. */
  #cancelledBecause: CancelSource | undefined;
  /** Aborts at the next {@link CallQueue.cancel}. Made when something has to wait. */
  #cancelScope: CancelSource | undefined;
  #stopInterrupting: (() => void) | undefined;
  /** Why nobody gets a turn any more. */
  #shut: CancelSource | undefined;
  /** Whether a call has failed in a way that leaves it open whether another one can succeed. */
  isSuspect = false;

  /**
   * @param settings - The clock, and how many statements may wait.
   * @param interrupt - Makes the native call under way return soon, if that can be done.
   * @param onTurnOver - Called when a turn ends, before the next one begins.
   */
  constructor(settings: CallQueueSettings, interrupt: () => void, onTurnOver: () => void) {
    this.#settings = settings;
    this.#interrupt = interrupt;
    this.#onRelease = onTurnOver;
  }

  /** Whether someone has the turn, even if only to wait for a native call to return. */
  get busy(): boolean {
    return this.#lock.held > 0;
  }

  /** Whether nobody gets a turn any more. */
  get isShut(): boolean {
    return this.#shut !== undefined;
  }

  /** Why nobody gets a turn any more, if so. */
  get shutReason(): { readonly reason: unknown } | undefined {
    return this.#shut;
  }

  /** The native call under way, perhaps one that its caller was told is cancelled: resolves when it has returned. */
  get returned(): Promise<CallEnd> | undefined {
    return this.#running;
  }

  /** What stands for the native call under way, if there is one. */
  get current(): object | undefined {
    return this.#running;
  }

  /** Takes the turn if nobody has it. Whoever takes a turn must {@link CallQueue.release} it. */
  tryAcquire(): boolean {
    return this.#shut === undefined && this.#lock.tryAcquire();
  }

  /** Waits for the turn, under a limit or for as long as it takes. */
  async acquire(limit: Limit = UNLIMITED, kind: CallKind = 'statement'): Promise<void> {
    const cancelled = this.#shut ?? cancelReason(limit);
    if (cancelled !== undefined) throw cancelled.reason;
    if (this.#lock.tryAcquire()) return;
    const { maxWaiting } = this.#settings;
    if (kind === 'statement' && this.#lock.waiting >= maxWaiting)
      throw new PoolOverloadedError(maxWaiting, 'connection');
    await this.#lock.acquire(limit, kind);
    // Shut in the tick in which the turn came.
    if (this.#shut === undefined) return;
    this.#lock.release();
    throw this.#shut.reason;
  }

  /** Ends the turn, as soon as the last native call made in it has returned. */
  release(): void {
    if (this.#running !== undefined) {
      void this.#running.then(() => {
        this.release();
      });
      return;
    }
    this.#cancelledBecause = undefined;
    this.#onRelease();
    this.#lock.release();
  }

  /** Takes a turn for a user's `work`. */
  withLock<T>(limit: Limit | undefined, work: () => Promise<T>): Promise<T> {
    return this.#withLock('statement', limit, work);
  }

  /** Takes a turn for the pool's own `work`, a COMMIT or a rollback, for which a {@link CallQueue.cancel} is not meant. */
  operate<T>(limit: Limit, work: () => Promise<T>): Promise<T> {
    return this.#withLock('operation', limit, work);
  }

  async #withLock<T>(kind: CallKind, limit: Limit | undefined, work: () => Promise<T>): Promise<T> {
    await this.acquire(limit, kind);
    try {
      return await work();
    } catch (error) {
      throw asThrown(error);
    } finally {
      this.release();
    }
  }

  /**
   * Makes one native call, in a turn. When it is cut, the caller is told at once, and the call is interrupted.
   *
   * @param kind - An `operation` is the pool's own, a COMMIT or a rollback, which {@link CallQueue.cancel} does not cancel.
   */
  call<T>(start: () => Promise<T>, limit: Limit | undefined, kind: CallKind = 'statement'): Promise<T> {
    return this.#running === undefined ? this.#begin(start, limit, kind) : this.#callNext(start, limit, kind);
  }

  /**
   * After a call that was cut in the same turn, which must have returned. The wait for it has no limit: only a close
   * goes on after a cut, and that is bounded as a whole.
   */
  async #callNext<T>(start: () => Promise<T>, limit: Limit | undefined, kind: CallKind): Promise<T> {
    await this.#running;
    return await this.#begin(start, limit, kind);
  }

  #begin<T>(start: () => Promise<T>, limit: Limit | undefined, kind: CallKind): Promise<T> {
    const cancelled =
      (kind === 'statement' ? this.#cancelledBecause : undefined) ?? (limit && cancelReason(limit));
    if (cancelled !== undefined) return Promise.reject(new Cancelled(cancelled.reason));
    return new Promise<T>((resolve, reject) => {
      const stopWatching = limit && watch(limit, this.#cancelRunning);
      this.#caller = { resolve: resolve as Caller['resolve'], reject, kind, stopWatching };
      this.#running = called(start).then(this.#succeeded, this.#failed);
    });
  }

  // One call at a time: what to do when it ends is made once and not for each.
  readonly #succeeded = (value: unknown): CallEnd => {
    this.#over()?.resolve(value);
    return { value };
  };
  readonly #failed = (error: unknown): CallEnd => {
    this.isSuspect ||= isSuspicious(error);
    this.#over()?.reject(error);
    return { error };
  };
  readonly #cancelRunning = (reason: unknown): void => {
    const caller = this.#takeCaller();
    if (caller === undefined) return;
    this.#keepInterrupting();
    caller.reject(new Cancelled(reason, this.#running));
  };

  /** The native call has returned. Gives who waits for it. */
  #over(): Caller | undefined {
    this.stopInterrupting();
    this.#running = undefined;
    return this.#takeCaller();
  }

  /** Gives who waits for the call, who hears of it now and of nothing that comes later. */
  #takeCaller(): Caller | undefined {
    const caller = this.#caller;
    this.#caller = undefined;
    caller?.stopWatching?.();
    return caller;
  }

  /** Stops interrupting a call that does not return. */
  stopInterrupting(): void {
    this.#stopInterrupting?.();
    this.#stopInterrupting = undefined;
  }

  /**
   * Interrupts until the call returns. SQLite forgets an interrupt that comes while no statement steps, and a call can
   * still wait for a thread, or be between two steps: https://www.sqlite.org/c3ref/interrupt.html
   */
  #keepInterrupting(): void {
    this.#interrupt();
    const again = (): void => {
      this.#keepInterrupting();
    };
    // It may go on for long after the call was told.
    this.#stopInterrupting = outsideCalls(() =>
      this.#settings.clock.schedule(again, INTERRUPT_AGAIN_MS, true),
    );
  }

  /** Throws if the turn under way is cancelled. */
  throwIfCancelled(): void {
    const cancelled = this.#shut ?? this.#cancelledBecause;
    if (cancelled !== undefined) throw new Cancelled(cancelled.reason);
  }

  /** Aborts when the turn under way is cancelled: for what it waits for besides native calls. */
  get cancelToken(): CancelToken {
    return this.#shut ?? this.#cancelledBecause ?? (this.#cancelScope ??= new CancelSource());
  }

  /**
   * Cancels the statement under way, what else its turn was to run, and every statement that waits; those that come later
   * are somebody else's. So a call needs no signal for the end of the handle that it was made on.
   */
  cancel(why: () => unknown): void {
    this.#lock.rejectAll(why, 'statement');
    this.#endCancelScope(why);
    if (this.busy) this.#cancelledBecause = CancelSource.because(why);
    if (this.#caller?.kind === 'statement') this.#cancelRunning(why());
  }

  /** Cancels the native call under way, and nothing else of its turn. */
  cancelCall(reason: unknown): void {
    this.#cancelRunning(reason);
  }

  #endCancelScope(why: () => unknown): void {
    this.#cancelScope?.cancelEach(why);
    this.#cancelScope = undefined;
  }

  /** Cancels the call under way, if there is one, and refuses every other, those that wait too. */
  shut(why: () => unknown): void {
    // Only once: whoever waits after that waits for the end.
    if (this.#shut === undefined) {
      this.#shut = CancelSource.because(why);
      this.#lock.rejectAll(why);
    }
    this.#endCancelScope(why);
    this.#cancelRunning(why());
  }

  /** After {@link CallQueue.shut}: resolves when nothing runs any more, with the last turn. */
  async drained(): Promise<void> {
    await this.#lock.acquire(UNLIMITED);
  }
}

/** What a queue of calls needs to know. */
export interface CallQueueSettings {
  readonly clock: Clock;
  /** Statements that may wait; one more is refused at once. */
  readonly maxWaiting: number;
}

interface Caller {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
  readonly kind: CallKind;
  readonly stopWatching: (() => void) | undefined;
}

/** How a native call has ended. */
export type CallEnd = { readonly value: unknown } | { readonly error: unknown };

/** Whose a native call is: a user's, or the pool's own. */
export type CallKind = 'statement' | 'operation';

const UNLIMITED: Limit = limitOf(systemClock, Infinity, noTimeout);

/** Wraps the reason for which a wait was cut short, which may be anything, to tell it from what a driver threw. */
export class Cancelled extends Error {
  /** The native call that was cut; `undefined` if none had begun. */
  readonly call: Promise<CallEnd> | undefined;
  #why: () => unknown;

  constructor(reason: unknown, call?: Promise<CallEnd>) {
    super('cancelled');
    this.#why = () => reason;
    this.call = call;
  }

  /** One for several callers, each of whom gets a reason of its own. */
  static each(why: () => unknown): Cancelled {
    const cancelled = new Cancelled(undefined);
    cancelled.#why = why;
    return cancelled;
  }

  get reason(): unknown {
    return this.#why();
  }
}

/** What a caller is shown. Made where the caller still waits, so that its stack names the caller. */
export function asThrown(error: unknown): unknown {
  return error instanceof Cancelled ? error.reason : fromDriver(error);
}

/** Turns a driver that throws, or returns a plain value, into one that rejects or resolves. */
function called<T>(start: () => Promise<T>): Promise<T> {
  try {
    const call: unknown = start();
    return call instanceof Promise ? (call as Promise<T>) : Promise.resolve(call as T);
  } catch (error) {
    return Promise.reject(error);
  }
}
