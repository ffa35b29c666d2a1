import { limitOf, type CancelToken, type Clock, type Limit } from '../waiting/deadline.ts';
import type { Entry } from '../engine/entries.ts';
import { AcquireTimeoutError, type AcquirePhase } from '../errors.ts';
import type { LeaseEnding } from './lease.ts';
import { IdleLeases, type LeaseRegistry } from './lease-registry.ts';
import type { ResourcePool } from '../engine/resource-pool.ts';
import type { Session } from '../connection/session.ts';

/** What lending needs to know of the pool. */
export interface ConnectionPoolSettings {
  readonly clock: Clock;
  readonly poolSize: number;
  readonly acquisitionTimeoutMs: number;
}

/** What bounds a wait for a connection. */
export interface Bounds {
  readonly signal?: CancelToken | undefined;
  readonly timeoutMs?: number | undefined;
}

/** How long the pool's own work waits for a connection, in milliseconds. */
const CHORE_WAIT_MS = 1000;

const GIVEN_BACK = Promise.resolve();

/** How connections leave the engine and come back: at once, after a wait, reset, or not at all. */
export class ConnectionPool {
  /** For those who keep a connection between two uses. */
  readonly idleLeases: IdleLeases;
  readonly #settings: ConnectionPoolSettings;
  readonly #engine: ResourcePool<Session>;
  readonly #leases: LeaseRegistry;
  #timeouts = 0;

  constructor(settings: ConnectionPoolSettings, engine: ResourcePool<Session>, leases: LeaseRegistry) {
    this.#settings = settings;
    this.#engine = engine;
    this.#leases = leases;
    this.idleLeases = new IdleLeases(() => engine.waiting > 0);
  }

  /** How many have run out of time. */
  get timeouts(): number {
    return this.#timeouts;
  }

  /** A connection: at once if a good one is idle, and else as soon as there is one. */
  acquire(bounds: Bounds): Entry<Session> | Promise<Entry<Session>> {
    if (bounds.signal?.aborted === true) return Promise.reject(bounds.signal.reason);
    return this.#tryAcquire() ?? this.#wait(bounds);
  }

  /** Runs `work` with a connection, and releases it afterwards. */
  async use<T>(bounds: Bounds, work: (session: Session) => Promise<T>): Promise<T> {
    const acquired = this.acquire(bounds);
    const entry = acquired instanceof Promise ? await acquired : acquired;
    try {
      return await work(entry.resource);
    } finally {
      void this.release(entry);
    }
  }

  #tryAcquire(): Entry<Session> | undefined {
    const entry = this.#engine.tryAcquire();
    if (entry === undefined) return undefined;
    if (entry.resource.broken) {
      void this.#engine.destroy(entry, 'invalid');
      return this.#tryAcquire();
    }
    this.#engine.waits.add(0);
    return entry;
  }

  #wait(bounds: Bounds): Promise<Entry<Session>> {
    if (this.#engine.size >= this.#settings.poolSize) this.idleLeases.reclaim();
    return this.#engine.acquire(this.limit(bounds));
  }

  /**
   * A connection for the pool's own work, one that nobody waits for: an idle one, fresh or not, or a new one. An `urgent` chore
   * stands in line for a second if there is none.
   */
  async acquireForChore(urgent: boolean): Promise<Entry<Session> | undefined> {
    const idle = this.tryAcquireIdle();
    if (idle !== undefined) return idle;
    const { clock, poolSize } = this.#settings;
    if (this.#engine.size >= poolSize && !urgent) return undefined;
    return await this.#engine.acquire(limitOf(clock, CHORE_WAIT_MS, () => new Error('no connection')));
  }

  /** An idle connection, fresh or not, if nobody waits for one. */
  tryAcquireIdle(): Entry<Session> | undefined {
    return this.#engine.tryAcquireAnyIdle();
  }

  /** Takes a connection back; resolves when it is idle again or closed, and never rejects. */
  release(entry: Entry<Session>, ending: LeaseEnding = 'released'): Promise<void> {
    if (ending === 'discarded') return this.#engine.destroy(entry, 'discarded');
    const { resource } = entry;
    switch (resource.condition) {
      case 'clean':
        this.#engine.release(entry, resource.isSuspect);
        return GIVEN_BACK;
      case 'open':
        // What still runs on it, a call that was made before the release for example, may change it, too.
        return resource.reset().then(
          () => this.release(entry),
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
