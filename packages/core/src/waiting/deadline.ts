import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * The clock, and the limits on how long a caller may wait. Everything in the pool that waits has a {@link Limit}, and
 * leaves no timer and no listener behind.
 */

import { LinkedList, type Listed, type Place } from './linked-list.ts';
import { failTogether, type Failing } from './rejections.ts';

/**
 * The clock of the pool. Tests replace it by the fake clock of `@sqlite-pool/core/testing`.
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
  /** The time in milliseconds on a monotonic clock (not the time of day). */
  now(): number;
  /**
   * Calls `callback` once after `delayMs` milliseconds. Returns a function that cancels the call. A `background` timer
   * does not keep the process alive.
   */
  schedule(callback: () => void, delayMs: number, background?: boolean): () => void;
}

/** The longest delay that a Node.js timer accepts: about 24.8 days. Node.js would fire a longer one at once. */
export const LONGEST_DELAY_MS: number = 2 ** 31 - 1;

// Read when this file loads, because test runners replace these functions. A pool would wait for ever if its timers
// stood still while SQLite went on.
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
 * Calls `work` in the async context in which this file was loaded, outside the context of every call. The pool uses it
 * for everything it keeps or shares, such as timers and connections. A timer that is made in the context of a call
 * keeps the `AsyncLocalStorage` of that call (a request, for example) alive as long as the pool, and shows it to other
 * callers.
 */
export const outsideCalls: <T>(work: () => T) => T = AsyncLocalStorage.snapshot();

/** Calls `callback` at the end of this tick of the event loop, outside the context of every call. */
export function atEndOfTick(callback: () => void): void {
  outsideCalls(() => setImmediate(callback));
}

/** What can cancel a wait. */
export type CancelToken = AbortSignal | CancelSource;

/**
 * An `AbortController` and its signal without the events. To make a real one and listen to it costs more than all the
 * rest of a transaction.
 */
export class CancelSource {
  #why: (() => unknown) | undefined;
  #followers: Followers | undefined;

  get aborted(): boolean {
    return this.#why !== undefined;
  }

  /** If {@link CancelSource.cancelEach} was called, every read returns a new error. */
  get reason(): unknown {
    return this.#why?.();
  }

  /** The followers. Made on first use, because most sources never have one. */
  get followers(): Followers {
    return (this.#followers ??= new Followers());
  }

  /** Makes a source that is already cancelled. */
  static because(why: () => unknown): CancelSource {
    const source = new CancelSource();
    source.cancelEach(why);
    return source;
  }

  /** Cancels all followers, now and later. Only the first reason counts. */
  cancel(reason: unknown): void {
    this.cancelEach(() => reason);
  }

  /** Cancels with a new error for each follower. Callers must not share an error, because each may add properties to it. */
  cancelEach(why: () => unknown): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    this.#followers?.notify();
  }
}

/** Calls `onAbort` when the token is cancelled, unless {@link Follower.stop} was called before. */
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
 * The followers of one token. Each is added and removed in constant time. All of them together are one listener of the
 * signal: Node.js compares a new listener with every existing one, so the time for n listeners would grow with n².
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

  /** A follower that is called may make others leave. */
  notify(): void {
    while (this.failNext());
  }

  failNext(): boolean {
    const next = this.#members.shift();
    next?.onAbort();
    return next !== undefined;
  }

  /** The signal calls this when it aborts. */
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

/** How long a caller may wait, and what may cancel the wait. */
export interface Limit {
  readonly clock: Clock;
  /** The time at which the limit was made. */
  readonly since: number;
  /** The time on the clock at which the wait ends; `Infinity` for no deadline. */
  readonly deadline: number;
  /** Each of these cancels the wait. */
  readonly signals: readonly CancelToken[];
  /** The error of a wait that reached the deadline. `ahead`: the number of waiters before it in the queue. */
  timeoutError(ahead: number): Error;
}

/** The reason why the limit is already reached, or `undefined`. In an object, because a signal may abort with any value. */
export function cancelReason(limit: Limit): { readonly reason: unknown } | undefined {
  for (const signal of limit.signals) if (signal.aborted) return { reason: signal.reason };
  if (limit.deadline !== Infinity && limit.clock.now() >= limit.deadline)
    return { reason: limit.timeoutError(0) };
  return undefined;
}

/** Calls `onCancel` once when the limit is reached. The returned function stops the watch. */
export function watch(limit: Limit, onCancel: (reason: unknown) => void): () => void {
  const { clock, deadline, signals } = limit;
  let cancelTimer: (() => void) | undefined;

  const stop = (): void => {
    cancelTimer?.();
    for (const follower of followers) follower.stop();
  };
  const cancel = (reason: unknown): void => {
    stop();
    onCancel(reason);
  };

  const arm = (): void => {
    cancelTimer = clock.schedule(() => {
      // A timer can fire a moment too early, and no timer runs for longer than LONGEST_DELAY_MS.
      if (clock.now() < deadline) arm();
      else cancel(limit.timeoutError(0));
    }, deadline - clock.now());
  };

  if (deadline !== Infinity) arm();
  const followers = signals.map((signal) => new Follower(signal, () => cancel(signal.reason)));
  return stop;
}

/**
 * Settles as `work` does, or rejects as soon as the limit is reached. In the second case it calls `onCancel` and ignores
 * the outcome of `work`.
 */
export function bounded<T>(work: Promise<T>, limit: Limit, onCancel?: (reason: unknown) => void): Promise<T> {
  if (limit.deadline === Infinity && limit.signals.length === 0) return work;
  return new Promise<T>((resolve, reject) => {
    const cancel = (reason: unknown): void => {
      reject(reason);
      onCancel?.(reason);
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

/** Resolves after `delayMs` milliseconds, or rejects as soon as the limit is reached. */
export function pause(delayMs: number, limit: Limit): Promise<void> {
  let cancel: (() => void) | undefined;
  const paused = new Promise<void>((done) => {
    cancel = limit.clock.schedule(done, delayMs);
  });
  return bounded(paused, limit, cancel);
}

/** Makes a limit without a deadline: only a signal ends the wait. */
export function untilCancelled(clock: Clock, ...signals: (CancelToken | undefined)[]): Limit {
  return limitOf(clock, Infinity, noTimeout, ...signals);
}

/* v8 ignore next -- a deadline that is `Infinity` is never reached */
function noTimeout(): Error {
  return new Error('There is no time limit.');
}

/** Makes a limit of `timeoutMs` milliseconds from now (`Infinity` for no deadline). */
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

/** The signals that are defined. Most limits have none; those share one list. */
function present(signals: readonly (CancelToken | undefined)[]): readonly CancelToken[] {
  for (const signal of signals) if (signal !== undefined) return signals.filter((one) => one !== undefined);
  return NO_SIGNALS;
}
