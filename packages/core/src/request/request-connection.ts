import type { Lease } from '../leasing/lease.ts';
import type { ReclaimableLease } from '../leasing/lease-registry.ts';
import type { Place } from '../waiting/linked-list.ts';
import type { Statement } from '../query/sql.ts';

/**
 * What a call of a request needs. `read`: any state of the file that is no older than the call. `write`: a COMMIT of its own, for which
 * the pool's writers are the best place. `state`: the connection on which it leaves something for later calls, a transaction for
 * example. `pin`: one connection for as long as the call takes, which may be long.
 */
export type Need = 'read' | 'write' | 'state' | 'pin';

type Nature = Pick<Statement, 'control' | 'readonly' | 'taints'>;

/** What statements need that run by one call. */
export function needOf(statements: readonly Nature[]): Need {
  if (statements.some(({ control, taints }) => control !== 'none' || taints)) return 'state';
  return mustWait(statements) ? 'write' : 'read';
}

/** Whether they wait for the write lock. */
export function mustWait(statements: readonly Nature[]): boolean {
  return statements.some(({ readonly }) => !readonly);
}

/** A connection that a request has, or is about to have. */
export class RequestConnection implements ReclaimableLease {
  place: Place<ReclaimableLease> | undefined;
  lease: Lease | Promise<Lease>;
  /** An earlier one on which reads still run. */
  readonly #before: RequestConnection | undefined;
  readonly #onReclaim: (connection: RequestConnection) => void;
  #uses = 0;
  /** Uses that leave something on it, or may hold it for long. */
  #pins = 0;

  /** @param onReclaim - Called when the pool wants it back while nothing uses it. */
  constructor(
    lease: Lease | Promise<Lease>,
    before: RequestConnection | undefined,
    onReclaim: (connection: RequestConnection) => void,
  ) {
    this.lease = lease;
    this.#before = before;
    this.#onReclaim = onReclaim;
  }

  get isUsed(): boolean {
    return this.#uses > 0;
  }

  /** Whether what comes next must use it: something was left on it, or is about to be, or it is held for long. */
  get mustStay(): boolean {
    return this.#pins > 0 || (!(this.lease instanceof Promise) && this.lease.holdsState);
  }

  /** The latest one before it on which reads still run. */
  get before(): RequestConnection | undefined {
    return this.#before?.isUsed === false ? this.#before.before : this.#before;
  }

  begin(need: Need): void {
    this.#uses += 1;
    if (need !== 'read') this.#pins += 1;
  }

  end(need: Need): void {
    this.#uses -= 1;
    if (need !== 'read') this.#pins -= 1;
  }

  reclaim(): void {
    this.#onReclaim(this);
  }

  /** Releases its lease; one that every call has given up waiting for, as soon as it comes. */
  release(): void {
    if (this.lease instanceof Promise)
      this.lease.then(
        (lease) => lease.release(),
        () => undefined,
      );
    else void this.lease.release();
  }
}
