import type { Session, SessionContext } from '../connection/session.ts';
import { warnOfStuckCall } from '../connection/stuck-call.ts';
import { Database } from '../database/database.ts';
import { Housekeeping } from '../database/housekeeping.ts';
import { WalMonitor } from '../database/wal-monitor.ts';
import { closeChannel, evictChannel, openChannel } from '../diagnostics/events.ts';
import { Observer } from '../diagnostics/observer.ts';
import { OpenOperation, traced } from '../diagnostics/operation.ts';
import type { PoolStats } from '../diagnostics/stats.ts';
import type { ResourceHooks } from '../engine/lifecycle.ts';
import { ResourcePool } from '../engine/resource-pool.ts';
import { PoolClosedError } from '../errors.ts';
import { ConnectionPool } from '../leasing/connection-pool.ts';
import { LeaseRegistry } from '../leasing/lease-registry.ts';
import type { Settings } from '../options.ts';
import { bounded, limitOf } from '../waiting/deadline.ts';
import { Writers } from '../writing/writers.ts';

/** How long a request may keep a connection between two of its statements while the pool closes, in milliseconds. */
const IDLE_LEASE_GRACE_MS = 1000;

/** How long `close()` waits for an interrupted call to return before it abandons the connection, in milliseconds. */
const INTERRUPT_GRACE_MS = 50;

/** The parts of one pool, and how they are joined and closed. */
export class PoolParts {
  readonly settings: Settings;
  readonly observer: Observer;
  readonly engine: ResourcePool<Session>;
  readonly registry: LeaseRegistry;
  readonly database: Database;
  readonly connections: ConnectionPool;
  readonly writers: Writers;
  readonly walMonitor: WalMonitor;
  readonly #context: SessionContext;
  readonly #housekeeping: Housekeeping;
  /** Aborts when the pool begins to close. */
  readonly #closed = new AbortController();

  constructor(pool: object, settings: Settings) {
    this.settings = settings;
    this.observer = new Observer(pool, settings);
    this.registry = new LeaseRegistry(settings, this.observer, (entry, ending) =>
      this.connections.release(entry, ending),
    );
    this.database = new Database(settings, () => {
      this.engine.evict('replaced');
    });
    const context = {
      ...settings,
      keepTainted: settings.driver.inMemory === true,
      sharesHandles: settings.onConnect === undefined,
      writeTimeoutError: () => this.connections.timeoutError(settings.acquireTimeoutMs, 'write'),
    };
    this.#context = context;
    this.engine = new ResourcePool(settings, this.#hooks());
    this.connections = new ConnectionPool(settings, this.engine, this.registry, this.observer);
    this.writers = new Writers(context, this.connections, this.database);
    const untilClosed = { ...settings, observer: this.observer, closed: this.#closed.signal };
    this.walMonitor = new WalMonitor(untilClosed, this.database, this.connections, this.registry);
    this.#housekeeping = new Housekeeping(settings, {
      sweep: () => {
        this.engine.sweep();
        this.registry.sweep();
      },
      checkFile: () => this.database.check(),
      careForWal: () => this.walMonitor.check(),
      onFileGone: () => {
        // Before the first open has succeeded, the file may not be there yet.
        if (this.engine.history.opens > 0) this.engine.evict('replaced');
      },
    });
  }

  /** Whether the pool closes, or is closed. */
  get closed(): boolean {
    return this.#closed.signal.aborted;
  }

  /** A snapshot of what all parts count. */
  stats(): PoolStats {
    const { engine } = this;
    const { opening, idle, validating, leased, closing, quarantined } = engine.counts;
    const { opens, openFailures, evictions } = engine.history;
    const wait = engine.waits.snapshot();
    return {
      driver: this.settings.driver.name,
      size: engine.size,
      idle,
      leased,
      opening,
      validating,
      closing,
      quarantined,
      waiting: engine.waiting,
      writerHeld: this.database.writeLock.held > 0,
      writersWaiting: this.writers.waiting,
      acquires: wait.count,
      acquireTimeouts: this.connections.timeouts,
      opens,
      openFailures,
      evictions: { ...evictions },
      leaks: this.registry.leaks,
      walBytes: this.walMonitor.bytes,
      wait,
    };
  }

  /** Waits for the release of the leases, then revokes them, and closes every connection. Never rejects. Call it once. */
  async close(): Promise<void> {
    const { clock, closeTimeoutMs } = this.settings;
    const since = clock.now();
    const reason = (): PoolClosedError => new PoolClosedError();
    this.#housekeeping.stop();
    this.#closed.abort(reason());
    this.writers.close(reason);
    const closed = this.engine.close();
    const inTime = async (ms: number): Promise<boolean> => {
      const waited = await Promise.allSettled([bounded(closed, limitOf(clock, ms, reason))]);
      return waited[0].status === 'fulfilled';
    };
    const idleLeaseMs = Math.min(IDLE_LEASE_GRACE_MS, closeTimeoutMs);
    if (!(await inTime(idleLeaseMs))) this.connections.idleLeases.close();
    if (!(await inTime(closeTimeoutMs - idleLeaseMs))) {
      this.registry.revokeAll(reason);
      for (const session of this.engine.leased()) session.end(reason);
      if (!(await inTime(INTERRUPT_GRACE_MS))) this.engine.giveUp();
      await closed;
    }
    this.database.leave();
    if (closeChannel.hasSubscribers)
      closeChannel.publish({ ...this.observer.source, durationMs: clock.now() - since });
  }

  /** What the engine does with a connection. */
  #hooks(): ResourceHooks<Session> {
    return {
      open: (signal) => {
        this.#housekeeping.start();
        return this.#open(signal);
      },
      validate: async (session) => {
        await this.database.check();
        await session.validate();
      },
      drain: (session) => session.drain(),
      close: (session, last) => session.close(last),
      abandon: (session) => {
        warnOfStuckCall(this.observer, session.abandon());
      },
      retired: (reason) => {
        this.observer.debug('A connection is retired.', { reason });
        if (evictChannel.hasSubscribers) evictChannel.publish({ ...this.observer.source, reason });
      },
    };
  }

  #open(signal: AbortSignal): Promise<Session> {
    const open = (): Promise<Session> => this.database.open(this.#context, signal);
    if (!openChannel.hasSubscribers) return open();
    return traced(openChannel, new OpenOperation(this.observer, undefined), open);
  }
}
