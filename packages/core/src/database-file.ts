import type { Driver } from './driver.ts';
import { Gate } from './gate.ts';
import { joinWriteGate, leaveWriteGate } from './write-gate.ts';

/**
 * The file behind a pool, as far as its driver can tell: which write gate it has, and whether it is still the same.
 * A file that was deleted or replaced while it is open can still be written, and nobody will ever read that:
 * https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
 */
export class DatabaseFile {
  readonly #driver: Driver;
  #id: string | undefined;
  #gate = new Gate();
  #state: 'in use' | 'left' = 'in use';

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** The turn to write; of this pool alone as long as no file is known. */
  get writeGate(): Gate {
    return this.#gate;
  }

  /** Whether this is another file than the last time. Rejects if there is none. */
  async wasReplaced(): Promise<boolean> {
    const id = await this.#driver.databaseId?.();
    if (id === undefined || id === this.#id || this.#state === 'left') return false;
    this.#gate = joinWriteGate(id, this.#driver.name);
    const before = this.#id;
    this.#id = id;
    if (before === undefined) return false;
    leaveWriteGate(before);
    return true;
  }

  /** The pool is done with it. */
  leave(): void {
    this.#state = 'left';
    if (this.#id !== undefined) leaveWriteGate(this.#id);
  }
}
