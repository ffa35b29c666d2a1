import { LongTexts, Placement } from './placement.ts';
import { keepUnused, takeUnused } from './unused-threads.ts';
import { Thread, type ThreadOwner, type ThreadSettings } from './thread.ts';

/** The threads of one driver, and the placement of calls on them. */
export class Threads {
  readonly most: number;
  readonly placement: Placement<Thread>;
  readonly longTexts: LongTexts = new LongTexts();
  readonly #settings: ThreadSettings;
  readonly #threads = new Set<Thread>();
  readonly #owner: ThreadOwner = {
    onOccupied: (thread, waiting) => {
      for (const move of waiting) {
        const other = this.placement.forCall(false);
        if (other === thread || other.isOccupied) return;
        move();
      }
    },
    onUnused: (thread) => {
      this.#threads.delete(thread);
      keepUnused(this.#settings, thread);
    },
    onEnd: (thread) => this.#threads.delete(thread),
  };

  constructor(most: number, settings: ThreadSettings) {
    this.most = most;
    this.#settings = settings;
    this.placement = new Placement<Thread>(this);
  }

  /** The threads that have not ended, the oldest first. */
  get running(): readonly Thread[] {
    return [...this.#threads].filter(({ hasEnded }) => !hasEnded);
  }

  start(): Thread {
    const thread = takeUnused(this.#settings, this.#owner) ?? new Thread(this.#settings, this.#owner);
    this.#threads.add(thread);
    return thread;
  }
}
