import { AsyncLocalStorage } from 'node:async_hooks';
import { AcquireTimeoutError, TransactionActiveError } from '../errors.ts';
import { CancelSource, type CancelToken, type Limit } from '../waiting/deadline.ts';
import type { Semaphore } from '../waiting/semaphore.ts';

/** What counts of the connection that a callback holds. */
interface Held {
  readonly writeLock: {
    readonly isHeld: boolean;
    isOf(gate: Semaphore): boolean;
    watch(callback: () => void): () => void;
  };
}

/**
 * A callback in which code runs, directly or deep inside, and the connection that it holds until it settles. A call on
 * the pool that waits there for something that the callback keeps to its end would wait for itself.
 *
 * The callback of a `transaction` keeps the write lock too, once it has it. That of a `lease` does not: a transaction
 * that was begun by hand may end at any time.
 */
export class EnclosingCallback {
  readonly of: 'transaction' | 'lease';
  #session: Held | undefined;
  readonly #lease: { readonly isInForce: boolean } | undefined;
  #outer: EnclosingCallback | undefined;
  #isOver = false;
  /** Ends the waits that were begun in the callback, by the write lock that they wait for. */
  #waits: Map<Semaphore, CancelSource> | undefined;
  #stopWatching: (() => void) | undefined;

  /**
   * Begins in the callback of {@link EnclosingCallback.outer}, if the caller runs in one.
   *
   * @param lease - May end before the callback.
   */
  constructor(
    of: 'transaction' | 'lease',
    session: Held | undefined,
    lease?: { readonly isInForce: boolean },
  ) {
    this.of = of;
    this.#session = session;
    this.#lease = lease;
    this.#outer = enclosing();
    if (this.#outer !== undefined) this.#outer.#letGo();
  }

  /**
   * The callback around it. Lets go of those that are over: a timer that was set in a callback may begin the next
   * transaction, and so on, and each would keep all before it in memory.
   */
  get outer(): EnclosingCallback | undefined {
    this.#letGo();
    return this.#outer;
  }

  #letGo(): void {
    this.#outer = inForce(this.#outer);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Its connection; `undefined` before it has one, and when it has one no more. */
  get session(): Held | undefined {
    return this.#lease?.isInForce === false ? undefined : this.#session;
  }

  set session(session: Held | undefined) {
    this.#session = session;
    this.#watch();
  }

  /** Whether it keeps the write lock `gate` to its end. */
  keeps(gate: Semaphore): boolean {
    return this.of === 'transaction' && this.has(gate);
  }

  /** Whether its connection has the write lock `gate` now. */
  has(gate: Semaphore): boolean {
    const lock = this.session?.writeLock;
    return lock?.isHeld === true && lock.isOf(gate);
  }

  /** Aborts as soon as it keeps the write lock `gate`: each wait that was begun in the callback for it ends then. */
  untilItKeeps(gate: Semaphore): CancelToken {
    this.#waits ??= new Map();
    const known = this.#waits.get(gate);
    if (known !== undefined) return known;
    const source = new CancelSource();
    this.#waits.set(gate, source);
    this.#watch();
    return source;
  }

  #watch(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    const waits = this.#waits;
    if (waits === undefined) return;
    const refuse = (): void => {
      for (const [gate, source] of waits) {
        if (!this.keeps(gate)) continue;
        waits.delete(gate);
        source.cancelEach(waitsForLock);
      }
    };
    refuse();
    this.#stopWatching = this.session?.writeLock.watch(refuse);
  }

  /**
   * Its callback has settled. A call that is still made in its async context, by a timer for example, keeps it from
   * nothing: it may wait for the end of the transaction as any other call.
   */
  end(): void {
    this.#isOver = true;
    this.#waits = undefined;
    this.session = undefined;
  }
}

const current = new AsyncLocalStorage<EnclosingCallback>();

/**
 * Whether V8 carries the store of an AsyncLocalStorage, as it does since Node.js 24. Before, the first `run` of the
 * process makes Node.js watch each promise from then on, and a call of the pool awaits many:
 * https://nodejs.org/api/async_context.html
 */
const carriesStores = Number.parseInt(process.versions.node, 10) >= 24;

/**
 * Whether Node.js watches each promise already, for a tracer or any other AsyncLocalStorage. Then one more costs nothing.
 * Node.js has no way to ask this. But it marks each promise that it watches.
 */
export function promisesAreWatched(): boolean {
  return Object.getOwnPropertySymbols(Promise.resolve()).length > 0;
}

/** The innermost callback in which the caller runs. */
export function enclosing(): EnclosingCallback | undefined {
  return inForce(current.getStore());
}

function inForce(callback: EnclosingCallback | undefined): EnclosingCallback | undefined {
  let one = callback;
  while (one?.isOver === true) one = one.outer;
  return one;
}

/** Runs `work` as the callback `callback`. The calls in it know of the callback only where that costs them nothing. */
export function runInside<T>(callback: EnclosingCallback, work: () => T): T {
  /* v8 ignore next -- Node.js 22: smoke/src/checks.mjs */
  return carriesStores || promisesAreWatched() ? current.run(callback, work) : work();
}

/**
 * Throws if a transaction in whose callback the caller runs keeps the write lock that the caller would wait for.
 *
 * @param gate - The write lock of the file.
 */
export function refuseToWaitForItself(gate: Semaphore): void {
  for (let one = enclosing(); one !== undefined; one = one.outer) if (one.keeps(gate)) throw waitsForLock();
}

/**
 * What ends a wait of the caller for the write lock `gate`, because it has become a wait for the caller itself: a
 * transaction in whose callback it runs gets the lock before it.
 */
export function selfWaits(gate: Semaphore): readonly CancelToken[] {
  let tokens = NO_TOKENS;
  for (let one = enclosing(); one !== undefined; one = one.outer)
    if (one.of === 'transaction') tokens = [...tokens, one.untilItKeeps(gate)];
  return tokens;
}

const NO_TOKENS: readonly CancelToken[] = [];

/** A limit that is also reached when `tokens` abort. */
export function alsoUntil(limit: Limit, tokens: readonly CancelToken[]): Limit {
  return tokens.length === 0 ? limit : { ...limit, signals: [...limit.signals, ...tokens] };
}

/**
 * The error of a wait for the write lock `gate`. If a lease in whose callback the caller runs has the lock, it names
 * that lease. Before the deadline this would be wrong: other code of the callback may end the transaction.
 */
export function becauseOf(error: unknown, gate: Semaphore): unknown {
  if (!(error instanceof AcquireTimeoutError)) return error;
  for (let one = enclosing(); one !== undefined; one = one.outer)
    if (one.of === 'lease' && one.has(gate)) return new TransactionActiveError(LEASE_HAS_LOCK, error);
  return error;
}

/** The connections of the callbacks in which the caller runs. */
export function enclosingSessions(): Set<object> {
  const sessions = new Set<object>();
  for (let one = enclosing(); one !== undefined; one = one.outer)
    if (one.session !== undefined) sessions.add(one.session);
  return sessions;
}

function waitsForLock(): TransactionActiveError {
  return new TransactionActiveError(WAITS_FOR_LOCK);
}

const WAITS_FOR_LOCK =
  'This call waits for the write lock, and the transaction in whose callback it is made holds it. Call the method on the handle of the transaction: transaction(async (tx) => { await tx.run(…); }).';

const LEASE_HAS_LOCK =
  'This call has waited in vain for the write lock: a transaction on the connection in whose callback it is made holds it. Call the method on that connection, or after its COMMIT: connection(async (lease) => { await lease.run(…); }).';
