import {
  cancelReason,
  outsideCalls,
  CancelSource,
  systemClock,
  untilCancelled,
  watch,
  type CancelToken,
  type Clock,
  type Limit,
} from '../waiting/deadline.ts';
import { fromDriver, isSuspicious } from '../driver-errors.ts';
import { PoolOverloadedError } from '../errors.ts';
import { Semaphore } from '../waiting/semaphore.ts';

/** The pause between two interrupts of a cancelled call, in milliseconds. */
const INTERRUPT_AGAIN_MS = 10;

/**
 * The native calls of one connection, one at a time, in the order of their arrival. A caller holds the lock of the
 * connection while its calls run.
 *
 * A cancelled call rejects at once, but its lock is released only when the native call returns. An interrupt does not
 * end a busy wait, and a connection must not be used while a call still runs on it.
 */
export class CallQueue {
  readonly #lock = new Semaphore();
  readonly #settings: CallQueueSettings;
  readonly #interrupt: () => void;
  readonly #onRelease: () => void;
  /** The running native call. It may go on after its caller was rejected. */
  #running: Promise<CallEnd> | undefined;
  /** The caller that waits for the native call; `undefined` after a cancellation has rejected it. */
  #caller: Caller | undefined;
  /** The reason why the holder of the lock is cancelled. The holder must start no further statement. */
  #cancelledBecause: CancelSource | undefined;
  /** Aborts at the next {@link CallQueue.cancel}. Made on first use. */
  #cancelScope: CancelSource | undefined;
  #stopInterrupting: (() => void) | undefined;
  /** The reason why the lock can no longer be acquired. */
  #shut: CancelSource | undefined;
  /** Whether a call has failed in such a way that the next call may fail, too. */
  isSuspect = false;

  /**
   * @param settings - The clock, and how many statements may wait.
   * @param interrupt - Makes the running native call return soon, if that is possible.
   * @param onRelease - Called before each release of the lock.
   */
  constructor(settings: CallQueueSettings, interrupt: () => void, onRelease: () => void) {
    this.#settings = settings;
    this.#interrupt = interrupt;
    this.#onRelease = onRelease;
  }

  /** Whether the lock is held, even if only until a native call returns. */
  get busy(): boolean {
    return this.#lock.held > 0;
  }

  /** Whether the lock can no longer be acquired. */
  get isShut(): boolean {
    return this.#shut !== undefined;
  }

  /** The reason why the lock can no longer be acquired, if so. */
  get shutReason(): { readonly reason: unknown } | undefined {
    return this.#shut;
  }

  /** The running native call, even if its caller is already rejected. Resolves when the call has returned. */
  get returned(): Promise<CallEnd> | undefined {
    return this.#running;
  }

  /** An object that stands for the running native call, if there is one. */
  get current(): object | undefined {
    return this.#running;
  }

  /** Acquires the lock if it is free. The caller must {@link CallQueue.release} it. */
  tryAcquire(): boolean {
    return this.#shut === undefined && this.#lock.tryAcquire();
  }

  /** Waits for the lock, without a deadline by default. The caller must {@link CallQueue.release} it. */
  async acquire(limit: Limit = UNLIMITED, kind: CallKind = 'statement'): Promise<void> {
    const cancelled = this.#shut ?? cancelReason(limit);
    if (cancelled !== undefined) throw cancelled.reason;
    if (this.#lock.tryAcquire()) return;
    const { maxWaiting } = this.#settings;
    if (kind === 'statement' && this.#lock.waiting >= maxWaiting)
      throw new PoolOverloadedError(maxWaiting, 'connection');
    await this.#lock.acquire(limit, kind);
    // The queue may have been shut in the tick in which the lock was acquired.
    if (this.#shut === undefined) return;
    this.#lock.release();
    throw this.#shut.reason;
  }

  /** Releases the lock, as soon as the last native call of its holder has returned. */
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

  /** Runs a caller's `work` with the lock. */
  withLock<T>(limit: Limit | undefined, work: () => Promise<T>): Promise<T> {
    return this.#withLock('statement', limit, work);
  }

  /** Runs the pool's own `work` with the lock: a COMMIT or a rollback. {@link CallQueue.cancel} does not cancel it. */
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
   * Makes one native call. The caller must hold the lock. On a cancellation, the method rejects at once and interrupts
   * the native call.
   *
   * @param kind - An `operation` is the pool's own work, a COMMIT or a rollback. {@link CallQueue.cancel} does not
   *   cancel it.
   */
  call<T>(start: () => Promise<T>, limit: Limit | undefined, kind: CallKind = 'statement'): Promise<T> {
    return this.#running === undefined ? this.#begin(start, limit, kind) : this.#callNext(start, limit, kind);
  }

  /**
   * Makes a call after a cancelled one, which must have returned first. That wait has no limit: only a close goes on
   * after a cancellation, and the close as a whole has a limit.
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

  // There is one call at a time. So these functions are made once, and not for each call.
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

  /** The native call has returned. Returns the caller that waits for it. */
  #over(): Caller | undefined {
    this.stopInterrupting();
    this.#running = undefined;
    return this.#takeCaller();
  }

  /** Removes and returns the caller, so that it is settled only once. */
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
   * Interrupts until the call returns. SQLite forgets an interrupt that comes while no statement steps, and a call may
   * still wait for a thread or be between two steps: https://www.sqlite.org/c3ref/interrupt.html
   */
  #keepInterrupting(): void {
    this.#interrupt();
    const again = (): void => {
      this.#keepInterrupting();
    };
    // The interrupts may go on for long after the caller was rejected.
    this.#stopInterrupting = outsideCalls(() =>
      this.#settings.clock.schedule(again, INTERRUPT_AGAIN_MS, true),
    );
  }

  /** Throws if the holder of the lock is cancelled. */
  throwIfCancelled(): void {
    const cancelled = this.#shut ?? this.#cancelledBecause;
    if (cancelled !== undefined) throw new Cancelled(cancelled.reason);
  }

  /** Aborts when the holder of the lock is cancelled. For waits that are not native calls. */
  get cancelToken(): CancelToken {
    return this.#shut ?? this.#cancelledBecause ?? (this.#cancelScope ??= new CancelSource());
  }

  /**
   * Cancels the running statement, the later statements of the holder of the lock, and every statement that waits.
   * Later calls belong to other callers. So a call needs no signal for the end of its handle.
   */
  cancel(why: () => unknown): void {
    this.#lock.rejectAll(why, 'statement');
    this.#endCancelScope(why);
    if (this.busy) this.#cancelledBecause = CancelSource.because(why);
    if (this.#caller?.kind === 'statement') this.#cancelRunning(why());
  }

  #endCancelScope(why: () => unknown): void {
    this.#cancelScope?.cancelEach(why);
    this.#cancelScope = undefined;
  }

  /** Cancels the running call, if there is one, and refuses every other call, including those that wait. */
  shut(why: () => unknown): void {
    // Only once: after that, only `drained` waits for the lock.
    if (this.#shut === undefined) {
      this.#shut = CancelSource.because(why);
      this.#lock.rejectAll(why);
    }
    this.#endCancelScope(why);
    this.#cancelRunning(why());
  }

  /** Call it after {@link CallQueue.shut}. Resolves when nothing runs any more: it acquires the lock and keeps it. */
  async drained(): Promise<void> {
    await this.#lock.acquire(UNLIMITED);
  }
}

/** The settings of a call queue. */
export interface CallQueueSettings {
  readonly clock: Clock;
  /** The number of statements that may wait. The queue refuses one more at once. */
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

/** The owner of a native call: a caller, or the pool itself. */
export type CallKind = 'statement' | 'operation';

const UNLIMITED: Limit = untilCancelled(systemClock);

/** Wraps the reason of a cancellation, which may be any value, to distinguish it from an error of a driver. */
export class Cancelled extends Error {
  /** The cancelled native call; `undefined` if it had not begun. */
  readonly call: Promise<CallEnd> | undefined;
  #why: () => unknown;

  constructor(reason: unknown, call?: Promise<CallEnd>) {
    super('cancelled');
    this.#why = () => reason;
    this.call = call;
  }

  /** Makes one for several callers. Each of them gets its own reason. */
  static each(why: () => unknown): Cancelled {
    const cancelled = new Cancelled(undefined);
    cancelled.#why = why;
    return cancelled;
  }

  get reason(): unknown {
    return this.#why();
  }
}

/** The error that a caller sees. Made while the caller still waits, so that its stack names the caller. */
export function asThrown(error: unknown): unknown {
  return error instanceof Cancelled ? error.reason : fromDriver(error);
}

/** Makes a driver that throws, or returns a plain value, reject or resolve. */
function called<T>(start: () => Promise<T>): Promise<T> {
  try {
    const call: unknown = start();
    return call instanceof Promise ? (call as Promise<T>) : Promise.resolve(call as T);
  } catch (error) {
    return Promise.reject(error);
  }
}
