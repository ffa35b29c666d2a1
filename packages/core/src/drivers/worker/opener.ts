import { setTimeout } from 'node:timers/promises';
import { isLocked } from '../../driver-errors.ts';
import type { Connection } from '../../driver.ts';
import { ConnectionLostError, DriverMissingError, OpenError, SqlitePoolError } from '../../errors.ts';
import { fileId } from '../file-driver.ts';
import { diagnoseOpenError } from '../open-error.ts';
import { WorkerConnection, type ConnectionSettings } from './connection.ts';
import { Handle, interruptOf, newRunning } from './handle.ts';
import type { Interrupter } from './interrupter.ts';
import type { Line } from './line.ts';
import { SharedHandles, SharedLines } from './shared-lines.ts';
import { OwnLine } from './own-line.ts';
import type { OpenMessage, OpenMode } from './protocol.ts';
import type { Thread } from './thread.ts';
import type { Threads } from './threads.ts';

/** The settings of an opener. */
export interface OpenerSettings {
  readonly message: Pick<OpenMessage, 'pragmas' | 'extensions' | 'statementCacheSize' | 'path'>;
  readonly readonly: boolean;
  readonly interrupter: Interrupter | undefined;
}

/**
 * How long the PRAGMAs of a new handle are tried again after they met a lock, and the pause between two tries, in
 * milliseconds.
 */
const OPEN_AGAIN_FOR_MS = 5000;
const OPEN_PAUSE_MS = 20;

/** Opens the database handles of one driver, and makes connections of them. */
export class Opener {
  readonly #threads: Threads;
  readonly #settings: OpenerSettings;
  readonly #shared: SharedHandles;

  constructor(threads: Threads, settings: OpenerSettings) {
    this.#threads = threads;
    this.#settings = settings;
    this.#shared = new SharedHandles((thread, identity) => this.#openKnown(thread, true, identity));
  }

  /** Makes a new connection. Opens its shared handle now, unless it is open, and its own handle when a call needs it. */
  async connect(
    mayCreate: boolean,
    settings: Omit<ConnectionSettings, 'interruptible'>,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    try {
      return await this.#connect(mayCreate, settings, signal);
    } catch (error) {
      // There is no connection yet that could be lost.
      throw error instanceof ConnectionLostError ? error.cause : error;
    }
  }

  async #connect(
    mayCreate: boolean,
    settings: Omit<ConnectionSettings, 'interruptible'>,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    const { path } = this.#settings.message;
    const { longTexts } = this.#threads;
    if (path === ':memory:') {
      const own = new OwnLine(async () => (await this.#open(this.#ownThread(), false, 'create')).join());
      const { handle } = await own.take();
      const interruptible = handle.interrupt !== undefined;
      return new WorkerConnection({ own, shared: undefined, longTexts }, { ...settings, interruptible });
    }
    const { thread, handle, identity } = await this.#home(path, mayCreate, signal);
    const shared = new SharedLines({
      place: (long) => this.#place(long),
      handle: (on) => this.#shared.get(on, identity),
    });
    shared.join(thread, handle);
    const own = new OwnLine(() => this.#openOwn(identity));
    const interruptible = handle.interrupt !== undefined;
    return new WorkerConnection({ own, shared, longTexts }, { ...settings, interruptible });
  }

  /** The shared handle of a new connection. */
  async #home(
    path: string,
    mayCreate: boolean,
    signal: AbortSignal | undefined,
  ): Promise<{ thread: Thread; handle: Handle; identity: string }> {
    const before = await fileId(path).catch(() => undefined);
    const thread = this.#place(false);
    if (before !== undefined && !mayCreate) {
      let handle = await this.#shared.get(thread, before);
      while (!handle.isUsable) handle = await this.#shared.get(this.#place(false), before);
      return { thread: handle.thread as Thread, handle, identity: before };
    }
    const handle = await this.#open(thread, true, mayCreate ? 'create' : this.#mode, signal);
    try {
      const identity = await fileId(path);
      if (before !== undefined && identity !== before) throw new OpenError('replaced', REPLACED, undefined);
      this.#shared.add(thread, identity, handle);
      return { thread, handle, identity };
    } catch (error) {
      await handle.closeIfUnused();
      throw error;
    }
  }

  async #openOwn(identity: string): Promise<Line> {
    const handle = await this.#openKnown(this.#ownThread(), false, identity);
    return handle.join();
  }

  /** Opens a handle of a known file. Rejects if another file has replaced it. */
  async #openKnown(thread: Thread, shared: boolean, identity: string): Promise<Handle> {
    const { path } = this.#settings.message;
    const handle = await this.#open(thread, shared, this.#mode).catch(async (error: unknown) =>
      Promise.reject(error instanceof SqlitePoolError ? error : await diagnoseOpenError(path, false, error)),
    );
    const now = await fileId(path).catch(() => undefined);
    if (now === identity) return handle;
    await handle.closeIfUnused();
    throw new ConnectionLostError(new OpenError('replaced', REPLACED, undefined));
  }

  async #open(thread: Thread, shared: boolean, mode: OpenMode, signal?: AbortSignal): Promise<Handle> {
    // Between two tries the thread may have no open database. Without this, another pool could take the thread, or end
    // it.
    const release = thread.hold();
    try {
      return await this.#tryToOpen(thread, shared, mode, signal);
    } finally {
      release();
    }
  }

  async #tryToOpen(thread: Thread, shared: boolean, mode: OpenMode, signal?: AbortSignal): Promise<Handle> {
    const { message, interrupter } = this.#settings;
    for (const until = performance.now() + OPEN_AGAIN_FOR_MS; ;) {
      const slot = new Int32Array(new SharedArrayBuffer(4));
      const running = newRunning();
      const interruptible = interrupter?.extension;
      try {
        const parts = await thread.open({ ...message, mode, slot, running, shared, interruptible });
        const interrupt = interruptOf(interrupter, parts.key);
        return new Handle(thread, { number: parts.number, slot, running, interrupt });
      } catch (error) {
        signal?.throwIfAborted();
        if (!isLocked(error) || performance.now() >= until) throw error;
        // If two connections switch one new file to WAL, one gets SQLITE_BUSY at once, whatever the busy timeout.
        await setTimeout(OPEN_PAUSE_MS, undefined, signal === undefined ? {} : { signal });
      }
    }
  }

  get #mode(): OpenMode {
    return this.#settings.readonly ? 'readonly' : 'existing';
  }

  #place(long: boolean): Thread {
    return permitted(() => this.#threads.placement.forCall(long));
  }

  #ownThread(): Thread {
    return permitted(() => this.#threads.placement.forOwnHandle());
  }
}

const REPLACED = 'The database file was replaced by another one.';

/** Chooses or starts a thread. Throws a helpful error if the process may not start threads. */
function permitted(start: () => Thread): Thread {
  try {
    return start();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_ACCESS_DENIED') throw error;
    throw new DriverMissingError(
      'This driver runs SQLite on worker threads: add --allow-worker to --permission.',
      error,
    );
  }
}
