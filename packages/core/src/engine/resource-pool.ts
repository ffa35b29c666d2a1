import type { Limit } from '../waiting/deadline.ts';
import { PoolClosedError, PoolOverloadedError, type AcquirePhase } from '../errors.ts';
import { Entries, type Entry, type EntryState, type OwnEntry } from './entries.ts';
import { Lifecycle, type History, type LifecycleSettings, type ResourceHooks } from './lifecycle.ts';
import { WaitHistogram, type EvictionReason } from '../diagnostics/stats.ts';
import { WaitQueue } from '../waiting/wait-queue.ts';

/**
 * The engine leases a bounded number of resources to waiters. It leases the newest resource first and serves the oldest
 * waiter first. It knows nothing of SQL.
 *
 * {@link ResourcePool.#supply} follows one rule. A resource is pending while the engine opens or checks it. While there
 * are more waiters than pending resources, the engine takes the newest idle resource, or else opens one. A resource
 * that was idle for long passes a health check first. A pending resource has no owner: when it is ready, it serves the
 * oldest waiter. So a waiter that gives up takes no resource with it. When an open fails, the engine rejects the oldest
 * waiter, unless enough other resources are pending for all waiters.
 *
 * No method awaits between reading and writing the state. So each method runs to its end before another one begins.
 */

export interface ResourcePoolSettings extends LifecycleSettings {
  readonly poolSize: number;
  readonly minIdle: number;
  readonly maxWaiting: number;
  readonly idleTimeoutMs: number;
  readonly validateAfterIdleMs: number;
}

type PoolState = 'open' | 'draining' | 'closed';

/** Leases resources. The head of this file explains the rules. */
export class ResourcePool<R> {
  readonly #settings: ResourcePoolSettings;
  readonly #entries = new Entries<R>();
  readonly #lifecycle: Lifecycle<R>;
  /** A stack: the last entry is the newest. */
  readonly #idle: OwnEntry<R>[] = [];
  /** The wait times of the waiters that got a resource. */
  readonly waits: WaitHistogram = new WaitHistogram();
  readonly #waiters = new WaitQueue<Entry<R>>((waitedMs) => {
    this.waits.add(waitedMs);
  });
  #state: PoolState = 'open';
  #generation = 0;
  /** The reason for retiring the entries of an earlier generation when they are released. */
  #evictedAs: EvictionReason = 'evicted';
  readonly #closed = Promise.withResolvers<undefined>();

  constructor(settings: ResourcePoolSettings, hooks: ResourceHooks<R>) {
    this.#settings = settings;
    this.#lifecycle = new Lifecycle(settings, hooks, this.#entries, {
      good: (entry) => {
        this.#arrive(entry);
      },
      notOpened: (error) => {
        if (this.#isShort()) this.#waiters.fail(error);
      },
      changed: () => {
        this.#changed();
      },
    });
  }

  get state(): PoolState {
    return this.#state;
  }

  get counts(): Readonly<Record<EntryState, number>> {
    return this.#entries.counts;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** What has happened to the resources so far. */
  get history(): Readonly<History> {
    return this.#lifecycle.history;
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
    if (isKept && (isSuspect || isAlwaysChecked)) this.#lifecycle.validate(own);
    else this.#arrive(own);
  }

  /** Closes a leased resource instead of releasing it. Resolves when it is closed, or when the close has taken too long. */
  async destroy(entry: Entry<R>, reason: EvictionReason): Promise<void> {
    const own = entry as OwnEntry<R>;
    if (own.state === 'leased') await this.#lifecycle.retire(own, reason);
  }

  /** Retires every resource: the idle ones now, the others when they are released. */
  evict(reason: EvictionReason = 'evicted'): void {
    this.#generation += 1;
    this.#evictedAs = reason;
    for (const entry of this.#idle.splice(0)) void this.#lifecycle.retire(entry, reason);
  }

  /** Closes resources that were idle for too long, at most a quarter of the pool per sweep. Then opens up to `minIdle`. */
  sweep(): void {
    if (this.#state !== 'open') return;
    const { poolSize, minIdle, idleTimeoutMs } = this.#settings;
    for (let left = Math.ceil(poolSize / 4); left > 0; left -= 1) {
      const oldest = this.#idle[0];
      if (oldest === undefined || this.#idle.length <= minIdle || this.#idleMs(oldest) < idleTimeoutMs) break;
      this.#idle.shift();
      void this.#lifecycle.retire(oldest, 'idle');
    }
    const { idle, opening } = this.#entries.counts;
    for (let missing = minIdle - idle - opening; missing > 0 && this.size < poolSize; missing -= 1)
      this.#lifecycle.open(this.#generation);
  }

  /**
   * Refuses new callers, rejects the waiters and aborts the opens in progress. Closes every resource when it is
   * released: all but one at the same time, then the last one alone. Resolves when all are closed. The pool calls this
   * once.
   */
  close(): Promise<void> {
    this.#state = 'draining';
    this.#waiters.rejectAll(() => new PoolClosedError());
    this.#lifecycle.abortOpens();
    this.#drain();
    return this.#closed.promise;
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
    this.#lifecycle.giveUp();
    for (const entry of this.#entries.leased()) void this.#lifecycle.retire(entry, 'discarded');
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
      this.#lifecycle.validate(entry);
    }
    while (this.#isShort() && this.size < this.#settings.poolSize) this.#lifecycle.open(this.#generation);
  }

  /** Handles a resource that was opened, checked or released. */
  #arrive(entry: OwnEntry<R>): void {
    if (this.#state !== 'open') {
      this.#layAside(entry);
      this.#drain();
    } else if (entry.generation !== this.#generation) void this.#lifecycle.retire(entry, this.#evictedAs);
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
      this.#closed.resolve(undefined);
    } else if (this.#idle.length > 1 || alive === 1) {
      const entry = this.#idle.pop();
      if (entry !== undefined) void this.#lifecycle.retire(entry, 'closed');
    }
  }
}
