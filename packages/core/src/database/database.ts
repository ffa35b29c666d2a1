import type { Limit } from '../waiting/deadline.ts';
import type { BasicConnection, Connection, Driver } from '../driver.ts';
import { complete } from '../drivers/completed-connection.ts';
import { OpenError, SqlitePoolError } from '../errors.ts';
import type { Semaphore } from '../waiting/semaphore.ts';
import { Session, type SessionContext } from '../connection/session.ts';
import { joinSharedFile, SharedFile } from '../connection/shared-file.ts';

/** What is needed to open a session. */
export interface DatabaseSettings {
  readonly driver: Driver;
  readonly onConnect: ((connection: Connection) => void | Promise<void>) | undefined;
}

/**
 * The database behind a pool, as far as its driver can tell: opens sessions to it, has its write gate, and notices
 * when the file is another one. A file that was deleted or replaced while it is open can still be written, and nobody
 * will ever read that: https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
 */
export class Database {
  readonly #settings: DatabaseSettings;
  readonly #onReplaced: () => void;
  #id: string | undefined;
  #file = new SharedFile().join();
  #state: 'in use' | 'left' = 'in use';

  /** @param onReplaced - Called when the sessions opened so far belong to another file. */
  constructor(settings: DatabaseSettings, onReplaced: () => void) {
    this.#settings = settings;
    this.#onReplaced = onReplaced;
  }

  /** The turn to write; of this pool alone as long as no file is known. */
  get writeGate(): Semaphore {
    return this.#file.writeLock;
  }

  /** How large the WAL is; 0 if the driver cannot tell. */
  async walBytes(): Promise<number> {
    return (await this.#settings.driver.walBytes?.()) ?? 0;
  }

  /** The turn to write without a session, if it is free; the function it gives ends it. */
  tryWriteTurn(): (() => void) | undefined {
    const lock = this.writeGate;
    if (!lock.tryAcquire()) return undefined;
    return () => {
      lock.release();
    };
  }

  /** The turn to write without a session; the function it resolves to ends it. */
  async writeTurn(limit: Limit): Promise<() => void> {
    const lock = this.writeGate;
    await lock.acquire(limit);
    return () => {
      lock.release();
    };
  }

  /** Opens a session, unless `signal` aborts before it is open. Rejects with an `OpenError` or with the signal's reason. */
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

  /** Finds out whether the file is still the same. Rejects if there is none. */
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

  /** The pool is done with it. */
  leave(): void {
    this.#state = 'left';
    this.#file.leave();
  }
}

/** After an error that matters more than what a close has to say. */
async function closeQuietly(connection: BasicConnection): Promise<void> {
  try {
    await connection.close();
  } catch {
    // The connection is lost either way, and may not even have a close().
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
