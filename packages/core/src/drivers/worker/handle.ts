import type { Interrupter } from './interrupter.ts';
import { Line, type LineThread } from './line.ts';
import { HANDLE_BYTES, INTERRUPTED, RUNNING } from './protocol.ts';

/** The shared words of a new handle. */
export function newRunning(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(HANDLE_BYTES));
}

/** The parts with which a database handle was opened. */
export interface HandleParts {
  /** The number of the handle and of its first line. */
  readonly number: number;
  readonly slot: Int32Array;
  readonly running: Int32Array;
  /** Interrupts the call that runs on the handle; `undefined` if that is not possible. */
  readonly interrupt: (() => void) | undefined;
}

/** `retired`: the handle accepts no new calls, and closes after its last call. */
type HandleState = 'open' | 'retired' | 'closed';

/** One database handle in a thread, and the lines to it. */
export class Handle {
  readonly thread: LineThread;
  readonly interrupt: ((line: number) => void) | undefined;
  readonly #parts: HandleParts;
  readonly #lines = new Set<Line>();
  #first: Line | undefined;
  #state: HandleState = 'open';

  constructor(thread: LineThread, parts: HandleParts) {
    this.thread = thread;
    this.#parts = parts;
    this.#first = new Line(this, parts.number, parts.slot);
    const { running, interrupt } = parts;
    if (interrupt === undefined) return;
    this.interrupt = (line) => {
      interruptCall(running, line, interrupt);
    };
  }

  /** Whether the handle accepts new calls. */
  get isUsable(): boolean {
    return this.#state === 'open' && !this.thread.hasEnded;
  }

  /** Adds a line to the handle. */
  join(): Line {
    const line = this.#first ?? this.#another();
    this.#first = undefined;
    this.#lines.add(line);
    return line;
  }

  /** Stops new calls, because after an error the handle may no longer work. */
  retire(): void {
    if (this.#state !== 'open') return;
    this.#state = 'retired';
    for (const line of [...this.#lines]) this.rest(line);
  }

  /** A call on a line has settled. */
  rest(line: Line): void {
    if (this.#state === 'retired' && !line.isBusy) void this.leave(line).catch(() => undefined);
  }

  /** Closes the handle if it has no lines. */
  async closeIfUnused(): Promise<void> {
    if (this.#lines.size === 0 && this.#first !== undefined) await this.leave(this.join());
  }

  /** Closes a line. Closes the handle with its last line. */
  async leave(line: Line): Promise<void> {
    if (!this.#lines.delete(line)) return;
    if (this.#lines.size > 0) {
      this.thread.leave(line.number);
      return;
    }
    this.#state = 'closed';
    try {
      if (!this.thread.hasEnded) await line.end();
    } finally {
      this.thread.remove(line.number);
    }
  }

  #another(): Line {
    const slot = new Int32Array(new SharedArrayBuffer(4));
    return new Line(this, this.thread.join(this.#parts.number, slot), slot);
  }
}

/**
 * Interrupts the call of a line, and no other call. While the word is negative, the worker does not go on to the next
 * call. If another call runs, or none, this does nothing.
 */
function interruptCall(running: Int32Array, line: number, interrupt: () => void): void {
  if (Atomics.compareExchange(running, RUNNING, line, -line) !== line) return;
  try {
    Atomics.store(running, INTERRUPTED, 1);
    interrupt();
  } finally {
    Atomics.store(running, RUNNING, line);
    Atomics.notify(running, RUNNING);
  }
}

/** The function that interrupts the handle with this key. */
export function interruptOf(
  interrupter: Interrupter | undefined,
  key: bigint | undefined,
): (() => void) | undefined {
  if (interrupter === undefined || key === undefined) return undefined;
  return () => {
    interrupter.interrupt(key);
  };
}
