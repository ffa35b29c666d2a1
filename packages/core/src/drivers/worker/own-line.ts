import type { Line } from './line.ts';

/** The line of one connection to its own handle. The first call that needs the handle opens it. */
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

  /** Returns the line, or a promise while it opens. */
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

  /** Closes the line, even if it is still opening. */
  async close(): Promise<void> {
    const line = await Promise.resolve(this.#line).catch(() => undefined);
    await line?.handle.leave(line);
  }
}
