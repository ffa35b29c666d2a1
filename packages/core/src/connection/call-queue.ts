import {
  alreadyCut,
  limitOf,
  noTimeout,
  outsideCalls,
  Revocation,
  systemClock,
  watch,
  type Cancellation,
  type Clock,
  type Limit,
} from '../waiting/deadline.ts';
import { fromDriver, isSuspicious } from '../driver-errors.ts';
import { PoolOverloadedError } from '../errors.ts';
import { Gate } from '../waiting/gate.ts';

/** How often the interrupt of a call that was cut is repeated. */
const INTERRUPT_AGAIN_MS = 10;

/**
 * The native calls of one connection, one at a time and first come first served.
 *
 * A call that is cancelled rejects at once, but its turn ends only when the native call returns: an interrupt does not
 * end a busy wait, and a connection must not be used while a call still runs on it.
 */
export class CallQueue {
  readonly #turns = new Gate();
  readonly #settings: CallQueueSettings;
  readonly #interrupt: () => void;
  readonly #onTurnOver: () => void;
  /** The native call under way, which may go on after its caller was told that it is cancelled. */
  #running: Promise<CallEnd> | undefined;
  /** Who waits for it; nobody, when the caller was told that it is cancelled. */
  #caller: Caller | undefined;
  /** Why the turn under way is cancelled: it makes no further statement. */
  #turnCut: Revocation | undefined;
  /** Aborts at the next {@link CallQueue.cut}. Made when something has to wait. */
  #era: Revocation | undefined;
  #stopInterrupting: (() => void) | undefined;
  /** Why nobody gets a turn any more. */
  #shut: Revocation | undefined;
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
    this.#onTurnOver = onTurnOver;
  }

  /** Whether someone has the turn, even if only to wait for a native call to return. */
  get busy(): boolean {
    return this.#turns.held > 0;
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

  /** Takes the turn if nobody has it. Whoever takes a turn must {@link CallQueue.leave} it. */
  tryEnter(): boolean {
    return this.#shut === undefined && this.#turns.tryEnter();
  }

  /** Waits for the turn, under a limit or for as long as it takes. */
  async enter(limit: Limit = UNLIMITED, kind: CallKind = 'statement'): Promise<void> {
    const cut = this.#shut ?? alreadyCut(limit);
    if (cut !== undefined) throw cut.reason;
    if (this.#turns.tryEnter()) return;
    const { maxWaiting } = this.#settings;
    if (kind === 'statement' && this.#turns.waiting >= maxWaiting)
      throw new PoolOverloadedError(maxWaiting, 'connection');
    await this.#turns.enter(limit, kind);
    // Shut in the tick in which the turn came.
    if (this.#shut === undefined) return;
    this.#turns.leave();
    throw this.#shut.reason;
  }

  /** Ends the turn, as soon as the last native call made in it has returned. */
  leave(): void {
    if (this.#running !== undefined) {
      void this.#running.then(() => {
        this.leave();
      });
      return;
    }
    this.#turnCut = undefined;
    this.#onTurnOver();
    this.#turns.leave();
  }

  /** Takes a turn for a user's `work`. */
  inTurn<T>(limit: Limit | undefined, work: () => Promise<T>): Promise<T> {
    return this.#take('statement', limit, work);
  }

  /** Takes a turn for the pool's own `work`, a COMMIT or a rollback, for which a {@link CallQueue.cut} is not meant. */
  operate<T>(limit: Limit, work: () => Promise<T>): Promise<T> {
    return this.#take('operation', limit, work);
  }

  async #take<T>(kind: CallKind, limit: Limit | undefined, work: () => Promise<T>): Promise<T> {
    await this.enter(limit, kind);
    try {
      return await work();
    } catch (error) {
      throw asThrown(error);
    } finally {
      this.leave();
    }
  }

  /**
   * Makes one native call, in a turn. When it is cut, the caller is told at once, and the call is interrupted.
   *
   * @param kind - An `operation` is the pool's own, a COMMIT or a rollback, which {@link CallQueue.cut} does not cancel.
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
    const cut = (kind === 'statement' ? this.#turnCut : undefined) ?? (limit && alreadyCut(limit));
    if (cut !== undefined) return Promise.reject(new Cut(cut.reason));
    return new Promise<T>((resolve, reject) => {
      const stopWatching = limit && watch(limit, this.#cancel);
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
  readonly #cancel = (reason: unknown): void => {
    const caller = this.#tell();
    if (caller === undefined) return;
    this.#keepInterrupting();
    caller.reject(new Cut(reason, this.#running));
  };

  /** The native call has returned. Gives who waits for it. */
  #over(): Caller | undefined {
    this.stopInterrupting();
    this.#running = undefined;
    return this.#tell();
  }

  /** Gives who waits for the call, who hears of it now and of nothing that comes later. */
  #tell(): Caller | undefined {
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
  checkTurn(): void {
    const cut = this.#shut ?? this.#turnCut;
    if (cut !== undefined) throw new Cut(cut.reason);
  }

  /** Aborts when the turn under way is cancelled: for what it waits for besides native calls. */
  get turnCancelled(): Cancellation {
    return this.#shut ?? this.#turnCut ?? (this.#era ??= new Revocation());
  }

  /**
   * Cancels the statement under way, what else its turn was to run, and every statement that waits; those that come later
   * are somebody else's. So a call needs no signal for the end of the handle that it was made on.
   */
  cut(why: () => unknown): void {
    this.#turns.failAll(why, 'statement');
    this.#endEra(why);
    if (this.busy) this.#turnCut = Revocation.because(why);
    if (this.#caller?.kind === 'statement') this.#cancel(why());
  }

  /** Cancels the native call under way, and nothing else of its turn. */
  cutCall(reason: unknown): void {
    this.#cancel(reason);
  }

  #endEra(why: () => unknown): void {
    this.#era?.abortEach(why);
    this.#era = undefined;
  }

  /** Cancels the call under way, if there is one, and refuses every other, those that wait too. */
  shut(why: () => unknown): void {
    // Only once: whoever waits after that waits for the end.
    if (this.#shut === undefined) {
      this.#shut = Revocation.because(why);
      this.#turns.failAll(why);
    }
    this.#endEra(why);
    this.#cancel(why());
  }

  /** After {@link CallQueue.shut}: resolves when nothing runs any more, with the last turn. */
  async drained(): Promise<void> {
    await this.#turns.enter(UNLIMITED);
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
export class Cut extends Error {
  /** The native call that was cut; `undefined` if none had begun. */
  readonly call: Promise<CallEnd> | undefined;
  #why: () => unknown;

  constructor(reason: unknown, call?: Promise<CallEnd>) {
    super('cut');
    this.#why = () => reason;
    this.call = call;
  }

  /** One for several callers, each of whom gets a reason of its own. */
  static each(why: () => unknown): Cut {
    const cut = new Cut(undefined);
    cut.#why = why;
    return cut;
  }

  get reason(): unknown {
    return this.#why();
  }
}

/** What a caller is shown. Made where the caller still waits, so that its stack names the caller. */
export function asThrown(error: unknown): unknown {
  return error instanceof Cut ? error.reason : fromDriver(error);
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
