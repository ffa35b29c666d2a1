/** The properties of a thread that decide where a call runs. */
export interface PlacedThread {
  /** Whether a long call runs on the thread, or one that is known to be long. A new call may have to wait for it. */
  readonly isOccupied: boolean;
  /** The number of calls and opens that the thread has not answered. */
  readonly waiting: number;
  /** The number of connections that have their own database handle on the thread. */
  readonly ownHandles: number;
}

/** The running threads, and how to start another. */
export interface ThreadSupply<T extends PlacedThread> {
  /** The running threads, the oldest first. */
  readonly running: readonly T[];
  /** The largest number of threads. */
  readonly most: number;
  start(): T;
}

/**
 * Chooses threads. To wake a thread costs more than a read, and calls on one thread share its wake-ups. So calls go to
 * the first thread. Only long calls, and calls that would wait for a long one, go to other threads.
 */
export class Placement<T extends PlacedThread> {
  readonly #supply: ThreadSupply<T>;

  constructor(supply: ThreadSupply<T>) {
    this.#supply = supply;
  }

  /**
   * @param long - Whether the call is known to take long.
   */
  forCall(long: boolean): T {
    return long ? this.#forLong() : this.#forShort();
  }

  /** Chooses a thread for a handle that one connection has for itself. */
  forOwnHandle(): T {
    const { running } = this.#supply;
    const free = running.filter(({ isOccupied }) => !isOccupied);
    const [first] = free.length > 0 ? free : running;
    if (first === undefined || (free.length === 0 && this.#mayStart)) return this.#supply.start();
    return fewest(free.length > 0 ? free : running, first, ({ ownHandles }) => ownHandles);
  }

  get #mayStart(): boolean {
    return this.#supply.running.length < this.#supply.most;
  }

  #forShort(): T {
    const { running } = this.#supply;
    const [first] = running;
    if (first === undefined) return this.#supply.start();
    if (!first.isOccupied) return first;
    const free = running.filter(({ isOccupied }) => !isOccupied);
    if (free[0] !== undefined) return fewest(free, free[0], waitingOn);
    return this.#mayStart ? this.#supply.start() : first;
  }

  #forLong(): T {
    const { running } = this.#supply;
    const [first, ...others] = running;
    if (first === undefined) return this.#supply.start();
    const best = others[0] === undefined ? undefined : fewest(others, others[0], waitingOn);
    if (best?.waiting === 0) return best;
    return this.#mayStart ? this.#supply.start() : (best ?? first);
  }
}

function waitingOn({ waiting }: PlacedThread): number {
  return waiting;
}

function fewest<T>(threads: readonly T[], first: T, count: (thread: T) => number): T {
  return threads.reduce((best, thread) => (count(thread) < count(best) ? thread : best), first);
}

/** The largest number of long texts to remember. */
const MOST_TEXTS = 1000;

/** The texts whose last run took long. */
export class LongTexts {
  readonly #texts = new Set<string>();

  has(text: string): boolean {
    return this.#texts.has(text);
  }

  note(text: string, long: boolean): void {
    if (!long) {
      this.#texts.delete(text);
      return;
    }
    // Forgets all texts at once. The next run of a long text adds it again.
    if (this.#texts.size >= MOST_TEXTS) this.#texts.clear();
    this.#texts.add(text);
  }
}
