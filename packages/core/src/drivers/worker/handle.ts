import type { Interrupter } from './interrupter.ts';
import { Line, type LineThread } from './line.ts';
import { HANDLE_BYTES, INTERRUPTED, RUNNING } from './protocol.ts';

/** The words that both threads see of a new handle. */
export function newRunning(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(HANDLE_BYTES));
}

/** What a database handle was opened as. */
export interface HandleParts {
  /** That of its first line. */
  readonly number: number;
  readonly slot: Int32Array;
  readonly running: Int32Array;
  /** Interrupts what runs on it; `undefined` where that cannot be done. */
  readonly interrupt: (() => void) | undefined;
}

/** `retired`: it is used no more, and closes with the last call on it. */
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

  /** Whether new calls may be sent to it. */
  get isUsable(): boolean {
    return this.#state === 'open' && !this.thread.hasEnded;
  }

  /** A new line to it. */
  join(): Line {
    const line = this.#first ?? this.#another();
    this.#first = undefined;
    this.#lines.add(line);
    return line;
  }

  /** Nothing new is sent to it: an error leaves it open whether it is of any use. */
  retire(): void {
    if (this.#state !== 'open') return;
    this.#state = 'retired';
    for (const line of [...this.#lines]) this.rest(line);
  }

  /** A call on a line has settled. */
  rest(line: Line): void {
    if (this.#state === 'retired' && !line.isBusy) void this.leave(line).catch(() => undefined);
  }

  /** Closes the handle if no line leads to it. */
  async closeIfUnused(): Promise<void> {
    if (this.#lines.size === 0 && this.#first !== undefined) await this.leave(this.join());
  }

  /** Closes a line, and the handle with its last one. */
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
 * Interrupts the call of a line, and nothing else: while the word is negative the worker does not go on to the next call, and if
 * another call runs, or none, nothing is done.
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

/** How a handle with that key is interrupted. */
export function interruptOf(
  interrupter: Interrupter | undefined,
  key: bigint | undefined,
): (() => void) | undefined {
  if (interrupter === undefined || key === undefined) return undefined;
  return () => {
    interrupter.interrupt(key);
  };
}
