import type { BasicConnection, Connection, Driver } from '../driver.ts';
import { complete } from '../drivers/completed-connection.ts';
import { OpenError, SqlitePoolError } from '../errors.ts';
import type { Semaphore } from '../waiting/semaphore.ts';
import { Session, type SessionContext } from '../connection/session.ts';
import { joinSharedFile, SharedFile } from '../connection/shared-file.ts';

/** The settings for opening a session. */
export interface DatabaseSettings {
  readonly driver: Driver;
  readonly onConnect: ((connection: Connection) => void | Promise<void>) | undefined;
}

/**
 * The database behind a pool, as far as its driver knows. It opens sessions, holds the write lock, and detects that the
 * file was replaced. A process can still write to a file that was deleted or replaced while it is open, but no one will
 * ever read those writes: https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
 */
export class Database {
  readonly #settings: DatabaseSettings;
  readonly #onReplaced: () => void;
  #id: string | undefined;
  #file = new SharedFile().join();
  #state: 'in use' | 'left' = 'in use';

  /**
   * @param onReplaced - Called when the earlier sessions belong to another file.
   */
  constructor(settings: DatabaseSettings, onReplaced: () => void) {
    this.#settings = settings;
    this.#onReplaced = onReplaced;
  }

  /** The write lock. As long as the driver has named no file, it belongs to this pool alone. */
  get writeLock(): Semaphore {
    return this.#file.writeLock;
  }

  /** The size of the WAL in bytes; 0 if the driver does not know it. */
  async walBytes(): Promise<number> {
    return (await this.#settings.driver.walBytes?.()) ?? 0;
  }

  /** Opens a session, unless `signal` aborts first. Rejects with an `OpenError` or with the reason of the signal. */
  async open(context: SessionContext, signal: AbortSignal): Promise<Session> {
    const { driver, onConnect } = this.#settings;
    const connection = await openConnection(driver, signal);
    try {
      signal.throwIfAborted();
      await onConnect?.(connection);
      await this.check();
      signal.throwIfAborted();
      return new Session(complete(connection), this.#file, context);
    } catch (error) {
      await this.#file.close(() => closeQuietly(connection), context.clock);
      throw asOpenError('onConnect rejected, or the file disappeared meanwhile', error);
    }
  }

  /** Checks whether the file is still the same. Rejects if there is none. */
  async check(): Promise<void> {
    const { driver } = this.#settings;
    const id = await driver.databaseId?.();
    if (id === undefined || id === this.#id || this.#state === 'left') return;
    const file = joinSharedFile(id, driver.name);
    this.#file.leave();
    this.#file = file;
    const before = this.#id;
    this.#id = id;
    if (before !== undefined) this.#onReplaced();
  }

  /** The pool no longer uses the database. */
  leave(): void {
    this.#state = 'left';
    this.#file.leave();
  }
}

/** For use after an error that matters more than the error of a close. */
async function closeQuietly(connection: BasicConnection): Promise<void> {
  try {
    await connection.close();
  } catch {
    // The connection is lost in any case, and may not even have a close().
  }
}

async function openConnection(driver: Driver, signal: AbortSignal): Promise<Connection> {
  let connection: Connection;
  try {
    connection = await driver.open(signal);
  } catch (error) {
    signal.throwIfAborted();
    throw asOpenError('The driver could not open a connection', error);
  }
  for (const method of ['execute', 'rollback', 'close'] as const) {
    if (typeof (connection as Partial<Connection> | undefined)?.[method] === 'function') continue;
    await closeQuietly(connection);
    throw new OpenError(
      'unknown',
      `The driver opened something that has no ${method}(): see docs/drivers.md for what it needs.`,
    );
  }
  return connection;
}

function asOpenError(what: string, error: unknown): SqlitePoolError {
  if (error instanceof SqlitePoolError) return error;
  return new OpenError('unknown', `${what} (details in error.cause).`, error);
}
