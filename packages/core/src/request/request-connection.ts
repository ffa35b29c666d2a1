import { bounded, systemClock, untilCancelled } from '../waiting/deadline.ts';
import type { Lease } from '../leasing/lease.ts';
import type { ReclaimableLease } from '../leasing/lease-registry.ts';
import type { Place } from '../waiting/linked-list.ts';
import type { Kind } from '../query/kind.ts';

/**
 * The connection that a call of a request needs.
 *
 * - `read`: any connection whose view of the file is no older than the call.
 * - `write`: the call makes a COMMIT of its own, so the pool's writers are the best place.
 * - `state`: the connection of the request, because the call leaves state for later calls, a transaction for example.
 * - `pin`: one connection for the whole call, which may be long.
 */
export type Need = 'read' | 'write' | 'state' | 'pin';

/** The need of the statements of one call. */
export function needOf(statements: readonly Kind[]): Exclude<Need, 'pin'> {
  if (statements.some(({ control, taints }) => control !== 'none' || taints)) return 'state';
  return mustWait(statements) ? 'write' : 'read';
}

/** Whether the statements wait for the write lock. */
export function mustWait(statements: readonly Kind[]): boolean {
  return statements.some(({ readonly }) => !readonly);
}

/** A connection that a request has acquired, or is acquiring. */
export class RequestConnection implements ReclaimableLease {
  place: Place<ReclaimableLease> | undefined;
  lease: Lease | Promise<Lease>;
  /** An earlier connection of the request on which reads still run. */
  readonly #before: RequestConnection | undefined;
  readonly #onReclaim: (connection: RequestConnection) => void;
  #uses = 0;
  /** The uses that leave state on the connection, or may keep it for long. */
  #pins = 0;
  #wasPinned = false;
  /** Whether the request looks at it again when the calls on it have ended. */
  #isWatched = false;

  /**
   * @param onReclaim - Called when the pool reclaims the connection while nothing uses it.
   */
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

  /**
   * Whether more than reads ran here. SQLite keeps `last_insert_rowid()` and `changes()` for each database handle, so
   * later reads belong on the same one.
   */
  get wasPinned(): boolean {
    return this.#wasPinned;
  }

  /**
   * Whether the next call must use this connection: an earlier call left state on it or will do so, or keeps it for
   * long.
   */
  get mustStay(): boolean {
    return this.#pins > 0 || (!(this.lease instanceof Promise) && this.lease.holdsState);
  }

  /** The newest earlier connection on which reads still run. */
  get before(): RequestConnection | undefined {
    return this.#before?.isUsed === false ? this.#before.before : this.#before;
  }

  /** The lease is for the whole request. A cancelled call stops waiting for it, and leaves it to the other calls. */
  leaseFor(signal: AbortSignal | undefined): Lease | Promise<Lease> {
    return this.lease instanceof Promise
      ? bounded(this.lease, untilCancelled(systemClock, signal))
      : this.lease;
  }

  /** Calls `callback` when the calls on the connection have ended, if one runs: a rollback whose caller has not waited. */
  whenCalm(callback: () => void): void {
    const calls = this.#isWatched || this.lease instanceof Promise ? undefined : this.lease.calls;
    if (calls === undefined) return;
    this.#isWatched = true;
    const calm = (): void => {
      this.#isWatched = false;
      callback();
    };
    calls.then(calm, calm);
  }

  begin(need: Need): void {
    this.#uses += 1;
    if (need === 'read') return;
    this.#pins += 1;
    this.#wasPinned = true;
  }

  end(need: Need): void {
    this.#uses -= 1;
    if (need !== 'read') this.#pins -= 1;
  }

  reclaim(): void {
    this.#onReclaim(this);
  }

  /** Releases the lease. If every call has stopped waiting for the lease, releases it when it is acquired. */
  release(): void {
    if (this.lease instanceof Promise)
      this.lease.then(
        (lease) => lease.release(),
        () => undefined,
      );
    else void this.lease.release();
  }
}
