import { bounded, outsideCalls, type Clock, type Limit } from '../waiting/deadline.ts';
import { OperationTimeoutError, PoolClosedError, PoolOverloadedError, type AcquirePhase } from '../errors.ts';
import { Entries, type Entry, type EntryState, type OwnEntry } from './entries.ts';
import { operationLimit } from '../waiting/limits.ts';
import { WaitHistogram, type EvictionReason } from '../diagnostics/stats.ts';
import { WaitQueue } from '../waiting/wait-queue.ts';

/**
 * The engine leases a bounded number of resources to waiters. It leases the newest resource first and serves the oldest
 * waiter first. It knows nothing of SQL. Its only timers are those that limit an operation.
 *
 * {@link ResourcePool.#supply} follows one rule. A resource is pending while the engine opens or checks it. While there
 * are more waiters than pending resources, the engine takes the newest idle resource, or else opens one. A resource
 * that was idle for long passes a health check first. A pending resource has no owner: when it is ready, it serves the
 * oldest waiter. So a waiter that gives up takes no resource with it. When an open fails, the engine rejects the oldest
 * waiter, unless enough other resources are pending for all waiters.
 *
 * The engine runs opens, health checks and closes outside the async context of the call that causes them, because they
 * serve the whole pool.
 *
 * No method awaits between reading and writing the state. So each method runs to its end before another one begins.
 */

/** The operations on a resource that the engine does not know. A hook never throws: when it fails, it rejects. */
export interface ResourceHooks<R> {
  /** `signal` aborts when the engine no longer wants the resource. */
  open(signal: AbortSignal): Promise<R>;
  /** Rejects if the resource is no longer usable. */
  validate(resource: R): Promise<void>;
  /** Cancels the calls on the resource. Resolves when no call runs any more. */
  drain(resource: R): Promise<void>;
  /** Drains and closes the resource. `last`: the pool is closing and has no other resource. */
  close(resource: R, last: boolean): Promise<void>;
  /**
   * The engine calls this when a close does not return. The hook must release everything that the resource holds for
   * others.
   */
  abandon(resource: R): void;
  /** The engine has begun to close a resource. */
  retired?(reason: EvictionReason): void;
}

export interface ResourcePoolSettings {
  readonly clock: Clock;
  readonly poolSize: number;
  readonly minIdle: number;
  readonly maxWaiting: number;
  readonly idleTimeoutMs: number;
  readonly validateAfterIdleMs: number;
  readonly operationTimeoutMs: number;
}

type PoolState = 'open' | 'draining' | 'closed';

/** Leases resources. The head of this file explains the rules. */
export class ResourcePool<R> {
  readonly #settings: ResourcePoolSettings;
  readonly #hooks: ResourceHooks<R>;
  readonly #entries = new Entries<R>();
  /** A stack: the last entry is the newest. */
  readonly #idle: OwnEntry<R>[] = [];
  /** The wait times of the waiters that got a resource. */
  readonly waits: WaitHistogram = new WaitHistogram();
  readonly #waiters = new WaitQueue<Entry<R>>(Infinity, (waitedMs) => {
    this.waits.add(waitedMs);
  });
  readonly #evictions: Record<EvictionReason, number> = {
    idle: 0,
    evicted: 0,
    invalid: 0,
    dirty: 0,
    discarded: 0,
    replaced: 0,
    closed: 0,
  };
  /** Aborts the opens in progress. */
  readonly #opening = new Set<AbortController>();
  /** While the engine drains, aborts the calls that do not return. */
  readonly #givenUp = new AbortController();
  #state: PoolState = 'open';
  #generation = 0;
  /** The reason for retiring the entries of an earlier generation when they are released. */
  #evictedAs: EvictionReason = 'evicted';
  #opens = 0;
  #openFailures = 0;
  #lastOpenError: unknown;
  #onClosed!: () => void;
  readonly #closed = new Promise<void>((resolve) => (this.#onClosed = resolve));

  constructor(settings: ResourcePoolSettings, hooks: ResourceHooks<R>) {
    this.#settings = settings;
    this.#hooks = hooks;
  }

  get state(): PoolState {
    return this.#state;
  }

  get counts(): Readonly<Record<EntryState, number>> {
    return this.#entries.counts;
  }

  get evictions(): Readonly<Record<EvictionReason, number>> {
    return this.#evictions;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  get opens(): number {
    return this.#opens;
  }

  get openFailures(): number {
    return this.#openFailures;
  }

  /** The error of the newest failed open. The next successful open clears it. */
  get lastOpenError(): unknown {
    return this.#lastOpenError;
  }

  /**
   * The number of places taken; never more than `poolSize`. A quarantined entry frees its place, so that the pool can
   * go on.
   */
  get size(): number {
    const { opening, idle, validating, leased, closing, quarantined } = this.#entries.counts;
    return (
      opening + idle + validating + leased + closing + Math.max(0, quarantined - this.#settings.poolSize)
    );
  }

  /** Returns an idle resource that needs no health check, or `undefined`. Does not wait. */
  tryAcquire(): Entry<R> | undefined {
    const entry = this.#idle.at(-1);
    if (entry === undefined || this.#idleMs(entry) >= this.#settings.validateAfterIdleMs) return undefined;
    return this.tryAcquireAnyIdle();
  }

  /** Returns an idle resource even if it was idle for long, or `undefined` if there are waiters. Does not wait. */
  tryAcquireAnyIdle(): Entry<R> | undefined {
    if (this.#waiters.size > 0 || this.#state !== 'open') return undefined;
    const entry = this.#idle.pop();
    if (entry !== undefined) this.#entries.move(entry, 'leased');
    return entry;
  }

  /** What a waiter with `ahead` others before it is waiting for. The first pending resource goes to the first waiter. */
  phase(ahead: number): AcquirePhase {
    const { opening, validating } = this.#entries.counts;
    if (ahead >= opening + validating) return 'wait';
    return opening > 0 ? 'open' : 'validate';
  }

  /**
   * Resolves to a resource as soon as there is one. Rejects at the limit, when the queue is full, or when the pool
   * closes.
   */
  acquire(limit: Limit): Promise<Entry<R>> {
    if (this.#state !== 'open') return Promise.reject(new PoolClosedError());
    if (this.#isCrowded()) return Promise.reject(new PoolOverloadedError(this.#settings.maxWaiting));
    const acquired = this.#waiters.wait(limit);
    this.#supply();
    return acquired;
  }

  /** Releases a leased resource for the next lease. A suspect resource passes a health check first. */
  release(entry: Entry<R>, isSuspect: boolean = false): void {
    const own = entry as OwnEntry<R>;
    if (own.state !== 'leased') return;
    const isKept = this.#state === 'open' && own.generation === this.#generation;
    const isAlwaysChecked = this.#settings.validateAfterIdleMs === 0 && this.#waiters.size > 0;
    if (isKept && (isSuspect || isAlwaysChecked)) this.#validate(own);
    else this.#arrive(own);
  }

  /** Closes a leased resource instead of releasing it. Resolves when it is closed, or when the close has taken too long. */
  async destroy(entry: Entry<R>, reason: EvictionReason): Promise<void> {
    const own = entry as OwnEntry<R>;
    if (own.state === 'leased') await this.#retire(own, reason);
  }

  /** Retires every resource: the idle ones now, the others when they are released. */
  evict(reason: EvictionReason = 'evicted'): void {
    this.#generation += 1;
    this.#evictedAs = reason;
    for (const entry of this.#idle.splice(0)) void this.#retire(entry, reason);
  }

  /** Closes resources that were idle for too long, at most a quarter of the pool per sweep. Then opens up to `minIdle`. */
  sweep(): void {
    if (this.#state !== 'open') return;
    const { poolSize, minIdle, idleTimeoutMs } = this.#settings;
    for (let left = Math.ceil(poolSize / 4); left > 0; left -= 1) {
      const oldest = this.#idle[0];
      if (oldest === undefined || this.#idle.length <= minIdle || this.#idleMs(oldest) < idleTimeoutMs) break;
      this.#idle.shift();
      void this.#retire(oldest, 'idle');
    }
    const { idle, opening } = this.#entries.counts;
    for (let missing = minIdle - idle - opening; missing > 0 && this.size < poolSize; missing -= 1)
      this.#open();
  }

  /**
   * Refuses new callers, rejects the waiters and aborts the opens in progress. Closes every resource when it is
   * released: all but one at the same time, then the last one alone. Resolves when all are closed. The pool calls this
   * once.
   */
  close(): Promise<void> {
    this.#state = 'draining';
    this.#waiters.rejectAll(() => new PoolClosedError());
    for (const unwanted of this.#opening) unwanted.abort(new PoolClosedError());
    this.#drain();
    return this.#closed;
  }

  /** The resources that are leased now. */
  leased(): R[] {
    return this.#entries.leased().map(({ resource }) => resource);
  }

  /** Every resource that has been opened, with its state. */
  resources(): { readonly resource: R; readonly state: Exclude<EntryState, 'opening'> }[] {
    return this.#entries.opened();
  }

  /** While the engine drains, discards the leased resources and abandons the calls that do not return. */
  giveUp(): void {
    this.#givenUp.abort(new OperationTimeoutError('last call', this.#settings.operationTimeoutMs));
    for (const entry of this.#entries.leased()) void this.#retire(entry, 'discarded');
  }

  #idleMs({ idleSince }: OwnEntry<R>): number {
    return this.#settings.clock.now() - idleSince;
  }

  /** Whether a new waiter would queue behind `maxWaiting` others. A waiter that a resource will serve does not count. */
  #isCrowded(): boolean {
    const { maxWaiting, poolSize } = this.#settings;
    if (this.#waiters.size < maxWaiting) return false;
    const { opening, validating, closing } = this.#entries.counts;
    const reachable = opening + validating + closing + this.#idle.length + Math.max(0, poolSize - this.size);
    return this.#waiters.size - reachable >= maxWaiting;
  }

  /** Whether there are more waiters than pending resources. */
  #isShort(): boolean {
    return this.#waiters.size > this.#entries.counts.opening + this.#entries.counts.validating;
  }

  /**
   * The head of this file explains the rule. A resource that was idle for too long is still good for a waiter if it
   * passes its health check. Only {@link ResourcePool.sweep} retires such resources, so that a pool never closes all of
   * them at once.
   */
  #supply(): void {
    // Prefer an idle resource to one that is opening for a waiter that has left: that open may take for ever.
    while (this.#waiters.size > this.#entries.counts.validating) {
      const entry = this.#idle.pop();
      if (entry === undefined) break;
      // While there are waiters, no idle resource is fresh: `tryAcquire` takes the fresh ones, and `#offer` leaves none
      // idle.
      this.#validate(entry);
    }
    while (this.#isShort() && this.size < this.#settings.poolSize) this.#open();
  }

  /** Handles a resource that was opened, checked or released. */
  #arrive(entry: OwnEntry<R>): void {
    if (this.#state !== 'open') {
      this.#layAside(entry);
      this.#drain();
    } else if (entry.generation !== this.#generation) void this.#retire(entry, this.#evictedAs);
    else this.#offer(entry);
  }

  /** Leases a good resource to the first waiter, or pushes it on the idle stack. */
  #offer(entry: OwnEntry<R>): void {
    if (this.#waiters.size > 0) {
      // Change the state before the waiter resumes, so that the waiter never sees an entry that is not its own.
      this.#entries.move(entry, 'leased');
      this.#waiters.serve(entry);
    } else this.#layAside(entry);
  }

  #layAside(entry: OwnEntry<R>): void {
    entry.idleSince = this.#settings.clock.now();
    this.#entries.move(entry, 'idle');
    this.#idle.push(entry);
  }

  #open(): void {
    outsideCalls(() => {
      const entry = this.#entries.add(this.#generation);
      const unwanted = new AbortController();
      this.#opening.add(unwanted);
      const opening = this.#hooks.open(unwanted.signal);
      const limit = operationLimit(this.#settings, 'open', this.#givenUp.signal);
      const over = (): void => void this.#opening.delete(unwanted);
      opening.then(over, over);
      bounded(opening, limit, (reason) => {
        unwanted.abort(reason);
      }).then(
        (resource) => {
          this.#opens += 1;
          this.#lastOpenError = undefined;
          entry.resource = resource;
          this.#arrive(entry);
        },
        (error: unknown) => {
          // An open that a close has aborted did not fail.
          if (this.#state === 'open') this.#openFailures += 1;
          this.#lastOpenError = error;
          if (error instanceof OperationTimeoutError) this.#quarantineOpen(entry, opening);
          else this.#entries.move(entry, 'closed');
          if (this.#isShort()) this.#waiters.fail(error);
          this.#changed();
        },
      );
    });
  }

  /**
   * An open that takes too long loses its place. If it ever succeeds, the engine closes the resource and never leases
   * it.
   */
  #quarantineOpen(entry: OwnEntry<R>, opening: Promise<R>): void {
    this.#entries.move(entry, 'quarantined');
    const gone = (): void => {
      this.#gone(entry);
    };
    opening.then((resource) => this.#hooks.close(resource, false)).then(gone, gone);
  }

  #validate(entry: OwnEntry<R>): void {
    outsideCalls(() => {
      this.#entries.move(entry, 'validating');
      bounded(
        this.#hooks.validate(entry.resource),
        operationLimit(this.#settings, 'health check', this.#givenUp.signal),
      ).then(
        () => {
          this.#arrive(entry);
        },
        () => {
          void this.#retire(entry, 'invalid');
        },
      );
    });
  }

  /** Closes a resource. Its place is free when the close has returned, or when the close has taken too long. */
  #retire(entry: OwnEntry<R>, reason: EvictionReason): Promise<void> {
    return outsideCalls(() => {
      this.#evictions[reason] += 1;
      this.#hooks.retired?.(reason);
      this.#entries.move(entry, 'closing');
      const orderly = reason === 'closed';
      const last = orderly && this.#entries.alive === 1;
      const closing = this.#hooks.close(entry.resource, last);
      const limit = operationLimit(this.#settings, 'close');
      // The engine abandons only a call that does not return. It waits for a close in progress, which may write a large
      // WAL.
      const drained = bounded(this.#hooks.drain(entry.resource), {
        ...limit,
        signals: orderly ? [] : [this.#givenUp.signal],
      });
      const closed = drained
        .then(() => bounded(closing, limit))
        .then(
          () => {
            this.#gone(entry);
          },
          (error: unknown) => {
            // A close that fails has ended: the handle is useless, and the engine can do no more with it.
            if (error instanceof OperationTimeoutError) this.#quarantine(entry, closing);
            else this.#gone(entry);
          },
        );
      this.#changed();
      return closed;
    });
  }

  /**
   * The close of a resource does not return. Its place is free now; the entry ends when the close returns, if it ever
   * does.
   */
  #quarantine(entry: OwnEntry<R>, closing: Promise<void>): void {
    this.#entries.move(entry, 'quarantined');
    this.#hooks.abandon(entry.resource);
    const gone = (): void => {
      this.#gone(entry);
    };
    closing.then(gone, gone);
    this.#changed();
  }

  #gone(entry: OwnEntry<R>): void {
    this.#entries.move(entry, 'closed');
    this.#changed();
  }

  /** Runs after a place became free, and after a resource was released while the engine drains. */
  #changed(): void {
    if (this.#state === 'open') this.#supply();
    else if (this.#state === 'draining') this.#drain();
  }

  /**
   * Closes idle resources, but keeps one until all others are closed. SQLite checkpoints and removes the WAL when the
   * last connection closes. Of two connections that close at the same moment, each can assume that the other is the
   * last one: https://www.sqlite.org/wal.html#the_wal_file
   */
  #drain(): void {
    const alive = this.#entries.alive;
    if (alive === 0) {
      this.#state = 'closed';
      this.#onClosed();
    } else if (this.#idle.length > 1 || alive === 1) {
      const entry = this.#idle.pop();
      if (entry !== undefined) void this.#retire(entry, 'closed');
    }
  }
}
