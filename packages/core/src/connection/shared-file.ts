import { bounded, limitOf, type Clock } from '../waiting/deadline.ts';
import { DriverConflictError } from '../errors.ts';
import { Semaphore } from '../waiting/semaphore.ts';

/**
 * The longest time for which a close delays the next ones, in milliseconds. One that hangs must not delay them for
 * ever.
 */
const CLOSE_HOLDS_UP_MS = 1000;

/**
 * The state that all connections of this process to one database file share, across all pools. Its users are the pools
 * and the connections that have the file open. As long as it has a user, every new user gets the same object. So a file
 * that is moved away and comes back has one write lock, even if a lease writes to it all that time.
 */
export class SharedFile {
  /**
   * The write lock: one writer per file, in the order of their arrival.
   *
   * SQLite lets one connection write at a time. It makes the others sleep in the native thread that runs their call. As
   * many sleepers as there are threads leave none for the COMMIT that would wake them. Then the process stands still
   * until the busy timeouts expire. A queue in JavaScript takes no thread.
   */
  readonly writeLock: Semaphore = new Semaphore();
  readonly #onUnused: () => void;
  #users = 0;
  /** Settles when the next close may begin. */
  #closes: Promise<unknown> = Promise.resolve();

  /**
   * @param onUnused - Called when the last user has left.
   */
  constructor(onUnused: () => void = () => undefined) {
    this.#onUnused = onUnused;
  }

  /** Adds a user. Each user must call {@link SharedFile.leave}. */
  join(): this {
    this.#users += 1;
    return this;
  }

  leave(): void {
    this.#users -= 1;
    if (this.#users === 0) this.#onUnused();
  }

  /**
   * Closes a connection after the earlier closes have ended. The last connection to close writes the WAL back and
   * removes it. Of two connections that close at the same moment, each can assume that the other stays, and then
   * neither does it: https://www.sqlite.org/wal.html#the_wal_file
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

/**
 * Joins the shared state of a database, by the id that its driver reports. Throws if another driver has the database
 * open.
 */
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
