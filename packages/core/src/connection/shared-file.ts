import { bounded, limitOf, type Clock } from '../waiting/deadline.ts';
import { DriverConflictError } from '../errors.ts';
import { Semaphore } from '../waiting/semaphore.ts';

/** How long a close holds the next ones up at most, in milliseconds: one that hangs must not keep them all from ending. */
const CLOSE_HOLDS_UP_MS = 1000;

/**
 * What all connections of this process to one database file share, across every pool. The pools and the connections that
 * have it open are its users: as long as there is one, every other gets the same object. So a file that was moved away and
 * comes back has one write gate, even if a lease writes to it all the while.
 */
export class SharedFile {
  /**
   * One writer per file, first come first served.
   *
   * SQLite lets one connection write at a time, and makes the others sleep in the native thread that runs their call.
   * As many sleepers as libuv has threads (4) leave none for the COMMIT that would wake them: the process stands still
   * until the busy timeouts expire. A queue in JavaScript takes no thread.
   */
  readonly writeLock: Semaphore = new Semaphore();
  readonly #onUnused: () => void;
  #users = 0;
  /** Settles when the next close may begin. */
  #closes: Promise<unknown> = Promise.resolve();

  /** @param onUnused - Called when the last user has left. */
  constructor(onUnused: () => void = () => undefined) {
    this.#onUnused = onUnused;
  }

  /** Adds a user, which must {@link SharedFile.leave}. */
  join(): this {
    this.#users += 1;
    return this;
  }

  /** Removes a user. */
  leave(): void {
    this.#users -= 1;
    if (this.#users === 0) this.#onUnused();
  }

  /**
   * Closes a connection when those before it are closed. The last connection to close writes the WAL back and removes it,
   * and two that close at the same moment can each take the other for one that stays, so that neither does:
   * https://www.sqlite.org/wal.html#the_wal_file
   */
  close(close: () => Promise<void>, clock: Clock): Promise<void> {
    const closed = this.#closes.then(close);
    this.#closes = this.#closes
      .then(() =>
        bounded(
          closed,
          limitOf(clock, CLOSE_HOLDS_UP_MS, () => new Error('slow')),
        ),
      )
      .catch(() => undefined);
    return closed;
  }
}

interface Registered {
  readonly file: SharedFile;
  readonly driverName: string;
}

// On globalThis, so that the ESM and the CommonJS copy of this package share it when a process loads both.
const KEY = Symbol.for('@sqlite-pool/core/shared-files');
const shelf = globalThis as { [KEY]?: Map<string, Registered> | undefined };
const registry = (shelf[KEY] ??= new Map<string, Registered>());

/** Joins what is shared of a database, by the id that its driver gives it. Throws if another driver has it open. */
export function joinSharedFile(databaseId: string, driverName: string): SharedFile {
  const known = registry.get(databaseId);
  if (known === undefined) {
    const file = new SharedFile(() => registry.delete(databaseId));
    registry.set(databaseId, { file, driverName });
    return file.join();
  }
  if (known.driverName !== driverName) throw new DriverConflictError(known.driverName, driverName);
  return known.file.join();
}
