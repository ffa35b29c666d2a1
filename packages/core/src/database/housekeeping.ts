import { bounded, type Clock } from '../waiting/deadline.ts';
import { operationLimit } from '../waiting/limits.ts';

/** The interval of the chores, in milliseconds. It detects a replaced file soon, and costs almost nothing. */
const EVERY_MS = 1000;

/** The pool's own work. */
export interface Chores {
  /** Retires connections that were idle for too long, and opens connections up to `minIdle`. */
  sweep(): void;
  /** Checks whether the file is still the same. Rejects if it cannot find out. */
  checkFile(): Promise<void>;
  /** Keeps the WAL small. Never rejects. */
  careForWal(): Promise<void>;
  /** The file is gone: its connections write to a file without a name. */
  onFileGone(): void;
}

/** Runs the chores of a pool once a second, from its first use to its close. Does not keep the process alive. */
export class Housekeeping {
  readonly #settings: { readonly clock: Clock; readonly operationTimeoutMs: number };
  readonly #chores: Chores;
  readonly #stopped = new AbortController();
  #cancel: (() => void) | undefined;

  constructor(settings: { readonly clock: Clock; readonly operationTimeoutMs: number }, chores: Chores) {
    this.#settings = settings;
    this.#chores = chores;
  }

  /** Starts the chores, unless they are running. Must not be called after {@link Housekeeping.stop}. */
  start(): void {
    this.#cancel ??= this.#schedule();
  }

  /** Stops the chores for good. */
  stop(): void {
    this.#stopped.abort(new Error('stopped'));
    this.#cancel?.();
  }

  #schedule(): () => void {
    return this.#settings.clock.schedule(() => void this.#work(), EVERY_MS, true);
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopped;
    this.#chores.sweep();
    // Not awaited, because a checkpoint can take long.
    void this.#chores.careForWal();
    try {
      await bounded(this.#chores.checkFile(), operationLimit(this.#settings, 'check of the file', signal));
    } catch (error) {
      // Any other error, such as a timeout under a busy thread pool, says nothing about the file.
      const gone = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (gone && !signal.aborted) this.#chores.onFileGone();
    }
    if (!signal.aborted) this.#cancel = this.#schedule();
  }
}
