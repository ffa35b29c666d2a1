import { bounded, type Clock } from '../waiting/deadline.ts';
import { operationLimit } from '../waiting/limits.ts';

/** How often: often enough to notice soon that the file is another one, seldom enough to cost nothing. */
const EVERY_MS = 1000;

/** What a pool does for itself. */
export interface Chores {
  /** Retires what was idle for too long, and opens what `minIdle` asks for. */
  sweep(): void;
  /** Finds out whether the file is still the same; rejects if it cannot tell. */
  checkFile(): Promise<void>;
  /** Keeps the WAL small; never rejects. */
  careForWal(): Promise<void>;
  /** The file is gone: what is written on its connections goes to a file that has no name any more. */
  onFileGone(): void;
}

/** Does a pool's chores once a second, from its first use to its close, without keeping the process alive. */
export class Housekeeping {
  readonly #settings: { readonly clock: Clock; readonly operationTimeoutMs: number };
  readonly #chores: Chores;
  readonly #stopped = new AbortController();
  #cancel: (() => void) | undefined;

  constructor(settings: { readonly clock: Clock; readonly operationTimeoutMs: number }, chores: Chores) {
    this.#settings = settings;
    this.#chores = chores;
  }

  /** Begins, if it has not begun; not after {@link Housekeeping.stop}. */
  start(): void {
    this.#cancel ??= this.#schedule();
  }

  /** Ends for good. */
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
    // Not waited for: a checkpoint can take long.
    void this.#chores.careForWal();
    try {
      await bounded(this.#chores.checkFile(), operationLimit(this.#settings, 'check of the file', signal));
    } catch (error) {
      // Whatever else went wrong, a thread pool that is busy for example, says nothing of the file.
      const gone = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (gone && !signal.aborted) this.#chores.onFileGone();
    }
    if (!signal.aborted) this.#cancel = this.#schedule();
  }
}
