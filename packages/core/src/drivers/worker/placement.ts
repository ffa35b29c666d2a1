/** What the choice of a thread goes by. */
export interface PlacedThread {
  /** Whether something runs on it that is long, or known to be: what is sent now may wait for that. */
  readonly isOccupied: boolean;
  /** How many calls, and opens of databases, it has not answered. */
  readonly waiting: number;
  /** How many connections have a database handle of their own on it. */
  readonly ownHandles: number;
}

/** The threads there are, and how to get another. */
export interface ThreadSupply<T extends PlacedThread> {
  /** Those that run, the oldest first. */
  readonly running: readonly T[];
  /** How many may run. */
  readonly most: number;
  start(): T;
}

/**
 * Chooses threads. Waking a thread costs more than a read, and calls on one thread share its wake-ups: so calls go to the first, and to
 * others only what is long, or would wait for that.
 */
export class Placement<T extends PlacedThread> {
  readonly #supply: ThreadSupply<T>;

  constructor(supply: ThreadSupply<T>) {
    this.#supply = supply;
  }

  /** @param long - Whether the call is known to take long. */
  forCall(long: boolean): T {
    return long ? this.#forLong() : this.#forShort();
  }

  /** For a database handle that one connection has for itself. */
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

/** What is remembered of texts that take long. */
const MOST_TEXTS = 1000;

/** The texts of which the last run took long. */
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
    // All at once: those that are long still say so with their next run.
    if (this.#texts.size >= MOST_TEXTS) this.#texts.clear();
    this.#texts.add(text);
  }
}
