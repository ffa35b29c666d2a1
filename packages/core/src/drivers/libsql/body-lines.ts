/** The lines of a body, no more of which is read than is asked for. */
export class BodyLines {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #decoder = new TextDecoder();
  readonly #lines: string[] = [];
  #rest = '';

  constructor(body: ReadableStream<Uint8Array> | null) {
    this.#reader = body?.getReader();
  }

  /** The next line that is not empty; `undefined` at the end. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined && line !== '') return line;
      if (line === undefined && !(await this.#readMore())) return undefined;
    }
  }

  async cancel(): Promise<void> {
    await this.#reader?.cancel();
  }

  async #readMore(): Promise<boolean> {
    const step = await this.#reader?.read();
    if (step === undefined || step.done) {
      const { length } = this.#rest;
      if (length > 0) this.#lines.push(this.#rest);
      this.#rest = '';
      return length > 0;
    }
    const text = this.#rest + this.#decoder.decode(step.value, { stream: true });
    const end = text.lastIndexOf('\n') + 1;
    this.#lines.push(...text.slice(0, end).split('\n'));
    this.#rest = text.slice(end);
    return true;
  }
}
