import { TransactionLostError } from '../errors.ts';
import type { TransactionControl } from '../query/kind.ts';

/**
 * The state of a connection's transaction. Only {@link TransactionState} changes it.
 *
 * - `autocommit`: no transaction.
 * - `untouched`: a transaction is open, and no statement has run in it.
 * - `begun`: a transaction is open.
 * - `savepoint`: a SAVEPOINT opened the transaction, so that a RELEASE may end it.
 * - `released`: after such a RELEASE, or after a script that may have begun or ended a transaction.
 * - `unknown`: a statement failed, and SQLite may have rolled back by itself
 *   (https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction).
 * - `lost`: SQLite has rolled back by itself. Later statements would commit one by one.
 *
 * In `released` and `unknown`, only SQLite knows the state. The caller must ask it, and report
 * {@link TransactionState.found}.
 */
type State = 'autocommit' | 'untouched' | 'begun' | 'savepoint' | 'released' | 'unknown' | 'lost';

/** Tracks the transaction of a connection. */
export class TransactionState {
  #state: State = 'autocommit';
  #lostBecause: unknown;

  /** Whether a transaction may be open. */
  get isOpen(): boolean {
    return this.#state !== 'autocommit';
  }

  /** Whether nothing has run since the last commit or rollback. Then the connection holds no old snapshot of the file. */
  get isUntouched(): boolean {
    return this.#state === 'autocommit' || this.#state === 'untouched';
  }

  /** Whether a RELEASE may commit. */
  get endsByRelease(): boolean {
    return this.#state === 'savepoint';
  }

  /** Whether SQLite has rolled the transaction back by itself. */
  get isLost(): boolean {
    return this.#state === 'lost';
  }

  /** Whether only SQLite knows the state. */
  get isUncertain(): boolean {
    return this.#state === 'released' || this.#state === 'unknown';
  }

  /** Reports SQLite's answer whether a transaction is open. Call it when {@link TransactionState.isUncertain}. */
  found(open: boolean): void {
    if (this.#state === 'released') this.#state = open ? 'savepoint' : 'autocommit';
    else this.#state = open ? 'begun' : 'lost';
  }

  /** Throws if the transaction is lost. */
  check(): void {
    if (this.#state === 'lost') throw new TransactionLostError(this.#lostBecause);
  }

  /** Reports that a statement has succeeded. */
  succeeded(control: TransactionControl | 'batch'): void {
    if (control === 'none' || control === 'batch') this.touched();
    else if (control === 'begin') this.#state = 'untouched';
    else if (control === 'commit' || control === 'rollback') this.#state = 'autocommit';
    else if (control === 'savepoint' && this.#state === 'autocommit') this.#state = 'savepoint';
    else if (control === 'release' && this.#state === 'savepoint') this.#state = 'released';
    else this.touched();
  }

  /** Reports that a statement has run, or has begun to run. */
  touched(): void {
    if (this.#state === 'untouched') this.#state = 'begun';
  }

  /**
   * Reports that a statement, a `batch`, or a `script` with transaction control has failed. `cancelled`: its caller was
   * rejected early, and the outcome of the native call is unknown.
   */
  failed(control: TransactionControl | 'script' | 'batch', cancelled: boolean, error: unknown): void {
    if (this.#state === 'lost') return;
    if (this.#state !== 'autocommit') this.#state = 'unknown';
    // Outside a transaction, a failure leaves no transaction open. The exceptions are a cancelled BEGIN or SAVEPOINT,
    // which may still succeed, and a script or a batch that failed after its own BEGIN.
    else if (
      control === 'script' ||
      control === 'batch' ||
      (cancelled && (control === 'begin' || control === 'savepoint'))
    )
      this.#state = 'released';
    this.#lostBecause = error;
  }

  /** Reports that a script with transaction control has succeeded. No transaction was lost, but one may be open. */
  scripted(): void {
    this.#state = 'released';
  }

  /** Reports that the transaction was rolled back. */
  ended(): void {
    this.#state = 'autocommit';
  }
}
