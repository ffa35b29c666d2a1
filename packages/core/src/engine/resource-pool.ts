import { bounded, outsideCalls, type Clock, type Limit } from '../waiting/deadline.ts';
import { OperationTimeoutError, PoolClosedError, PoolOverloadedError, type AcquirePhase } from '../errors.ts';
import { Entries, type Entry, type EntryState, type OwnEntry } from './entries.ts';
import { operationLimit } from '../waiting/limits.ts';
import { WaitHistogram, type EvictionReason } from '../diagnostics/stats.ts';
import { WaitQueue } from '../waiting/wait-queue.ts';

/**
 * The engine: lends a bounded number of resources, newest first, to waiters, oldest first. It knows nothing of SQL
 * and owns no timer but those that bound an operation.
 *
 * One rule drives it, in {@link ResourcePool.#supply}: as long as more waiters are queued than resources are on their
 * way to one, take the newest idle resource (by way of a health check if it was idle for long), or else open one. A
 * resource on its way belongs to nobody: when it arrives it serves whoever has waited the longest. So a waiter that
 * gives up takes no resource with it. When an open fails, it fails whoever has waited the longest, unless enough others
 * are on their way for all who wait.
 *
 * Opens, health checks and closes run outside the calls that happen to cause them: they are for the pool, and for others.
 *
 * No method awaits between reading and writing the state: each runs to its end before any other begins.
 */

/** What the engine cannot know of its resources. None of it throws: what fails rejects. */
export interface ResourceHooks<R> {
  /** `signal` aborts when the resource is not wanted any more. */
  open(signal: AbortSignal): Promise<R>;
  /** Rejects if the resource is no longer good. */
  validate(resource: R): Promise<void>;
  /** Cancels what runs on the resource; resolves when nothing does any more. */
  drain(resource: R): Promise<void>;
  /** Drains and closes. `last`: no other resource is left in the pool, which is closing. */
  close(resource: R, last: boolean): Promise<void>;
  /** A close does not return: whatever the resource holds for others must be given up. */
  abandon(resource: R): void;
}

/** The settings the engine needs. */
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

/** Lends resources. See the head of this file. */
export class ResourcePool<R> {
  readonly #settings: ResourcePoolSettings;
  readonly #hooks: ResourceHooks<R>;
  readonly #entries = new Entries<R>();
  /** A stack: the newest idle entry is the last. */
  readonly #idle: OwnEntry<R>[] = [];
  /** How long those have waited who were served. */
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
  /** What ends the opens under way. */
  readonly #opening = new Set<AbortController>();
  /** Cuts short, while draining, what does not return. */
  readonly #givenUp = new AbortController();
  #state: PoolState = 'open';
  #generation = 0;
  /** Why those of an earlier generation are retired when they come back. */
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

  /** The newest failure to open, until an open succeeds. */
  get lastOpenError(): unknown {
    return this.#lastOpenError;
  }

  /** Places taken; never more than `poolSize`. A quarantined entry gives its place up, so that the pool goes on. */
  get size(): number {
    const { opening, idle, validating, leased, closing, quarantined } = this.#entries.counts;
    return (
      opening + idle + validating + leased + closing + Math.max(0, quarantined - this.#settings.poolSize)
    );
  }

  /** An idle resource that needs no health check, at once, or `undefined`. */
  tryAcquire(): Entry<R> | undefined {
    const entry = this.#idle.at(-1);
    if (entry === undefined || this.#idleMs(entry) >= this.#settings.validateAfterIdleMs) return undefined;
    return this.tryAcquireAnyIdle();
  }

  /** An idle resource, at once, even if it was idle for long; only if nobody waits for one. */
  tryAcquireAnyIdle(): Entry<R> | undefined {
    if (this.#waiters.size > 0 || this.#state !== 'open') return undefined;
    const entry = this.#idle.pop();
    if (entry !== undefined) this.#entries.move(entry, 'leased');
    return entry;
  }

  /** What a waiter with `ahead` others before it is waiting for: what is on its way goes to the first in line. */
  phase(ahead: number): AcquirePhase {
    const { opening, validating } = this.#entries.counts;
    if (ahead >= opening + validating) return 'wait';
    return opening > 0 ? 'open' : 'validate';
  }

  /** A resource, as soon as there is one. Rejects when the limit is reached, the queue is full or the pool closes. */
  acquire(limit: Limit): Promise<Entry<R>> {
    if (this.#state !== 'open') return Promise.reject(new PoolClosedError());
    if (this.#isCrowded()) return Promise.reject(new PoolOverloadedError(this.#settings.maxWaiting));
    const acquired = this.#waiters.wait(limit);
    this.#supply();
    return acquired;
  }

  /** Takes a leased resource back, ready for the next user; one that is suspect passes a health check first. */
  release(entry: Entry<R>, isSuspect: boolean = false): void {
    const own = entry as OwnEntry<R>;
    if (own.state !== 'leased') return;
    const isKept = this.#state === 'open' && own.generation === this.#generation;
    const isAlwaysChecked = this.#settings.validateAfterIdleMs === 0 && this.#waiters.size > 0;
    if (isKept && (isSuspect || isAlwaysChecked)) this.#validate(own);
    else this.#arrive(own);
  }

  /** Closes a leased resource instead of taking it back; resolves when it is closed, or that has taken too long. */
  async destroy(entry: Entry<R>, reason: EvictionReason): Promise<void> {
    const own = entry as OwnEntry<R>;
    if (own.state === 'leased') await this.#retire(own, reason);
  }

  /** Retires every resource there is: the idle ones now, the others as they come back. */
  evict(reason: EvictionReason = 'evicted'): void {
    this.#generation += 1;
    this.#evictedAs = reason;
    for (const entry of this.#idle.splice(0)) void this.#retire(entry, reason);
  }

  /** Closes what was idle for too long, a quarter of the pool at a time, and opens up to `minIdle`. */
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
   * Refuses newcomers, rejects waiters, ends the opens under way, and closes every resource as it comes back: all but one at
   * once, then the last alone. Resolves when all are closed. Called once.
   */
  close(): Promise<void> {
    this.#state = 'draining';
    this.#waiters.rejectAll(() => new PoolClosedError());
    for (const unwanted of this.#opening) unwanted.abort(new PoolClosedError());
    this.#drain();
    return this.#closed;
  }

  /** What is lent at the moment. */
  leased(): R[] {
    return this.#entries.leased().map(({ resource }) => resource);
  }

  /** Gives up, while draining, on what does not come back and on calls that do not return. */
  giveUp(): void {
    this.#givenUp.abort(new OperationTimeoutError('last call', this.#settings.operationTimeoutMs));
    for (const entry of this.#entries.leased()) void this.#retire(entry, 'discarded');
  }

  #idleMs({ idleSince }: OwnEntry<R>): number {
    return this.#settings.clock.now() - idleSince;
  }

  /** Whether one more would queue behind `maxWaiting` others; those for whom there is a resource do not queue. */
  #isCrowded(): boolean {
    const { maxWaiting, poolSize } = this.#settings;
    if (this.#waiters.size < maxWaiting) return false;
    const { opening, validating, closing } = this.#entries.counts;
    const reachable = opening + validating + closing + this.#idle.length + Math.max(0, poolSize - this.size);
    return this.#waiters.size - reachable >= maxWaiting;
  }

  /** Whether more wait than there are resources on their way. */
  #isShort(): boolean {
    return this.#waiters.size > this.#entries.counts.opening + this.#entries.counts.validating;
  }

  /**
   * See the head of this file. A resource that was idle for too long is still good for someone who waits, if it passes
   * its health check: only {@link ResourcePool.sweep} retires it, so that a pool never closes all it has at once.
   */
  #supply(): void {
    // An idle one before one that is still being opened for someone who has left: that may take for ever.
    while (this.#waiters.size > this.#entries.counts.validating) {
      const entry = this.#idle.pop();
      if (entry === undefined) break;
      // While anyone waits none is fresh: `tryAcquire` takes those, and what arrives then is not laid aside.
      this.#validate(entry);
    }
    while (this.#isShort() && this.size < this.#settings.poolSize) this.#open();
  }

  /** Takes in a resource that was opened, checked or given back. */
  #arrive(entry: OwnEntry<R>): void {
    if (this.#state !== 'open') {
      this.#layAside(entry);
      this.#drain();
    } else if (entry.generation !== this.#generation) void this.#retire(entry, this.#evictedAs);
    else this.#offer(entry);
  }

  /** Gives a good resource to the first waiter, or lays it on the idle stack. */
  #offer(entry: OwnEntry<R>): void {
    if (this.#waiters.size > 0) {
      // The state changes before the waiter is told, so that it never sees an entry that is not its own.
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
          // Those that a close has ended did not fail.
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

  /** An open that takes too long loses its place; should it ever succeed, its resource is closed and never lent. */
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

  /** Closes a resource; its place is free again when the close has returned, or has taken too long. */
  #retire(entry: OwnEntry<R>, reason: EvictionReason): Promise<void> {
    return outsideCalls(() => {
      this.#evictions[reason] += 1;
      this.#entries.move(entry, 'closing');
      const orderly = reason === 'closed';
      const last = orderly && this.#entries.alive === 1;
      const closing = this.#hooks.close(entry.resource, last);
      const limit = operationLimit(this.#settings, 'close');
      // What is given up is a call that does not return. A close that is under way may write back a large WAL.
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
            // A close that fails is over: the handle is useless, and there is nothing more to do with it.
            if (error instanceof OperationTimeoutError) this.#quarantine(entry, closing);
            else this.#gone(entry);
          },
        );
      this.#changed();
      return closed;
    });
  }

  /** The close of a resource does not return: its place is free, and the rest happens whenever it does. */
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

  /** After a place came free, or something came back while draining. */
  #changed(): void {
    if (this.#state === 'open') this.#supply();
    else if (this.#state === 'draining') this.#drain();
  }

  /**
   * Closes idle resources, but keeps one until all others are gone. SQLite checkpoints and removes the WAL when the
   * last connection closes, and two that close at the same moment can each take the other for the last one:
   * https://www.sqlite.org/wal.html#the_wal_file
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
