import { limitOf, type Cancellation, type Clock, type Limit } from '../waiting/deadline.ts';
import type { Entry } from '../engine/entries.ts';
import { AcquireTimeoutError, type AcquirePhase } from '../errors.ts';
import type { LeaseEnding } from './lease.ts';
import { Spares, type Leases } from './leases.ts';
import type { ResourcePool } from '../engine/resource-pool.ts';
import type { Session } from '../connection/session.ts';

/** What lending needs to know of the pool. */
export interface LendingSettings {
  readonly clock: Clock;
  readonly poolSize: number;
  readonly acquisitionTimeoutMs: number;
}

/** What bounds a wait for a connection. */
interface Bounds {
  readonly signal?: Cancellation | undefined;
  readonly timeoutMs?: number | undefined;
}

/** How long the pool's own work waits for a connection, in milliseconds. */
const CHORE_WAIT_MS = 1000;

const GIVEN_BACK = Promise.resolve();

/** How connections leave the engine and come back: at once, after a wait, reset, or not at all. */
export class Lending {
  /** For those who keep a connection between two uses. */
  readonly spares: Spares;
  readonly #settings: LendingSettings;
  readonly #engine: ResourcePool<Session>;
  readonly #leases: Leases;
  #timeouts = 0;

  constructor(settings: LendingSettings, engine: ResourcePool<Session>, leases: Leases) {
    this.#settings = settings;
    this.#engine = engine;
    this.#leases = leases;
    this.spares = new Spares(() => engine.waiting > 0);
  }

  /** How many have run out of time. */
  get timeouts(): number {
    return this.#timeouts;
  }

  /** A good connection, if one is idle. */
  tryTake(): Entry<Session> | undefined {
    const entry = this.#engine.tryAcquire();
    if (entry === undefined) return undefined;
    if (entry.resource.broken) {
      void this.#engine.destroy(entry, 'invalid');
      return this.tryTake();
    }
    this.#engine.waits.add(0);
    return entry;
  }

  /** A connection, as soon as there is one, for whom {@link Lending.tryTake} had none. */
  take(options: Bounds): Promise<Entry<Session>> {
    if (options.signal?.aborted === true) return Promise.reject(options.signal.reason);
    if (this.#engine.size >= this.#settings.poolSize) this.spares.reclaim();
    return this.#engine.acquire(this.limit(options));
  }

  /**
   * A connection for the pool's own work, one that nobody waits for: an idle one, fresh or not, or a new one. An `urgent` chore
   * stands in line for a second if there is none.
   */
  async takeForChore(urgent: boolean): Promise<Entry<Session> | undefined> {
    const idle = this.takeIdle();
    if (idle !== undefined) return idle;
    const { clock, poolSize } = this.#settings;
    if (this.#engine.size >= poolSize && !urgent) return undefined;
    return await this.#engine.acquire(limitOf(clock, CHORE_WAIT_MS, () => new Error('no connection')));
  }

  /** An idle connection, fresh or not, if nobody waits for one. */
  takeIdle(): Entry<Session> | undefined {
    return this.#engine.tryAcquireAnyIdle();
  }

  /** Takes a connection back; resolves when it is idle again or closed, and never rejects. */
  giveBack(entry: Entry<Session>, ending: LeaseEnding = 'released'): Promise<void> {
    if (ending === 'discarded') return this.#engine.destroy(entry, 'discarded');
    const { resource } = entry;
    switch (resource.condition) {
      case 'clean':
        this.#engine.release(entry, resource.isSuspect);
        return GIVEN_BACK;
      case 'open':
        // What still runs on it, a call that was made before the release for example, may change it, too.
        return resource.reset().then(
          () => this.giveBack(entry),
          () => this.#engine.destroy(entry, 'dirty'),
        );
      case 'tainted':
      case 'lost':
        return this.#engine.destroy(entry, 'dirty');
    }
  }

  /** The limit of a wait; `phase` says what for, if that is not a connection. */
  limit({ signal, timeoutMs = this.#settings.acquisitionTimeoutMs }: Bounds, phase?: AcquirePhase): Limit {
    const error = (ahead: number): Error => this.timeoutError(timeoutMs, phase ?? this.#engine.phase(ahead));
    return limitOf(this.#settings.clock, timeoutMs, error, signal);
  }

  /** The error of a wait that ran out of time, which says how full the pool is. */
  timeoutError(timeoutMs: number, phase: AcquirePhase): AcquireTimeoutError {
    this.#timeouts += 1;
    const { opening, idle, leased } = this.#engine.counts;
    const { poolSize } = this.#settings;
    const counts = { poolSize, leased, idle, opening, waiting: this.#engine.waiting };
    return new AcquireTimeoutError(timeoutMs, phase, counts, this.#leases.stacks, this.#engine.lastOpenError);
  }
}
