/** How often an interrupt is repeated. */
const REPEAT_MS = 10;

/**
 * An interrupt that holds for the whole of a call. SQLite forgets one that comes while no statement runs, and a call can
 * still wait for a thread of libuv, or be between two steps; so it is repeated until the call has returned.
 * https://www.sqlite.org/c3ref/interrupt.html
 */
export class Interruption {
  readonly #interruptNow: () => void;
  #running = false;
  #stopRepeating: (() => void) | undefined;

  constructor(interruptNow: () => void) {
    this.#interruptNow = interruptNow;
  }

  /** Whether the call under way is to end. */
  get requested(): boolean {
    return this.#stopRepeating !== undefined;
  }

  /** Makes `call` one that {@link Interruption.request} can end. */
  async during<T>(call: () => Promise<T>): Promise<T> {
    this.#running = true;
    try {
      return await call();
    } finally {
      this.#running = false;
      this.#stopRepeating?.();
      this.#stopRepeating = undefined;
    }
  }

  /** Interrupts what runs on the handle, and the whole of the call under way if there is one. */
  request(): void {
    this.#interruptNow();
    if (!this.#running || this.requested) return;
    const timer = setInterval(this.#interruptNow, REPEAT_MS);
    this.#stopRepeating = () => {
      clearInterval(timer);
    };
  }
}
