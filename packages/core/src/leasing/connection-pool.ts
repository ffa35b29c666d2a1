import { acquireChannel, type AcquireEvent, type RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import { AcquireOperation, traced, type WaitingOperation } from '../diagnostics/operation.ts';
import { limitOf, type CancelToken, type Clock, type Limit } from '../waiting/deadline.ts';
import type { Entry } from '../engine/entries.ts';
import { enclosing, enclosingSessions } from '../connection/enclosing-callback.ts';
import { AcquireTimeoutError, TransactionActiveError, type AcquirePhase } from '../errors.ts';
import type { LeaseEnding } from './lease.ts';
import { IdleLeases, type LeaseRegistry } from './lease-registry.ts';
import type { ResourcePool } from '../engine/resource-pool.ts';
import type { Session } from '../connection/session.ts';

/** The settings that leasing needs. */
export interface ConnectionPoolSettings {
  readonly clock: Clock;
  readonly poolSize: number;
  readonly acquireTimeoutMs: number;
}

/** The limits of a wait for a connection. */
export interface Bounds {
  readonly signal?: CancelToken | undefined;
  readonly timeoutMs?: number | undefined;
  /** The request that waits, if there is one. */
  readonly request?: RequestOrigin | undefined;
}

/** What waits for a connection or a permit: a statement, or a transaction. */
export interface Waits {
  readonly signal?: AbortSignal | undefined;
  /** What it reports, if something listens. */
  readonly operation?: WaitingOperation | undefined;
}

/** The limits of its wait for a connection. */
export function boundsOf({ signal, operation }: Waits): Bounds {
  return operation === undefined ? { signal } : { signal, request: operation.request };
}

/** How long the pool's own work waits for a connection, in milliseconds. */
const CHORE_WAIT_MS = 1000;

const WAITS_FOR_CONNECTION = {
  transaction:
    'This call waits for a connection, and the transaction in whose callback it is made holds the last one. Call the method on the handle of the transaction: transaction(async (tx) => { await tx.get(…); }).',
  lease:
    'This call waits for a connection, and the callback in which it is made holds the last one. Call the method on the connection that the callback got: connection(async (lease) => { await lease.get(…); }).',
};

const RELEASED = Promise.resolve();

/**
 * Acquires connections from the engine and releases them. A released connection is reused at once, reset first, or
 * closed.
 */
export class ConnectionPool {
  /** The holders of idle leases, which keep a connection between two uses. */
  readonly idleLeases: IdleLeases;
  readonly #settings: ConnectionPoolSettings;
  readonly #engine: ResourcePool<Session>;
  readonly #leases: LeaseRegistry;
  readonly #observer: Observer;
  #timeouts = 0;

  constructor(
    settings: ConnectionPoolSettings,
    engine: ResourcePool<Session>,
    leases: LeaseRegistry,
    observer: Observer,
  ) {
    this.#observer = observer;
    this.#settings = settings;
    this.#engine = engine;
    this.#leases = leases;
    this.idleLeases = new IdleLeases(() => engine.waiting > 0);
  }

  /** The number of waits that ran out of time. */
  get timeouts(): number {
    return this.#timeouts;
  }

  /** Returns a connection at once if a good one is idle. Otherwise resolves as soon as there is one. */
  acquire(
    bounds: Bounds,
    purpose: AcquireEvent['purpose'] = 'lease',
  ): Entry<Session> | Promise<Entry<Session>> {
    if (!acquireChannel.hasSubscribers) return this.#acquire(bounds);
    const operation = new AcquireOperation(this.#observer, bounds.request, purpose, this.#engine.waiting);
    return traced(acquireChannel, operation, async () => await this.#acquire(bounds));
  }

  #acquire(bounds: Bounds): Entry<Session> | Promise<Entry<Session>> {
    if (bounds.signal?.aborted === true) return Promise.reject(bounds.signal.reason);
    return this.#tryAcquire() ?? this.#wait(bounds);
  }

  /** Runs `work` with a connection, and releases it afterwards. */
  async use<T>(bounds: Bounds, work: (session: Session) => Promise<T>): Promise<T> {
    const acquired = this.acquire(bounds, 'statement');
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
    const refused = this.selfWait();
    if (refused !== undefined) return Promise.reject(refused);
    if (this.#engine.size >= this.#settings.poolSize) this.idleLeases.reclaim();
    return this.#engine.acquire(this.limit(bounds));
  }

  /**
   * Why the caller must not wait for a connection: the callbacks in which it runs hold every one, and keep them to their
   * end. `undefined` if other callers hold one, because those may release it.
   */
  selfWait(): TransactionActiveError | undefined {
    const innermost = enclosing();
    if (innermost === undefined || this.#engine.size < this.#settings.poolSize) return undefined;
    const own = enclosingSessions();
    const held = this.#engine.leased().filter((session) => own.has(session)).length;
    return held < this.#settings.poolSize
      ? undefined
      : new TransactionActiveError(WAITS_FOR_CONNECTION[innermost.of]);
  }

  /**
   * Acquires a connection for the pool's own work, without taking one from a waiter: an idle one, fresh or not, or a
   * new one. If there is none, an `urgent` chore waits in the queue for a second.
   */
  async acquireForChore(urgent: boolean): Promise<Entry<Session> | undefined> {
    const idle = this.tryAcquireIdle();
    if (idle !== undefined) return idle;
    const { clock, poolSize } = this.#settings;
    if (this.#engine.size >= poolSize && !urgent) return undefined;
    return await this.#engine.acquire(limitOf(clock, CHORE_WAIT_MS, () => new Error('no connection')));
  }

  /** Acquires an idle connection, fresh or not, if there are no waiters. */
  tryAcquireIdle(): Entry<Session> | undefined {
    return this.#engine.tryAcquireAnyIdle();
  }

  /** Releases a connection. Resolves when the connection is idle again or closed. Never rejects. */
  release(entry: Entry<Session>, ending: LeaseEnding = 'released'): Promise<void> {
    if (ending === 'discarded') return this.#engine.destroy(entry, 'discarded');
    const { resource } = entry;
    switch (resource.condition) {
      case 'clean':
        this.#engine.release(entry, resource.isSuspect);
        return RELEASED;
      case 'open':
        // A call that was made before the release may still run, and may change the condition again.
        return resource.reset().then(
          () => this.release(entry),
          () => this.#engine.destroy(entry, 'dirty'),
        );
      case 'tainted':
      case 'lost':
        return this.#engine.destroy(entry, 'dirty');
    }
  }

  /** The limit of a wait. `phase`: what the caller waits for, if that is not a connection. */
  limit({ signal, timeoutMs = this.#settings.acquireTimeoutMs }: Bounds, phase?: AcquirePhase): Limit {
    const error = (ahead: number): Error => this.timeoutError(timeoutMs, phase ?? this.#engine.phase(ahead));
    return limitOf(this.#settings.clock, timeoutMs, error, signal);
  }

  /** The error of a wait that ran out of time, with the counts of the pool. Counts one timeout. */
  timeoutError(timeoutMs: number, phase: AcquirePhase): AcquireTimeoutError {
    this.#timeouts += 1;
    const { opening, idle, leased } = this.#engine.counts;
    const { poolSize } = this.#settings;
    const counts = { poolSize, leased, idle, opening, waiting: this.#engine.waiting };
    const { lastOpenError } = this.#engine.history;
    return new AcquireTimeoutError(timeoutMs, phase, counts, this.#leases.stacks, lastOpenError);
  }
}
