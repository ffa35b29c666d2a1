import { TransactionLostError } from '../errors.ts';
import type { TransactionControl } from '../query/sql.ts';

/**
 * Where a connection stands, changed here and nowhere else.
 *
 * `autocommit`: no transaction. `untouched`: one is open in which nothing has run yet. `begun`: one is open. `savepoint`: one is open that a SAVEPOINT opened, so that a
 * RELEASE may end it. `released`: after such a RELEASE, or a script that may have begun or ended one. `unknown`:
 * something failed, and SQLite may have rolled back by itself
 * (https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction). `lost`: it has, and statements
 * that follow would commit one by one.
 *
 * In `released` and `unknown` only SQLite knows: someone must ask it, and say {@link TransactionState.found}.
 */
type State = 'autocommit' | 'untouched' | 'begun' | 'savepoint' | 'released' | 'unknown' | 'lost';

/** Keeps account of a connection's transaction. */
export class TransactionState {
  #state: State = 'autocommit';
  #lostBecause: unknown;

  /** Whether a transaction may be open. */
  get isOpen(): boolean {
    return this.#state !== 'autocommit';
  }

  /** Whether nothing has run since the last commit or rollback, so that the connection sees no old state of the file. */
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

  /** Whether SQLite must be asked. */
  get isUncertain(): boolean {
    return this.#state === 'released' || this.#state === 'unknown';
  }

  /** SQLite, asked because {@link TransactionState.isUncertain}, says whether a transaction is open. */
  found(open: boolean): void {
    if (this.#state === 'released') this.#state = open ? 'savepoint' : 'autocommit';
    else this.#state = open ? 'begun' : 'lost';
  }

  /** Throws if the transaction is lost. */
  check(): void {
    if (this.#state === 'lost') throw new TransactionLostError(this.#lostBecause);
  }

  /** A statement has succeeded. */
  succeeded(control: TransactionControl | 'batch'): void {
    if (control === 'none' || control === 'batch') this.touched();
    else if (control === 'begin') this.#state = 'untouched';
    else if (control === 'commit' || control === 'rollback') this.#state = 'autocommit';
    else if (control === 'savepoint' && this.#state === 'autocommit') this.#state = 'savepoint';
    else if (control === 'release' && this.#state === 'savepoint') this.#state = 'released';
    else this.touched();
  }

  /** Something has run, or begun to. */
  touched(): void {
    if (this.#state === 'untouched') this.#state = 'begun';
  }

  /**
   * A statement has failed, or a `script` with transaction control in it, or a `batch`. `cut`: its caller was told so, and nobody knows
   * how the native call ends, or ended.
   */
  failed(control: TransactionControl | 'script' | 'batch', cancelled: boolean, error: unknown): void {
    if (this.#state === 'lost') return;
    if (this.#state !== 'autocommit') this.#state = 'unknown';
    // Outside a transaction a failure leaves none open, unless it is that of a BEGIN that may succeed all the same, or of
    // a script or a batch that had come further than its own.
    else if (
      control === 'script' ||
      control === 'batch' ||
      (cancelled && (control === 'begin' || control === 'savepoint'))
    )
      this.#state = 'released';
    this.#lostBecause = error;
  }

  /** A script with transaction control in it has succeeded: whatever is open now, nothing was lost. */
  scripted(): void {
    this.#state = 'released';
  }

  /** The transaction was rolled back. */
  ended(): void {
    this.#state = 'autocommit';
  }
}
