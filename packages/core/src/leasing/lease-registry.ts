import type { Clock } from '../waiting/deadline.ts';
import type { Entry } from '../engine/entries.ts';
import { LeaseRecord, Lease, type LeaseEnding } from './lease.ts';
import { LinkedList, type Listed } from '../waiting/linked-list.ts';
import type { Reading, Session } from '../connection/session.ts';

/** What the leases of a pool need to know of it. */
export interface LeaseRegistrySettings {
  readonly clock: Clock;
  readonly leakWarningMs: number;
  readonly maxLeaseMs: number;
}

/** Who keeps a connection that can be had back at any time. */
export interface ReclaimableLease extends Listed<ReclaimableLease> {
  reclaim(): void;
}

/**
 * Those who keep a connection without using it at the moment, the longest first: a request between two statements, for
 * example, whose handler waits for the rest of its body. Whoever waits for a connection gets theirs, and a pool that closes all.
 */
export class IdleLeases {
  readonly #keepers = new LinkedList<ReclaimableLease>();
  readonly #hasWaiters: () => boolean;
  #state: 'open' | 'closed' = 'open';

  constructor(doesAnyoneWait: () => boolean) {
    this.#hasWaiters = doesAnyoneWait;
  }

  /** A connection is not used at the moment. */
  add(keeper: ReclaimableLease): void {
    if (this.#state === 'closed' || this.#hasWaiters()) keeper.reclaim();
    else this.#keepers.add(keeper);
  }

  /** It is used again, or was given back. */
  delete(keeper: ReclaimableLease): void {
    this.#keepers.delete(keeper);
  }

  /** Has one given back, if there is one. */
  reclaim(): void {
    this.#keepers.shift()?.reclaim();
  }

  /** Has all of them given back, and those that come later. */
  close(): void {
    this.#state = 'closed';
    while (this.#keepers.size > 0) this.reclaim();
  }
}

/**
 * The leases in force: how old they may get, and what becomes of those that nobody releases. Detection that is off
 * costs nothing.
 */
export class LeaseRegistry {
  readonly #settings: LeaseRegistrySettings;
  readonly #onEnd: (record: LeaseRecord, ending: LeaseEnding) => Promise<void>;
  readonly #records = new LinkedList<LeaseRecord>();
  /** What cancels the timers of a lease that is watched. */
  readonly #timers = new Map<LeaseRecord, readonly (() => void)[]>();
  #leaks = 0;
  /** A lease that was collected as garbage cannot be released any more. Not relied on: nobody knows when it runs. */
  readonly #collected = new FinalizationRegistry<LeaseRecord>((record) => {
    this.#report(record, 'was collected as garbage without a release; its connection was taken back');
    void record.end('revoked');
  });

  /** @param release - Takes the entry of a lease back, once, when it ends. */
  constructor(
    settings: LeaseRegistrySettings,
    release: (entry: Entry<Session>, ending: LeaseEnding) => Promise<void>,
  ) {
    this.#settings = settings;
    this.#onEnd = (record, ending) => {
      this.#forget(record);
      return release(record.entry, ending);
    };
  }

  /** How many leases were reported as leaked. */
  get leaks(): number {
    return this.#leaks;
  }

  /** Where the leases in force were acquired, as far as that was recorded. */
  get stacks(): readonly string[] {
    return this.#records
      .toArray()
      .map(({ stack }) => stack)
      .filter((stack) => stack !== undefined);
  }

  /** The leases whose connections read at the moment, the oldest first, and where they were acquired. */
  readers(): (Reading & { readonly stack: string | undefined })[] {
    return this.#records
      .toArray()
      .flatMap(({ session: { reading }, stack }) => (reading === undefined ? [] : [{ ...reading, stack }]));
  }

  /**
   * Where the method of the pool that calls this was called, if that is recorded. To be asked before anything is waited for: after
   * that the stack has nothing of the caller.
   */
  caller(): string | undefined {
    return this.#settings.leakWarningMs > 0 ? stackOfCaller() : undefined;
  }

  /** Makes a lease of an entry that was taken for it by a {@link LeaseRegistry.caller}. */
  createLease(entry: Entry<Session>, caller: string | undefined): Lease {
    const { leakWarningMs, maxLeaseMs, clock } = this.#settings;
    const record = new LeaseRecord(entry, clock, caller, this.#onEnd);
    this.#records.add(record);
    if (leakWarningMs > 0 || maxLeaseMs > 0) this.#watch(record);
    const lease = new Lease(record);
    record.handle = lease;
    return lease;
  }

  #watch(record: LeaseRecord): void {
    const { leakWarningMs, maxLeaseMs, clock } = this.#settings;
    const timers: (() => void)[] = [];
    const warn = (): void => {
      this.#report(record, `is older than ${String(leakWarningMs)} ms`);
    };
    const revoke = (): void => void record.end('revoked');
    if (leakWarningMs > 0) timers.push(clock.schedule(warn, leakWarningMs, true));
    if (maxLeaseMs > 0) timers.push(clock.schedule(revoke, maxLeaseMs, true));
    this.#timers.set(record, timers);
  }

  #forget(record: LeaseRecord): void {
    this.#records.delete(record);
    if (record.handle === undefined) this.#collected.unregister(record);
    record.handle = undefined;
    const timers = this.#timers.get(record);
    if (timers === undefined) return;
    for (const cancel of timers) cancel();
    this.#timers.delete(record);
  }

  /**
   * Lets go of the handles of leases that have become old, so that those that were dropped can be collected. A finalizer for
   * each lease would cost more than all the rest of an acquire, and most are over before anybody could miss them.
   */
  sweep(): void {
    for (const record of this.#records.toArray()) {
      const { handle } = record;
      if (handle === undefined) continue;
      record.handle = undefined;
      this.#collected.register(handle, record, record);
    }
  }

  /** Ends every lease in force. */
  revokeAll(why: () => Error): void {
    for (const record of this.#records.toArray()) void record.end('revoked', why);
  }

  #report({ stack }: LeaseRecord, what: string): void {
    this.#leaks += 1;
    const where =
      stack === undefined
        ? 'Set leakWarningMs to see where it was acquired.'
        : `It was acquired here:\n${stack}`;
    process.emitWarning(`A lease ${what}. ${where}`, { type: 'SqlitePoolWarning', code: 'SQLITE_POOL_LEAK' });
  }
}

/**
 * Lends a connection to `use`. What comes after a success finds it back in the pool; a failure is told at once, even if
 * a call that was cancelled keeps the connection for a while.
 */
export async function withLease<T>(lease: Lease, use: (lease: Lease) => T | Promise<T>): Promise<T> {
  try {
    const value = await use(lease);
    await lease.release();
    return value;
  } catch (error) {
    void lease.release();
    throw error;
  }
}

/** The stack without this file's frames, and without the one of the pool's method. */
function stackOfCaller(): string {
  return String(new Error('acquired').stack).split('\n').slice(4).join('\n');
}
