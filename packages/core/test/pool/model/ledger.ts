import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { limitOf, type Limit } from '../../../src/waiting/deadline.ts';
import { OperationTimeoutError, PoolClosedError, PoolOverloadedError } from '../../../src/errors.ts';
import type { Entry } from '../../../src/engine/entries.ts';
import { ResourcePool, type ResourcePoolSettings } from '../../../src/engine/resource-pool.ts';
import { fakeClock, type FakeClock } from '../../../src/testing/index.ts';
import type { Acquire, Pending, Resource } from './records.ts';

class AcquireTimeout extends Error {}

/** The settings a schedule runs with. */
export type ModelSettings = Omit<ResourcePoolSettings, 'clock'>;

/**
 * The reference: it keeps account of what every caller was told and of what every resource went through, and after
 * each step compares that with what the engine says, and with the invariants of docs/architecture.md.
 */
export class Ledger {
  readonly clock: FakeClock = fakeClock();
  readonly settings: ModelSettings;
  readonly engine: ResourcePool<Resource>;
  readonly acquires: Acquire[] = [];
  readonly resources: Resource[] = [];
  readonly opens: Pending<Resource>[] = [];
  readonly validations: Pending<void>[] = [];
  readonly closes: Pending<void>[] = [];
  /** The errors of the opens that failed: what an acquire may be rejected with. */
  readonly openErrors: unknown[] = [];
  closed: 'no' | 'called' | 'resolved' = 'no';
  /** What went wrong in a callback, where throwing would tell nobody. */
  #failure: Error | undefined;
  readonly #closing = new Map<Resource, Promise<void>>();
  #round = 0;
  /** Whether an eviction has happened since promises last settled: what was leased just before it may arrive after it. */
  #justEvicted: boolean = false;
  #sweeping: boolean = false;
  #gaveUp: boolean = false;
  /** How many must wait once promises have settled, where the model knows it. */
  #expectWaiting: number | undefined;
  /** Whether promises have settled since the last step. */
  #quiet = true;

  constructor(settings: ModelSettings) {
    this.settings = settings;
    this.engine = new ResourcePool<Resource>(
      { ...settings, clock: this.clock },
      {
        open: () => this.#open(),
        validate: (resource) => this.#validate(resource),
        drain: (resource) => this.#drain(resource),
        close: (resource, last) => this.#close(resource, last),
        abandon: (resource) => assert.notEqual(resource.state, 'open', 'given up before its close was tried'),
      },
    );
  }

  get waiting(): Acquire[] {
    return this.acquires.filter(({ state }) => state === 'pending');
  }

  get held(): Acquire[] {
    return this.acquires.filter(({ state }) => state === 'held');
  }

  /** As the pool does it: what is free at once, or else a place in the queue. */
  acquire(timeoutMs: number, abortable: boolean): void {
    const { clock, engine } = this;
    const controller = abortable ? new AbortController() : undefined;
    const acquire: Acquire = {
      id: this.acquires.length,
      deadline: clock.now() + timeoutMs,
      controller,
      state: 'pending',
      entry: undefined,
      error: undefined,
    };
    const free = engine.tryAcquire();
    const mayQueue = this.#mayQueue();
    this.acquires.push(acquire);
    if (free !== undefined) {
      assert.equal(this.closed, 'no', 'leased although the pool is closed');
      const { idleSince = clock.now() } = free.resource;
      const idleMs = clock.now() - idleSince;
      assert.ok(idleMs < this.settings.validateAfterIdleMs || idleMs === 0, 'leased without a health check');
      this.#onLeased(acquire, free);
    }
    if (free === undefined) {
      const limit: Limit = limitOf(clock, timeoutMs, () => new AcquireTimeout(), controller?.signal);
      engine
        .acquire(limit)
        .then(
          (entry) => this.#onLeased(acquire, entry),
          (error: unknown) => this.#refused(acquire, error, mayQueue),
        )
        .catch((failure: unknown) => (this.#failure ??= failure as Error));
    }
  }

  release(acquire: Acquire): void {
    const { clock } = this;
    this.#end(acquire, (entry) => {
      entry.resource.idleSince = clock.now();
      this.engine.release(entry);
    });
  }

  discard(acquire: Acquire): void {
    this.#end(acquire, (entry) => this.engine.destroy(entry, 'discarded'));
  }

  evict(): void {
    this.#round += 1;
    this.#justEvicted = true;
    this.engine.evict();
  }

  giveUp(): void {
    // The pool does so only while it closes.
    if (this.engine.state !== 'draining') return;
    this.#gaveUp = true;
    this.engine.giveUp();
  }

  sweep(): void {
    const { engine, closes, settings } = this;
    const closed = closes.length;
    this.#sweeping = true;
    engine.sweep();
    this.#sweeping = false;
    const retired = closes.length - closed;
    assert.ok(retired <= Math.ceil(settings.poolSize / 4), 'a sweep closed too many at once');
    if (retired > 0) assert.ok(engine.counts.idle >= settings.minIdle, 'a sweep closed more than it may');
  }

  close(): void {
    if (this.closed !== 'no') return;
    this.closed = 'called';
    void this.engine.close().then(() => (this.closed = 'resolved'));
  }

  succeed(pending: Pending<Resource> | Pending<void>): void {
    if (pending.settled) return;
    pending.settled = true;
    if (this.opens.includes(pending as Pending<Resource>)) {
      const resource: Resource = { round: pending.round, state: 'open', idleSince: undefined };
      this.resources.push(resource);
      (pending as Pending<Resource>).resolve(resource);
      return;
    }
    this.#closed(pending);
    (pending as Pending<void>).resolve();
  }

  fail(pending: Pending<Resource> | Pending<void>): void {
    if (pending.settled) return;
    pending.settled = true;
    const error = new Error('as told');
    if (this.opens.includes(pending as Pending<Resource>)) {
      this.openErrors.push(error);
      this.#expectOneFailure(pending.since);
    } else this.#closed(pending);
    pending.reject(error);
  }

  /** What must hold at any moment, even with promises that have not settled yet. */
  checkNow(): void {
    if (!this.#quiet) this.#expectWaiting = undefined;
    this.#quiet = false;
    if (this.#failure !== undefined) throw this.#failure;
    const { engine, settings } = this;
    const { opening, idle, validating, leased, closing } = engine.counts;
    for (const [state, count] of Object.entries(engine.counts)) {
      // `closed` counts all that ever were.
      if (state !== 'closed') assert.ok(count >= 0, `${state} is ${String(count)}`);
    }
    assert.ok(engine.size <= settings.poolSize, `size ${String(engine.size)} is more than poolSize`);
    assert.ok(
      opening + idle + validating + leased + closing <= settings.poolSize,
      'more places taken than poolSize',
    );
    if (engine.state !== 'open') assert.equal(engine.waiting, 0, 'someone waits for a pool that is closing');
    // One that is idle and under a health check is as good as leased.
    if (engine.waiting > validating) assert.equal(idle, 0, 'someone waits while a resource is idle');
    if (engine.waiting > opening + validating) {
      assert.equal(engine.size, settings.poolSize, 'someone waits although a resource could be opened');
    }
    const alive = this.resources.filter(({ state }) => state !== 'closed').length;
    const opens = this.opens.filter(({ settled }) => !settled).length;
    assert.ok(alive + opens <= 2 * settings.poolSize, 'what was given up was replaced without end');
    const inUse = this.held.map(({ entry }) => entry?.resource);
    assert.equal(new Set(inUse).size, inUse.length, 'a resource is in two hands');
  }

  /** What must hold once all promises have settled. */
  checkSettled(): void {
    if (this.#expectWaiting !== undefined)
      assert.equal(this.engine.waiting, this.#expectWaiting, 'a failed open');
    this.#expectWaiting = undefined;
    this.#justEvicted = false;
    const { engine, clock } = this;
    const { opening, validating, closing, leased } = engine.counts;
    const { waiting, held } = this;
    this.checkNow();
    this.#quiet = true;
    assert.equal(engine.waiting, waiting.length, 'the engine and its callers disagree on who waits');
    const inForce = held.filter(({ entry }) => entry?.state === 'leased');
    assert.equal(leased, inForce.length, 'the engine and its callers disagree on what is leased');
    if (engine.state === 'open') assert.equal(inForce.length, held.length, 'a lease lost its resource');
    const operationMs = this.settings.operationTimeoutMs;
    const running = (calls: readonly Pending<never>[]): number =>
      this.#gaveUp
        ? 0
        : calls.filter(({ settled, since }) => !settled && clock.now() - since < operationMs).length;
    assert.equal(opening, running(this.opens as Pending<never>[]), 'opening');
    assert.equal(validating, running(this.validations as Pending<never>[]), 'validating');
    if (engine.state === 'open') assert.equal(closing, this.#closesInTime(), 'closing');
    if (engine.state === 'open') {
      // The queue has one timer for all who have a deadline, and may keep it while anyone waits.
      const timers = clock.pending - opening - validating - closing;
      const needed = waiting.some(({ deadline }) => deadline !== Infinity) ? 1 : 0;
      assert.ok(
        timers >= needed && timers <= Math.min(1, waiting.length),
        'a timer is missing, or left behind',
      );
    }
    for (const { controller, state, deadline } of this.acquires) {
      if (controller !== undefined) {
        assert.equal(
          getEventListeners(controller.signal, 'abort').length,
          state === 'pending' ? 1 : 0,
          'listeners',
        );
        if (controller.signal.aborted)
          assert.notEqual(state, 'pending', 'an aborted acquire goes on waiting');
      }
      if (state === 'pending') assert.ok(deadline > clock.now(), 'an acquire waits past its deadline');
    }
  }

  /** Ends everything well, and finds out whether the engine is as good as new. */
  async finish(): Promise<void> {
    const settleAll = async (): Promise<void> => {
      for (let done = 1; done > 0;) {
        const open = [...this.opens, ...this.validations, ...this.closes].filter(({ settled }) => !settled);
        for (const pending of open) this.succeed(pending);
        await this.clock.settle();
        const { held } = this;
        for (const acquire of held) this.release(acquire);
        done = open.length + held.length;
      }
    };
    if (this.acquires.length % 2 === 1) await this.#closeWhatHangs();
    await settleAll();
    assert.equal(this.waiting.length, 0, 'an acquire never settled');
    assert.equal(this.engine.counts.quarantined, 0, 'a resource is given up for ever');
    if (this.engine.state === 'open') {
      const before = this.held.length;
      for (let n = 0; n < this.settings.poolSize; n += 1) this.acquire(Infinity, false);
      for (let n = 0; n < this.settings.poolSize; n += 1) {
        for (const pending of [...this.opens, ...this.validations, ...this.closes]) this.succeed(pending);
        await this.clock.settle();
      }
      assert.equal(this.held.length - before, this.settings.poolSize, 'capacity was lost');
    }
    this.close();
    await settleAll();
    assert.equal(this.closed, 'resolved', 'close() does not resolve');
    assert.ok(
      this.resources.every(({ state }) => state === 'closed'),
      'a resource was not closed',
    );
    assert.equal(this.clock.pending, 0, 'a timer is left behind');
  }

  /** A pool closes even if nothing comes back and no call returns. */
  async #closeWhatHangs(): Promise<void> {
    const { clock, settings } = this;
    this.close();
    await clock.settle();
    this.giveUp();
    // What was idle is closed in good order, all but one at once and then the last.
    await clock.advance(2 * settings.operationTimeoutMs);
    assert.equal(this.closed, 'resolved', 'close() waits for what hangs');
  }

  #open(): Promise<Resource> {
    const { opening, validating } = this.engine.counts;
    if (!this.#sweeping) assert.ok(opening + validating <= this.engine.waiting, 'opened without demand');
    return this.#call(this.opens, undefined);
  }

  #validate(resource: Resource): Promise<void> {
    const { idleSince = -Infinity } = resource;
    assert.equal(resource.state, 'open', 'a health check on a resource that is not open');
    const idleMs = this.clock.now() - idleSince;
    assert.ok(idleMs >= this.settings.validateAfterIdleMs, 'a health check without need');
    resource.idleSince = undefined;
    return this.#call(this.validations, resource);
  }

  #close(resource: Resource, last: boolean): Promise<void> {
    assert.equal(resource.state, 'open', 'a second close');
    resource.state = 'closing';
    if (last) {
      const { closing, quarantined } = this.engine.counts;
      assert.equal(
        this.engine.size - Math.max(0, quarantined - this.settings.poolSize),
        closing,
        'not the last one',
      );
    }
    const closing = this.#call(this.closes, resource);
    this.#closing.set(resource, closing);
    return closing;
  }

  /** Of every other resource it is a call that does not return what its close waits for, of the rest the close itself. */
  async #drain(resource: Resource): Promise<void> {
    if (this.resources.indexOf(resource) % 2 === 1) await this.#closing.get(resource);
  }

  /** An open that fails, fails one waiter, unless there are enough other resources on their way. */
  #expectOneFailure(since: number): void {
    const { engine, clock, settings } = this;
    if (!this.#quiet || engine.state !== 'open' || clock.now() - since >= settings.operationTimeoutMs) return;
    const { opening, validating } = engine.counts;
    const short = engine.waiting > opening - 1 + validating;
    this.#expectWaiting = short ? engine.waiting - 1 : engine.waiting;
  }

  #closed(pending: Pending<Resource> | Pending<void>): void {
    const { resource } = pending;
    if (resource !== undefined && this.closes.includes(pending as Pending<void>)) resource.state = 'closed';
  }

  #call<T>(calls: Pending<T>[], resource: Resource | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      calls.push({ since: this.clock.now(), round: this.#round, resource, settled: false, resolve, reject });
    });
  }

  /** Closes of resources that still hold their place, those of late opens not counted: nobody knew of them before. */
  #closesInTime(): number {
    const operationMs = this.settings.operationTimeoutMs;
    const { closing, quarantined } = this.engine.counts;
    const open = this.closes.filter(({ settled }) => !settled);
    const late = open.filter(({ since }) => this.clock.now() - since >= operationMs).length;
    // A late open is quarantined from its own time-out until its close returns.
    assert.ok(
      closing <= open.length && open.length - closing >= late && open.length - closing <= quarantined,
      'closing',
    );
    return closing;
  }

  /** Whether the one that asks now has a resource in reach, or a place in the queue. */
  #mayQueue(): boolean {
    const { opening, validating, idle } = this.engine.counts;
    const reach = opening + validating + idle + this.settings.poolSize - this.engine.size;
    return this.engine.waiting + 1 - reach <= this.settings.maxWaiting;
  }

  #onLeased(acquire: Acquire, entry: Entry<Resource>): void {
    const { id } = acquire;
    assert.equal(acquire.state, 'pending', 'settled twice');
    assert.ok(
      !this.acquires.slice(0, id).some(({ state }) => state === 'pending'),
      'served before one who came first',
    );
    if (this.closed === 'no') assert.equal(entry.resource.state, 'open', 'leased although it is not open');
    if (!this.#justEvicted) assert.equal(entry.resource.round, this.#round, 'leased although it was evicted');
    entry.resource.idleSince = undefined;
    acquire.state = 'held';
    acquire.entry = entry;
  }

  #refused(acquire: Acquire, error: unknown, mayQueue: boolean): void {
    assert.equal(acquire.state, 'pending', 'settled twice');
    acquire.state = 'over';
    acquire.error = error;
    if (error instanceof AcquireTimeout)
      assert.ok(this.clock.now() >= acquire.deadline, 'timed out too early');
    else if (error instanceof PoolOverloadedError)
      assert.ok(!mayQueue, 'refused although there was a place for it');
    else if (error instanceof PoolClosedError)
      assert.notEqual(this.closed, 'no', 'refused by a pool that is open');
    else if (error === acquire.controller?.signal.reason) assert.ok(acquire.controller?.signal.aborted);
    else
      assert.ok(
        this.openErrors.includes(error) || error instanceof OperationTimeoutError,
        `rejected with ${String(error)}`,
      );
  }

  #end(acquire: Acquire, how: (entry: Entry<Resource>) => void): void {
    const { entry } = acquire;
    assert.ok(acquire.state === 'held' && entry !== undefined);
    acquire.state = 'over';
    how(entry);
  }
}
