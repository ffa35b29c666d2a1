import {
  checkpointCall,
  checkpointResult,
  type CheckpointMode,
  type CheckpointResult,
} from './checkpoint.ts';
import { limitOf, type Clock, type Limit } from '../waiting/deadline.ts';
import type { Entry } from '../engine/entries.ts';
import type { Reading, Session } from '../connection/session.ts';

/** A lease that may keep the WAL from being written back. */
export interface Reader extends Reading {
  /** Where the lease was acquired, if that was recorded. */
  readonly stack: string | undefined;
}

/** What the care for the WAL needs of a pool's database, of its lending and of its leases. */
interface WalDatabase {
  walBytes(): Promise<number>;
  tryWriteTurn(): (() => void) | undefined;
  writeTurn(limit: Limit): Promise<() => void>;
}
interface WalConnections {
  acquireForChore(urgent: boolean): Promise<Entry<Session> | undefined>;
  tryAcquireIdle(): Entry<Session> | undefined;
  release(entry: Entry<Session>): Promise<void>;
}
interface WalLeases {
  /** Those that read at the moment, the oldest first. */
  readers(): readonly Reader[];
}

/** A checkpoint that stops at the same page so many times in a row is stopped by one reader. */
const STOPPED_TOO_OFTEN = 3;

/** How often, and for how many milliseconds, writers are kept waiting for readers that are about to end. */
const TRUNCATE_TRIES = 5;
const TRUNCATE_FOR_MS = 100;
/** How long a turn to write is waited for, in milliseconds: the next look comes soon. */
const TURN_WAIT_MS = 1000;

/**
 * Keeps the WAL small. SQLite writes it back after every 1000 pages, but never what a reader still needs, and it starts
 * the file anew only when nobody reads from it: https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
 */
export class WalMonitor {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #closed: AbortSignal;
  readonly #database: WalDatabase;
  readonly #connections: WalConnections;
  readonly #leases: WalLeases;
  #state: 'resting' | 'looking' = 'resting';
  #bytes = 0;
  /** At which page the last checkpoints have stopped, and how many. */
  #stopped = { page: -1, times: 0 };
  /** Who was reading when they did, and since when at least. */
  #readers: readonly (Reader & { readonly since: number })[] = [];

  constructor(
    settings: { readonly clock: Clock; readonly walLimitBytes: number; readonly closed: AbortSignal },
    database: WalDatabase,
    connections: WalConnections,
    leases: WalLeases,
  ) {
    this.#clock = settings.clock;
    this.#limit = settings.walLimitBytes;
    this.#closed = settings.closed;
    this.#database = database;
    this.#connections = connections;
    this.#leases = leases;
  }

  /** How large the WAL was at the last look. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Looks, and does what is to be done. Never rejects; does nothing while it is at work already. */
  async check(): Promise<void> {
    if (this.#state === 'looking') return;
    this.#state = 'looking';
    try {
      this.#bytes = await this.#database.walBytes();
      if (this.#bytes <= this.#limit) this.#reset();
      else await this.#checkpoint();
    } catch {
      // There is a next time. A connection that is no longer good is noticed by its next user.
    } finally {
      this.#state = 'resting';
    }
  }

  async #checkpoint(): Promise<void> {
    const entry = await this.#connections.acquireForChore(this.#bytes > 2 * this.#limit);
    if (entry === undefined) return;
    try {
      const { busy, walPages, checkpointedPages: page } = await checkpoint(entry, 'passive');
      // Another checkpoint is under way.
      if (busy) return;
      const moved = page !== this.#stopped.page && this.#stopped.times > 0;
      if (page < walPages) this.#stop(page);
      else this.#reset();
      // Readers that come and go stop it at another page each time. While nobody writes there is a way past those.
      if (this.#stopped.times > 0 && !moved) return;
      const leave = this.#database.tryWriteTurn();
      if (leave !== undefined) {
        await this.#truncate(entry, leave);
        return;
      }
    } finally {
      await this.#connections.release(entry);
    }
    await this.#truncateLater();
  }

  /** Without a connection: whoever writes may need this one before it ends, and so may readers. */
  async #truncateLater(): Promise<void> {
    const limit = limitOf(this.#clock, TURN_WAIT_MS, () => new Error('no turn'), this.#closed);
    const leave = await this.#database.writeTurn(limit);
    const entry = this.#connections.tryAcquireIdle();
    if (entry === undefined) {
      leave();
      return;
    }
    try {
      await this.#truncate(entry, leave);
    } finally {
      await this.#connections.release(entry);
    }
  }

  /** Tries for a moment, in which no write of this process begins. Each try waits for readers as long as the busy timeout. */
  async #truncate(entry: Entry<Session>, leave: () => void): Promise<void> {
    try {
      const until = this.#clock.now() + TRUNCATE_FOR_MS;
      for (let tries = TRUNCATE_TRIES; tries > 0 && this.#clock.now() < until; tries -= 1)
        if (!(await checkpoint(entry, 'truncate')).busy) return;
    } finally {
      leave();
    }
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
        : `It is a lease with ${longest.what}, for at least ${String(Math.round((now - longest.since) / 1000))} s. ${whereOf(longest)}`;
    process.emitWarning(
      `The WAL has grown to ${size}, because something that has been reading for long keeps it from being written back. ${culprit}`,
      { type: 'SqlitePoolWarning', code: 'SQLITE_POOL_WAL' },
    );
  }
}

function whereOf({ stack }: Reader): string {
  return stack === undefined
    ? 'Set leakWarningMs to see where it was acquired.'
    : `It was acquired here:\n${stack}`;
}

/** Without a limit of its own, because one that was interrupted would have to begin from the start, and without a turn. */
async function checkpoint({ resource }: Entry<Session>, mode: CheckpointMode): Promise<CheckpointResult> {
  const call = checkpointCall({ mode, timeoutMs: Infinity });
  return checkpointResult(
    await resource.perform({ ...call, statement: { ...call.statement, readonly: true } }),
  );
}
