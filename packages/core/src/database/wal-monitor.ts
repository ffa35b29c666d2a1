import {
  checkpointCall,
  checkpointResult,
  reportCheckpoint,
  type CheckpointMode,
  type CheckpointResult,
} from './checkpoint.ts';
import { whereAcquired, type Observer } from '../diagnostics/observer.ts';
import { limitOf, type Clock } from '../waiting/deadline.ts';
import type { Semaphore } from '../waiting/semaphore.ts';
import type { Entry } from '../engine/entries.ts';
import type { Reading, Session } from '../connection/session.ts';

/** A lease that may keep SQLite from writing the WAL back. */
export interface Reader extends Reading {
  /** The stack of the acquire of the lease, if it was recorded. */
  readonly stack: string | undefined;
}

/** The methods of the database, the connection pool and the leases that the monitor needs. */
interface WalDatabase {
  /** The write lock of the file that the pool uses now. */
  readonly writeLock: WalLock;
  walBytes(): Promise<number>;
}
type WalLock = Pick<Semaphore, 'tryAcquire' | 'acquire' | 'release'>;
interface WalConnections {
  acquireForChore(urgent: boolean): Promise<Entry<Session> | undefined>;
  tryAcquireIdle(): Entry<Session> | undefined;
  release(entry: Entry<Session>): Promise<void>;
}
interface WalLeases {
  /** The leases that read now, the oldest first. */
  readers(): readonly Reader[];
}

/** When this many checkpoints in a row stop at the same page, one reader is stopping them. */
const STOPPED_TOO_OFTEN = 3;

/** How many times, and for how many milliseconds, writers wait for readers that are about to end. */
const TRUNCATE_TRIES = 5;
const TRUNCATE_FOR_MS = 100;
/** How long the monitor waits for the write lock, in milliseconds. The next check comes soon. */
const WRITE_LOCK_WAIT_MS = 1000;

/**
 * Keeps the WAL small. SQLite writes the WAL back after every 1000 pages, but never a page that a reader still needs.
 * It restarts the file only when no connection reads from it:
 * https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
 */
export class WalMonitor {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #closed: AbortSignal;
  readonly #observer: Observer;
  readonly #database: WalDatabase;
  readonly #connections: WalConnections;
  readonly #leases: WalLeases;
  #state: 'resting' | 'looking' = 'resting';
  #bytes = 0;
  /** The page at which the last checkpoints stopped, and how many of them did. */
  #stopped = { page: -1, times: 0 };
  /** The leases that were reading at that time, and the earliest time at which each was seen. */
  #readers: readonly (Reader & { readonly since: number })[] = [];

  constructor(
    settings: { readonly observer: Observer; readonly walLimitBytes: number; readonly closed: AbortSignal },
    database: WalDatabase,
    connections: WalConnections,
    leases: WalLeases,
  ) {
    this.#observer = settings.observer;
    this.#clock = settings.observer.clock;
    this.#limit = settings.walLimitBytes;
    this.#closed = settings.closed;
    this.#database = database;
    this.#connections = connections;
    this.#leases = leases;
  }

  /** The size of the WAL in bytes at the last check. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Checks the WAL and makes a checkpoint if needed. Never rejects. Does nothing while another check runs. */
  async check(): Promise<void> {
    if (this.#state === 'looking') return;
    this.#state = 'looking';
    try {
      this.#bytes = await this.#database.walBytes();
      if (this.#bytes <= this.#limit) this.#reset();
      else await this.#checkpoint();
    } catch {
      // The next check tries again. The next user of a bad connection finds out that it is bad.
    } finally {
      this.#state = 'resting';
    }
  }

  async #checkpoint(): Promise<void> {
    const entry = await this.#connections.acquireForChore(this.#bytes > 2 * this.#limit);
    if (entry === undefined) return;
    try {
      const { busy, walPages, checkpointedPages: page } = await this.#run(entry, 'passive');
      // Another checkpoint is running.
      if (busy) return;
      const moved = page !== this.#stopped.page && this.#stopped.times > 0;
      if (page < walPages) this.#stop(page);
      else this.#reset();
      // Readers that come and go stop each checkpoint at another page. While there is no writer, a truncate can get past
      // them.
      if (this.#stopped.times > 0 && !moved) return;
      const { writeLock } = this.#database;
      if (writeLock.tryAcquire()) {
        await this.#truncate(entry, writeLock);
        return;
      }
    } finally {
      await this.#connections.release(entry);
    }
    await this.#truncateLater();
  }

  /**
   * Waits for the write lock without a connection: the current writer, or a reader, may need this connection before it
   * ends.
   */
  async #truncateLater(): Promise<void> {
    const limit = limitOf(this.#clock, WRITE_LOCK_WAIT_MS, () => new Error('no write lock'), this.#closed);
    const { writeLock } = this.#database;
    await writeLock.acquire(limit);
    const entry = this.#connections.tryAcquireIdle();
    if (entry === undefined) {
      writeLock.release();
      return;
    }
    try {
      await this.#truncate(entry, writeLock);
    } finally {
      await this.#connections.release(entry);
    }
  }

  /**
   * Tries for a moment, during which no write of this process begins, and then releases the lock. Each try waits for
   * readers as long as the busy timeout.
   */
  async #truncate(entry: Entry<Session>, writeLock: WalLock): Promise<void> {
    try {
      const until = this.#clock.now() + TRUNCATE_FOR_MS;
      for (let tries = TRUNCATE_TRIES; tries > 0 && this.#clock.now() < until; tries -= 1)
        if (!(await this.#run(entry, 'truncate')).busy) return;
    } finally {
      writeLock.release();
    }
  }

  /**
   * Makes a checkpoint without a time limit, because an interrupted one would have to begin again. Does not acquire the
   * write lock: the caller does.
   */
  #run({ resource }: Entry<Session>, mode: CheckpointMode): Promise<CheckpointResult> {
    const call = checkpointCall({ mode, timeoutMs: Infinity });
    const readonly = { ...call, statement: { ...call.statement, readonly: true } };
    return reportCheckpoint(this.#observer, mode, this.#bytes, async () =>
      checkpointResult(await resource.perform(readonly)),
    );
  }

  #reset(): void {
    this.#stopped = { page: -1, times: 0 };
    this.#readers = [];
  }

  #stop(page: number): void {
    const again = page === this.#stopped.page;
    this.#stopped = { page, times: again ? this.#stopped.times + 1 : 1 };
    const now = this.#clock.now();
    const before = again ? this.#readers : [];
    const sinceOf = (one: object): number => before.find(({ reading }) => reading === one)?.since ?? now;
    this.#readers = this.#leases.readers().map((reader) => ({ ...reader, since: sinceOf(reader.reading) }));
    if (this.#stopped.times === STOPPED_TOO_OFTEN) this.#warn(now);
  }

  #warn(now: number): void {
    const [longest] = this.#readers.toSorted((a, b) => a.since - b.since);
    const size = `${String(Math.round(this.#bytes / 2 ** 20))} MiB`;
    const culprit =
      longest === undefined || longest.since === now
        ? 'It is no lease of this pool: another pool or process, or a single statement that runs long (see statementTimeoutMs).'
        : `It is a lease with ${longest.what}, for at least ${String(Math.round((now - longest.since) / 1000))} s. ${whereAcquired(longest.stack)}`;
    this.#observer.warn(
      'SQLITE_POOL_WAL',
      `The WAL has grown to ${size}, because something that has been reading for long keeps it from being written back. ${culprit}`,
      { walBytes: this.#bytes },
    );
  }
}
