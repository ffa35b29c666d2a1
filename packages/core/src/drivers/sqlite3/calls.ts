import type { ExecuteHint } from '../../driver.ts';
import { isShort, learn, type Estimate } from './estimates.ts';
import type { Callback } from './package.ts';
import { processThreads, type LaterCall, type ThreadCall, type Threads, type ThreadUser } from './threads.ts';

/** https://www.sqlite.org/rescode.html#interrupt */
const INTERRUPT = 9;

/** The error of an interrupted call, as the package reports it. */
export function interrupted(): Error {
  return Object.assign(new Error('SQLITE_INTERRUPT: interrupted'), { errno: INTERRUPT });
}

/**
 * The native calls of one connection. Calls that are known to be short begin at once or together. All others need a
 * slot.
 */
export class NativeCalls {
  readonly #threads: Threads;
  readonly #short: ThreadCall;
  /** Withdraws a call that has not begun. */
  #giveUp: (() => void) | undefined;

  constructor(threads: Threads = processThreads()) {
    this.#threads = threads;
    this.#short = threads.join();
  }

  /** A call that needs no slot. All of them share one object. */
  short(user: ThreadUser): ThreadCall {
    this.#short.user = user;
    return this.#short;
  }

  /** Whether a call that needs no slot begins at once. Writes always do, because other callers wait for them. */
  goesAtOnce(user: ThreadUser): boolean {
    return user === 'writer' || this.#threads.noteRead() === 'at once';
  }

  /**
   * Calls `begin` at the end of this tick of the event loop, for a short read. Calls `fail` if the call is interrupted
   * before.
   */
  together(user: ThreadUser, begin: (call: ThreadCall) => void, fail: (error: unknown) => void): void {
    const call: LaterCall = {
      place: undefined,
      begin: () => {
        this.#begin(this.short(user), begin, fail);
      },
    };
    this.#giveUp = () => {
      this.#giveUp = undefined;
      this.#threads.notTogether(call);
      fail(interrupted());
    };
    this.#threads.together(call);
  }

  /** Calls `begin` when there is a slot, which may be at once. Calls `fail` if the call is interrupted before. */
  whenThereIsASlot(
    user: ThreadUser,
    begin: (call: ThreadCall) => void,
    fail: (error: unknown) => void,
  ): void {
    const call: ThreadCall = {
      user,
      since: Infinity,
      begin: () => {
        this.#begin(call, begin, fail);
      },
    };
    this.#giveUp = () => {
      this.#giveUp = undefined;
      this.#threads.cancel(call);
      fail(interrupted());
    };
    this.#threads.enter(call);
  }

  #begin(call: ThreadCall, begin: (call: ThreadCall) => void, fail: (error: unknown) => void): void {
    this.#giveUp = undefined;
    try {
      begin(call);
    } catch (error) {
      this.end(call);
      fail(error);
    }
  }

  /** The caller passes the call to the package now. */
  sent(call: ThreadCall): void {
    this.#threads.sent(call);
  }

  /** Ends a call. Every call that has begun must end. Returns how many milliseconds it took. */
  end(call: ThreadCall): number {
    return this.#threads.end(call);
  }

  /** Makes one call of the package. */
  run<T>(estimate: Estimate, user: ThreadUser, start: (callback: Callback<T>) => void): Promise<T> {
    return new Promise((done, fail) => {
      const begin = (call: ThreadCall): void => {
        start((error, value) => {
          learn(estimate, this.end(call));
          if (error === null) done(value as T);
          else fail(error);
        });
        this.sent(call);
      };
      if (isShort(estimate)) begin(this.short(user));
      else this.whenThereIsASlot(user, begin, fail);
    });
  }

  /** A call that waits for a slot rejects, and never begins. */
  interrupt(): void {
    this.#giveUp?.();
  }

  /** The connection is closed. */
  quit(): void {
    this.interrupt();
    this.#threads.quit(this.#short);
  }
}

/** The user class of a statement. */
export function userOf({ urgency, readonly }: ExecuteHint): ThreadUser {
  return urgency === 'reader' || (urgency === undefined && readonly) ? 'reader' : 'writer';
}
