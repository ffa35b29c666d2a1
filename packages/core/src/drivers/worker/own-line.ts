import type { Line } from './line.ts';

/** The line of one connection to a handle of its own, which is opened by the first call that needs it. */
export class OwnLine {
  readonly #open: () => Promise<Line>;
  #line: Line | Promise<Line> | undefined;

  constructor(open: () => Promise<Line>) {
    this.#open = open;
  }

  /** The line, if it is open. */
  get current(): Line | undefined {
    return this.#line instanceof Promise ? undefined : this.#line;
  }

  /** The line; a promise while it is opened. */
  take(): Line | Promise<Line> {
    if (this.#line !== undefined) return this.#line;
    const opening = this.#open();
    this.#line = opening;
    opening.then(
      (line) => (this.#line = line),
      () => (this.#line = undefined),
    );
    return opening;
  }

  /** Closes what is open, or about to be. */
  async close(): Promise<void> {
    const line = await Promise.resolve(this.#line).catch(() => undefined);
    await line?.handle.leave(line);
  }
}
