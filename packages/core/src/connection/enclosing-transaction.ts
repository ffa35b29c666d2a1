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
export interface EnclosingTransaction {
  /** Its connection; `undefined` before it has one, and after its end. */
  session: Connected | undefined;
  /** The transaction around it, on another connection. */
  readonly outer: EnclosingTransaction | undefined;
}

const current = new AsyncLocalStorage<EnclosingTransaction>();

/** The innermost transaction in whose callback the caller runs. */
export function enclosing(): EnclosingTransaction | undefined {
  return current.getStore();
}

/** Runs `work` as the callback of `transaction`. */
export function runInside<T>(transaction: EnclosingTransaction, work: () => T): T {
  return current.run(transaction, work);
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
