import { LongTexts, Placement } from './placement.ts';
import { Thread, type ThreadSettings } from './thread.ts';

/** The threads of one driver, and which of them does what. */
export class Threads {
  readonly most: number;
  readonly placement: Placement<Thread>;
  readonly longTexts: LongTexts = new LongTexts();
  readonly #settings: Omit<ThreadSettings, 'onOccupied'>;
  readonly #threads = new Set<Thread>();

  constructor(most: number, settings: Omit<ThreadSettings, 'onOccupied'>) {
    this.most = most;
    this.#settings = settings;
    this.placement = new Placement<Thread>(this);
  }

  /** Those that have not ended, the oldest first. */
  get running(): readonly Thread[] {
    return [...this.#threads].filter(({ hasEnded }) => !hasEnded);
  }

  start(): Thread {
    const onOccupied: ThreadSettings['onOccupied'] = (thread, waiting) => {
      for (const move of waiting) {
        const other = this.placement.forCall(false);
        if (other === thread || other.isOccupied) return;
        move();
      }
    };
    const thread = new Thread({ ...this.#settings, onOccupied }, (ended) => this.#threads.delete(ended));
    this.#threads.add(thread);
    return thread;
  }
}
