import { Cut } from './call-queue.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { Gate } from '../waiting/gate.ts';

/** One connection's turn at the write gate of its file: taken before its first write, kept while a transaction is open. */
export class WriteTurn {
  readonly #gate: Gate;
  #state: 'none' | 'held' = 'none';

  constructor(gate: Gate) {
    this.#gate = gate;
  }

  /** Whether it has the turn. */
  get isHeld(): boolean {
    return this.#state === 'held';
  }

  /** Takes the turn if it is free. */
  tryTake(): boolean {
    if (this.#state === 'none' && this.#gate.tryEnter()) this.#state = 'held';
    return this.#state === 'held';
  }

  /** Whether nobody has it. */
  get isFree(): boolean {
    return !this.#gate.isFull;
  }

  /** Calls `callback` the next time somebody takes it or leaves it. */
  onceChanged(callback: () => void): void {
    this.#gate.onceChanged(callback);
  }

  /** Whoever has begun to wait just now: tells it whether nobody else has since. */
  lastInLine(): () => boolean {
    const { arrivals } = this.#gate;
    return () => this.#gate.arrivals === arrivals;
  }

  /** Waits for the turn. */
  async take(limit: Limit): Promise<void> {
    try {
      await this.#gate.enter(limit);
    } catch (reason) {
      throw new Cut(reason);
    }
    this.#state = 'held';
  }

  /** Gives the turn up, if it is held. */
  leave(): void {
    if (this.#state === 'none') return;
    this.#state = 'none';
    this.#gate.leave();
  }
}
