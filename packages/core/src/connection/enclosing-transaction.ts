import { AsyncLocalStorage } from 'node:async_hooks';
import { TransactionActiveError } from '../errors.ts';
import type { Semaphore } from '../waiting/semaphore.ts';

/** What counts of the session of a transaction. */
interface Connected {
  readonly writeLock: { readonly isHeld: boolean; isOf(gate: Semaphore): boolean };
}

/**
 * A transaction in whose callback code runs, directly or deep inside. A call on the pool that waits there for something
 * that this transaction holds would wait for itself.
 */
export class EnclosingTransaction {
  /** Its connection; `undefined` before it has one, and after its callback. */
  session: Connected | undefined;
  #outer: EnclosingTransaction | undefined;
  #isOver = false;

  /** Begins in the callback of {@link EnclosingTransaction.outer}, if the caller runs in one. */
  constructor(session: Connected | undefined) {
    this.session = session;
    this.#outer = enclosing();
    if (this.#outer !== undefined) this.#outer.#letGo();
  }

  /**
   * The transaction around it, on another connection. Lets go of those that are over: a timer that was set in a callback
   * may begin the next transaction, and so on, and each would keep all before it in memory.
   */
  get outer(): EnclosingTransaction | undefined {
    this.#letGo();
    return this.#outer;
  }

  #letGo(): void {
    this.#outer = inForce(this.#outer);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Its callback has settled. A call that is still made in its async context, by a timer for example, keeps the
   * transaction from nothing: it may wait for the end of the transaction as any other call.
   */
  end(): void {
    this.#isOver = true;
    this.session = undefined;
  }
}

/**
 * Not on Node.js 22. There, the first `run` of an AsyncLocalStorage makes every `await` of the process slower. Since 24, V8
 * carries the store: https://nodejs.org/api/async_context.html
 */
const current =
  Number.parseInt(process.versions.node, 10) >= 24
    ? new AsyncLocalStorage<EnclosingTransaction>()
    : undefined;

/** The innermost transaction in whose callback the caller runs. */
export function enclosing(): EnclosingTransaction | undefined {
  return inForce(current?.getStore());
}

function inForce(transaction: EnclosingTransaction | undefined): EnclosingTransaction | undefined {
  let one = transaction;
  while (one?.isOver === true) one = one.outer;
  return one;
}

/** Runs `work` as the callback of `transaction`. */
export function runInside<T>(transaction: EnclosingTransaction, work: () => T): T {
  return current === undefined ? work() : current.run(transaction, work);
}

/**
 * Throws if a transaction in whose callback the caller runs holds the write lock that the caller would wait for.
 *
 * @param gate - The write lock of the file.
 */
export function refuseToWaitForItself(gate: Semaphore): void {
  if (enclosingSessions().some(({ writeLock }) => writeLock.isHeld && writeLock.isOf(gate)))
    throw new TransactionActiveError(WAITS_FOR_LOCK);
}

const WAITS_FOR_LOCK =
  'This call waits for the write lock, and the transaction in whose callback it is made holds it. Call the method on the handle of the transaction: transaction(async (tx) => { await tx.run(…); }).';

/** The connections of the transactions in whose callbacks the caller runs. */
export function enclosingSessions(): Connected[] {
  const sessions: Connected[] = [];
  for (let one = enclosing(); one !== undefined; one = one.outer)
    if (one.session !== undefined) sessions.push(one.session);
  return sessions;
}
