/**
 * Time and cancellation, in one place: the clock, and a limit on how long something may wait. Everything in the pool
 * that waits does so under a {@link Limit}, and leaves no timer and no listener behind.
 */

/**
 * Where the pool gets its time from; replaced in tests by the fake clock of `@sqlite-pool/core/testing`.
 *
 * @example
 * const clock: Clock = {
 *   now: () => performance.now(),
 *   schedule: (callback, delayMs) => {
 *     const timer = setTimeout(callback, delayMs);
 *     return () => clearTimeout(timer);
 *   },
 * };
 */
export interface Clock {
  /** Milliseconds on a clock that never jumps (not the time of day). */
  now(): number;
  /**
   * Calls `callback` once after `delayMs`, and returns what cancels it. `background` work does not keep the process
   * alive.
   */
  schedule(callback: () => void, delayMs: number, background?: boolean): () => void;
}

/** The longest delay a Node.js timer takes: about 24.8 days. A longer one would fire at once. */
export const LONGEST_DELAY_MS: number = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  schedule(callback, delayMs, background = false) {
    const timer = setTimeout(callback, Math.min(Math.ceil(delayMs), LONGEST_DELAY_MS));
    if (background) timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/**
 * Calls `callback` at the end of this turn of the event loop. Taken when this is loaded: test runners that replace timers replace it
 * too, and it has nothing to do with time.
 */
export const atEndOfTurn: (callback: () => void) => void = setImmediate;

/** What may cut a wait short; an `AbortSignal` is one. */
export interface Cancellation {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(event: 'abort', listener: (this: Cancellation) => void): void;
  removeEventListener(event: 'abort', listener: (this: Cancellation) => void): void;
}

/**
 * What an `AbortController` and its signal are, without the events: making one of those and listening to it costs more than
 * all the rest of a transaction.
 */
export class Revocation implements Cancellation {
  #why: { readonly reason: unknown } | undefined;
  #listeners: ((this: Cancellation) => void)[] = NOBODY;

  get aborted(): boolean {
    return this.#why !== undefined;
  }

  get reason(): unknown {
    return this.#why?.reason;
  }

  addEventListener(_event: 'abort', listener: (this: Cancellation) => void): void {
    if (this.#listeners === NOBODY) this.#listeners = [listener];
    else this.#listeners.push(listener);
  }

  removeEventListener(_event: 'abort', listener: (this: Cancellation) => void): void {
    // Whoever came last leaves first, as a rule.
    const at = this.#listeners.lastIndexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  /** One that has been aborted already. */
  static because(reason: unknown): Revocation {
    const revocation = new Revocation();
    revocation.abort(reason);
    return revocation;
  }

  /** Cuts what waits, and what will. Only the first reason counts. */
  abort(reason: unknown): void {
    if (this.#why !== undefined) return;
    this.#why = { reason };
    // One that is called may make others leave.
    for (let next = this.#listeners.shift(); next; next = this.#listeners.shift()) next.call(this);
  }
}

/** Of most, nobody ever listens. */
const NOBODY: never[] = [];

/** How long something may wait, and who may cut it short. */
export interface Limit {
  readonly clock: Clock;
  /** The moment at which it was made. */
  readonly since: number;
  /** The moment on the clock at which the time is up; `Infinity` for none. */
  readonly deadline: number;
  /** Any of these cuts the wait short. */
  readonly signals: readonly Cancellation[];
  /** The error for a wait that ran out of time with `ahead` others before it in the queue, if there is one. */
  timeoutError(ahead: number): Error;
}

/** The reason a limit is already reached, or `undefined`. Always an object or a value a signal was aborted with. */
export function alreadyCut(limit: Limit): { readonly reason: unknown } | undefined {
  for (const signal of limit.signals) if (signal.aborted) return { reason: signal.reason };
  if (limit.deadline !== Infinity && limit.clock.now() >= limit.deadline)
    return { reason: limit.timeoutError(0) };
  return undefined;
}

/** Calls `onCut` once if the limit is reached; the function returned stops the watch. */
export function watch(limit: Limit, onCut: (reason: unknown) => void): () => void {
  const { clock, deadline, signals } = limit;
  let cancelTimer: (() => void) | undefined;

  const stop = (): void => {
    cancelTimer?.();
    for (const signal of signals) signal.removeEventListener('abort', onAbort);
  };
  const cut = (reason: unknown): void => {
    stop();
    onCut(reason);
  };
  function onAbort(this: Cancellation): void {
    cut(this.reason);
  }

  const arm = (): void => {
    cancelTimer = clock.schedule(() => {
      // A timer can fire a moment early, and none runs for longer than LONGEST_DELAY_MS.
      if (clock.now() < deadline) arm();
      else cut(limit.timeoutError(0));
    }, deadline - clock.now());
  };

  if (deadline !== Infinity) arm();
  for (const signal of signals) signal.addEventListener('abort', onAbort);
  return stop;
}

/**
 * Settles as `work` does, or rejects as soon as the limit is reached. In the second case `onCut` is called, and how
 * `work` ends later is ignored.
 */
export function bounded<T>(work: Promise<T>, limit: Limit, onCut?: (reason: unknown) => void): Promise<T> {
  if (limit.deadline === Infinity && limit.signals.length === 0) return work;
  return new Promise<T>((resolve, reject) => {
    const cut = (reason: unknown): void => {
      reject(reason);
      onCut?.(reason);
    };
    const reached = alreadyCut(limit);
    const stop = reached === undefined ? watch(limit, cut) : undefined;
    work.then(
      (value) => {
        stop?.();
        resolve(value);
      },
      (error: unknown) => {
        stop?.();
        reject(error);
      },
    );
    if (reached !== undefined) cut(reached.reason);
  });
}

/** The `timeoutError` of a limit without an end. */
/* v8 ignore next -- a deadline that is `Infinity` is never reached */
export function noTimeout(): Error {
  return new Error('There is no time limit.');
}

/** A limit of `timeoutMs` from now (`Infinity` for none). */
export function limitOf(
  clock: Clock,
  timeoutMs: number,
  timeoutError: (ahead: number) => Error,
  ...signals: (Cancellation | undefined)[]
): Limit {
  const since = clock.now();
  return {
    clock,
    since,
    deadline: since + timeoutMs,
    signals: present(signals),
    timeoutError,
  };
}

const NO_SIGNALS: readonly Cancellation[] = [];

/** The signals there are: of most limits none, and they share one list. */
function present(signals: readonly (Cancellation | undefined)[]): readonly Cancellation[] {
  for (const signal of signals) if (signal !== undefined) return signals.filter((one) => one !== undefined);
  return NO_SIGNALS;
}
