import { Thread, type ThreadSettings } from './thread.ts';

/**
 * The threads of one driver. Waking a thread costs more than a read, so connections share the first thread, and calls share its
 * wake-ups; another thread is started only while every other is stuck.
 */
export class Threads {
  readonly #most: number;
  readonly #settings: ThreadSettings;
  readonly #threads = new Set<Thread>();

  constructor(most: number, settings: ThreadSettings) {
    this.#most = most;
    this.#settings = settings;
  }

  /** The thread for a new connection. */
  forNewConnection(): Thread {
    const threads = [...this.#threads].filter(({ hasEnded }) => !hasEnded);
    const free = threads.filter(({ isStuck }) => !isStuck);
    if (free.length > 0) return fewestConnections(free);
    return threads.length < this.#most ? this.#start() : fewestConnections(threads);
  }

  #start(): Thread {
    const thread = new Thread(this.#settings, (ended) => this.#threads.delete(ended));
    this.#threads.add(thread);
    return thread;
  }
}

function fewestConnections(threads: readonly Thread[]): Thread {
  return threads.reduce((best, thread) => (thread.connections < best.connections ? thread : best));
}
