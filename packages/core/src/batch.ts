import { randomBytes } from 'node:crypto';
import type { Limit } from './deadline.ts';
import type { Result } from './driver.ts';
import type { Call } from './queryable.ts';
import type { Statements } from './statements.ts';

/** Not to be guessed, so that no SAVEPOINT by hand can be taken for ours. */
const SAVEPOINT = `sqlite_pool_batch_${randomBytes(4).toString('hex')}`;

/** Whether one of the statements needs the turn to write. */
export function batchWrites(calls: readonly Call[]): boolean {
  return calls.some(({ statement }) => !statement.readonly);
}

/**
 * Several statements in one turn on their connection, which the caller has: in a transaction of their own, or in a savepoint
 * of the one that is open. If it fails, it must be undone in the same turn: whoever comes next must not find half of it.
 */
export class Batch {
  readonly #statements: Statements;
  readonly #calls: readonly Call[];
  #opened: 'nothing' | 'transaction' | 'savepoint' = 'nothing';

  constructor(statements: Statements, calls: readonly Call[]) {
    this.#statements = statements;
    this.#calls = calls;
  }

  async run(limit: Limit | undefined): Promise<Result[]> {
    await this.#begin(limit);
    const results: Result[] = [];
    for (const call of this.#calls) results.push(await this.#statements.perform(call, limit));
    if (this.#opened === 'transaction') await this.#statements.commit(limit);
    else if (this.#opened === 'savepoint') await this.#statements.control(`RELEASE ${SAVEPOINT}`, limit);
    return results;
  }

  /** Undoes what was done of it, as soon as a call that was cut has returned. */
  async undo(): Promise<void> {
    if (this.#opened === 'transaction') await this.#statements.rollback();
    if (this.#opened !== 'savepoint') return;
    await this.#statements.control(`ROLLBACK TO ${SAVEPOINT}`, undefined);
    await this.#statements.control(`RELEASE ${SAVEPOINT}`, undefined);
  }

  async #begin(limit: Limit | undefined): Promise<void> {
    const writes = batchWrites(this.#calls);
    await this.#statements.findOut();
    if (!this.#statements.transaction.isOpen) {
      this.#opened = 'transaction';
      // One that only reads sees one state of the file, and waits for nobody's turn.
      await this.#statements.control(writes ? 'BEGIN IMMEDIATE' : 'BEGIN', limit);
    } else if (writes) {
      await this.#statements.control(`SAVEPOINT ${SAVEPOINT}`, limit);
      this.#opened = 'savepoint';
    }
  }
}
