import { leakChannel, releaseChannel, type LeakEvent, type RequestOrigin } from '../diagnostics/events.ts';
import { whereAcquired, type Observer } from '../diagnostics/observer.ts';
import { LONGEST_DELAY_MS, type Clock } from '../waiting/deadline.ts';
import type { Entry } from '../engine/entries.ts';
import { LeaseRecord, Lease, type Acquire, type LeaseEnding } from './lease.ts';
import { LinkedList, type Listed } from '../waiting/linked-list.ts';
import type { Reading, Session } from '../connection/session.ts';

/** The settings that the leases of a pool need. */
export interface LeaseRegistrySettings {
  readonly clock: Clock;
  readonly leakWarningMs: number;
  readonly maxLeaseMs: number;
}

/** Holder of an idle connection that the pool may reclaim. */
export interface ReclaimableLease extends Listed<ReclaimableLease> {
  reclaim(): void;
}

/**
 * The holders that keep a connection without using it now, the one that has been idle longest first. An example is a
 * request between two statements, whose handler waits for the rest of the body. The pool reclaims these connections for
 * waiters, and when it closes.
 */
export class IdleLeases {
  readonly #keepers = new LinkedList<ReclaimableLease>();
  readonly #hasWaiters: () => boolean;
  #state: 'open' | 'closed' = 'open';

  constructor(hasWaiters: () => boolean) {
    this.#hasWaiters = hasWaiters;
  }

  /** Adds a holder whose connection became idle. Reclaims it at once if there are waiters. */
  add(keeper: ReclaimableLease): void {
    if (this.#state === 'closed' || this.#hasWaiters()) keeper.reclaim();
    else this.#keepers.add(keeper);
  }

  /** Removes a holder that uses its connection again, or has released it. */
  delete(keeper: ReclaimableLease): void {
    this.#keepers.delete(keeper);
  }

  /** Reclaims the connection that has been idle longest, if there is one. */
  reclaim(): void {
    this.#keepers.shift()?.reclaim();
  }

  /** Reclaims all idle connections, now and later. */
  close(): void {
    this.#state = 'closed';
    while (this.#keepers.size > 0) this.reclaim();
  }
}

/**
 * The leases in force: their maximum age, and what happens to a lease that is never released. Detection that is off
 * costs nothing.
 */
export class LeaseRegistry {
  readonly #settings: LeaseRegistrySettings;
  readonly #observer: Observer;
  readonly #onEnd: (record: LeaseRecord, ending: LeaseEnding) => Promise<void>;
  readonly #records = new LinkedList<LeaseRecord>();
  /** The functions that cancel the timers of a watched lease. */
  readonly #timers = new Map<LeaseRecord, readonly (() => void)[]>();
  #leaks = 0;
  /**
   * A lease that was collected as garbage can no longer be released. The pool does not rely on this, because no one can
   * predict when a finalizer runs.
   */
  readonly #collected = new FinalizationRegistry<LeaseRecord>((record) => {
    this.#report(record, 'collected', 'was collected as garbage without a release; the pool revoked it');
    void record.end('revoked');
  });

  /**
   * @param release - Releases the entry of a lease. Called once, when the lease ends.
   */
  constructor(
    settings: LeaseRegistrySettings,
    observer: Observer,
    release: (entry: Entry<Session>, ending: LeaseEnding) => Promise<void>,
  ) {
    this.#settings = settings;
    this.#observer = observer;
    this.#onEnd = (record, ending) => {
      this.#forget(record);
      if (releaseChannel.hasSubscribers) {
        const { acquire, heldMs } = record;
        releaseChannel.publish({ ...observer.source, request: acquire?.request, ending, heldMs });
      }
      return release(record.entry, ending);
    };
  }

  /** How many leases were reported as leaked. */
  get leaks(): number {
    return this.#leaks;
  }

  /** The stacks of the acquires of the leases in force, as far as they were recorded. */
  get stacks(): readonly string[] {
    return this.#records
      .toArray()
      .map(({ acquire }) => acquire?.stack)
      .filter((stack) => stack !== undefined);
  }

  /** The leases whose connections read now, the oldest first, with the stacks of their acquires. */
  readers(): (Reading & { readonly stack: string | undefined })[] {
    return this.#records
      .toArray()
      .flatMap(({ session: { reading }, acquire }) =>
        reading === undefined ? [] : [{ ...reading, stack: acquire?.stack }],
      );
  }

  /**
   * The stack of the caller of the pool method that calls this, if stacks are recorded. The method must call it before
   * it waits for anything: after a wait, the stack no longer contains the caller.
   */
  caller(): string | undefined {
    return this.#settings.leakWarningMs < Infinity ? stackOfCaller() : undefined;
  }

  /**
   * Makes a lease of an acquired entry.
   *
   * @param caller - The stack from {@link LeaseRegistry.caller}.
   */
  createLease(entry: Entry<Session>, caller: string | undefined, request: RequestOrigin | undefined): Lease {
    const { leakWarningMs, maxLeaseMs } = this.#settings;
    const record = new LeaseRecord(entry, this.#observer, this.#acquire(caller, request), this.#onEnd);
    this.#records.add(record);
    if (leakWarningMs < Infinity || maxLeaseMs < Infinity) this.#watch(record);
    const lease = new Lease(record);
    record.handle = lease;
    return lease;
  }

  #acquire(stack: string | undefined, request: RequestOrigin | undefined): Acquire | undefined {
    if (stack === undefined && !this.#observer.listens) return undefined;
    return { since: this.#settings.clock.now(), request, stack };
  }

  #watch(record: LeaseRecord): void {
    const { leakWarningMs, maxLeaseMs, clock } = this.#settings;
    const timers: (() => void)[] = [];
    const warn = (): void => {
      this.#report(record, 'old', `is older than ${String(leakWarningMs)} ms`);
    };
    const revoke = (): void => void record.end('revoked');
    if (leakWarningMs < Infinity) timers.push(schedule(clock, warn, leakWarningMs));
    if (maxLeaseMs < Infinity) timers.push(schedule(clock, revoke, maxLeaseMs));
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
   * Drops the references to the handles of old leases, so that a handle that its user has dropped can be collected. A
   * finalizer for each lease would cost more than all the rest of an acquire, and most leases end before a sweep.
   */
  sweep(): void {
    for (const record of this.#records.toArray()) {
      const { handle } = record;
      if (handle === undefined) continue;
      record.handle = undefined;
      this.#collected.register(handle, record, record);
    }
  }

  /** The leases in force, by their connections. */
  bySession(): Map<Session, LeaseRecord> {
    return new Map(this.#records.toArray().map((record) => [record.session, record]));
  }

  /** Ends every lease in force. */
  revokeAll(why: () => Error): void {
    for (const record of this.#records.toArray()) void record.end('revoked', why);
  }

  #report({ acquire }: LeaseRecord, how: LeakEvent['how'], what: string): void {
    const { request, stack } = acquire ?? {};
    this.#leaks += 1;
    const { source } = this.#observer;
    if (leakChannel.hasSubscribers) leakChannel.publish({ ...source, request, how, stack });
    this.#observer.warn('SQLITE_POOL_LEAK', `A lease ${what}. ${whereAcquired(stack)}`, {}, request);
  }
}

/**
 * Runs `use` with a lease and releases it. After a success, waits until the connection is back in the pool. After a
 * failure, rejects at once, even if a cancelled call keeps the connection for a while.
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

/** The stack without the frames of this file and of the pool's method. */
function stackOfCaller(): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = MOST_FRAMES;
  const { stack } = new Error('acquired');
  Error.stackTraceLimit = stackTraceLimit;
  return String(stack).split('\n').slice(4).join('\n');
}

/** The pool's own frames come first: some more where something listens to its channels, or a request acquires. */
const MOST_FRAMES = 30;

/** Calls `callback` in the background after `delayMs`, which may be longer than a timer of Node.js can wait. */
function schedule(clock: Clock, callback: () => void, delayMs: number): () => void {
  let cancel: () => void;
  const wait = (left: number): void => {
    const now = Math.min(left, LONGEST_DELAY_MS);
    cancel = clock.schedule(() => (left > now ? wait(left - now) : callback()), now, true);
  };
  wait(delayMs);
  return () => {
    cancel();
  };
}
