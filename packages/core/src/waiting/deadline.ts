import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Time and cancellation, in one place: the clock, and a limit on how long something may wait. Everything in the pool
 * that waits does so under a {@link Limit}, and leaves no timer and no listener behind.
 */

import { LinkedList, type Listed, type Place } from './linked-list.ts';
import { failTogether, type Failing } from './rejections.ts';

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

// Taken when this is loaded: test runners replace them, and a pool whose timers stand still while SQLite goes on waits for ever.
const { setTimeout, clearTimeout, setImmediate } = globalThis;
const now = performance.now.bind(performance);

/** The clock of the machine. */
export const systemClock: Clock = {
  now,
  schedule(callback, delayMs, background = false) {
    const timer = setTimeout(callback, Math.min(Math.ceil(delayMs), LONGEST_DELAY_MS));
    if (background) timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};

/**
 * Calls `work` outside the context of every call, that of the load of this file. What a pool keeps, or does for all, timers
 * and connections for example, is made here: in the context of the call that happens to come first it would keep what that
 * call has in its `AsyncLocalStorage`, a request for example, as long as the pool lives, and show it to others.
 */
export const outsideCalls: <T>(work: () => T) => T = AsyncLocalStorage.snapshot();

/** Calls `callback` at the end of this turn of the event loop, for all who need that. */
export function atEndOfTick(callback: () => void): void {
  outsideCalls(() => setImmediate(callback));
}

/** What may cut a wait short. */
export type CancelToken = AbortSignal | CancelSource;

/**
 * What an `AbortController` and its signal are, without the events: making one of those and listening to it costs more than
 * all the rest of a transaction.
 */
export class CancelSource {
  #why: (() => unknown) | undefined;
  #followers: Followers | undefined;

  get aborted(): boolean {
    return this.#why !== undefined;
  }

  /** Another error each time it is read, if it was aborted with {@link CancelSource.cancelEach}. */
  get reason(): unknown {
    return this.#why?.();
  }

  /** Who follows it. Made for the first: of most, nobody ever does. */
  get followers(): Followers {
    return (this.#followers ??= new Followers());
  }

  /** One that has been aborted already. */
  static because(why: () => unknown): CancelSource {
    const source = new CancelSource();
    source.cancelEach(why);
    return source;
  }

  /** Cuts what waits, and what will. Only the first reason counts. */
  cancel(reason: unknown): void {
    this.cancelEach(() => reason);
  }

  /** The same with an error for each: callers that fail together must not share one, because they may add to it. */
  cancelEach(why: () => unknown): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    this.#followers?.notify();
  }
}

/** Calls `onAbort` when its cancellation comes, unless it has stopped by then. */
export class Follower implements Listed<Follower> {
  place: Place<Follower> | undefined;
  readonly onAbort: () => void;
  readonly #followers: Followers;

  constructor(cancellation: CancelToken, onAbort: () => void) {
    this.onAbort = onAbort;
    this.#followers =
      cancellation instanceof CancelSource ? cancellation.followers : followersOf(cancellation);
    this.#followers.add(this);
  }

  stop(): void {
    this.#followers.delete(this);
  }
}

/**
 * Those who follow one cancellation, each in constant time. To a signal they are one listener, while there are any: Node.js
 * compares a listener that is added with all that are there, so that the time for many grows with their square.
 */
class Followers implements Failing {
  readonly #members = new LinkedList<Follower>();
  readonly #signal: AbortSignal | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  add(follower: Follower): void {
    if (this.#members.size === 0) this.#signal?.addEventListener('abort', this, { once: true });
    this.#members.add(follower);
  }

  delete(follower: Follower): void {
    if (this.#members.delete(follower) && this.#members.size === 0)
      this.#signal?.removeEventListener('abort', this);
  }

  /** One that is told may make others leave. */
  notify(): void {
    while (this.failNext());
  }

  failNext(): boolean {
    const next = this.#members.shift();
    next?.onAbort();
    return next !== undefined;
  }

  /** The signal is aborted. */
  handleEvent(): void {
    failTogether(this);
  }
}

const followersOfSignals = new WeakMap<AbortSignal, Followers>();

function followersOf(signal: AbortSignal): Followers {
  let followers = followersOfSignals.get(signal);
  if (followers === undefined) followersOfSignals.set(signal, (followers = new Followers(signal)));
  return followers;
}

/** How long something may wait, and who may cut it short. */
export interface Limit {
  readonly clock: Clock;
  /** The moment at which it was made. */
  readonly since: number;
  /** The moment on the clock at which the time is up; `Infinity` for none. */
  readonly deadline: number;
  /** Any of these cuts the wait short. */
  readonly signals: readonly CancelToken[];
  /** The error for a wait that ran out of time with `ahead` others before it in the queue, if there is one. */
  timeoutError(ahead: number): Error;
}

/** The reason a limit is already reached, or `undefined`. Always an object or a value a signal was aborted with. */
export function cancelReason(limit: Limit): { readonly reason: unknown } | undefined {
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
    for (const follower of followers) follower.stop();
  };
  const cancel = (reason: unknown): void => {
    stop();
    onCut(reason);
  };

  const arm = (): void => {
    cancelTimer = clock.schedule(() => {
      // A timer can fire a moment early, and none runs for longer than LONGEST_DELAY_MS.
      if (clock.now() < deadline) arm();
      else cancel(limit.timeoutError(0));
    }, deadline - clock.now());
  };

  if (deadline !== Infinity) arm();
  const followers = signals.map((signal) => new Follower(signal, () => cancel(signal.reason)));
  return stop;
}

/**
 * Settles as `work` does, or rejects as soon as the limit is reached. In the second case `onCut` is called, and how
 * `work` ends later is ignored.
 */
export function bounded<T>(work: Promise<T>, limit: Limit, onCut?: (reason: unknown) => void): Promise<T> {
  if (limit.deadline === Infinity && limit.signals.length === 0) return work;
  return new Promise<T>((resolve, reject) => {
    const cancel = (reason: unknown): void => {
      reject(reason);
      onCut?.(reason);
    };
    const reached = cancelReason(limit);
    const stop = reached === undefined ? watch(limit, cancel) : undefined;
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
    if (reached !== undefined) cancel(reached.reason);
  });
}

/** Resolves after `delayMs`, or rejects as soon as the limit is reached. */
export function pause(delayMs: number, limit: Limit): Promise<void> {
  let cancel: (() => void) | undefined;
  const paused = new Promise<void>((done) => {
    cancel = limit.clock.schedule(done, delayMs);
  });
  return bounded(paused, limit, cancel);
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
  ...signals: (CancelToken | undefined)[]
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

const NO_SIGNALS: readonly CancelToken[] = [];

/** The signals there are: of most limits none, and they share one list. */
function present(signals: readonly (CancelToken | undefined)[]): readonly CancelToken[] {
  for (const signal of signals) if (signal !== undefined) return signals.filter((one) => one !== undefined);
  return NO_SIGNALS;
}
