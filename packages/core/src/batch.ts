import { randomBytes } from 'node:crypto';
import { Cut } from './call-queue.ts';
import type { Limit } from './deadline.ts';
import type { Result } from './driver.ts';
import type { Call } from './queryable.ts';
import { mayChangeSchema, type SchemaKnowledge } from './schema-knowledge.ts';
import type { Statements } from './statements.ts';
import { stepsOf, type Step, type Task } from './steps.ts';

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
  readonly #schema: SchemaKnowledge;
  #opened: 'nothing' | 'transaction' | 'savepoint' = 'nothing';

  constructor(statements: Statements, calls: readonly Call[], schema: SchemaKnowledge) {
    this.#statements = statements;
    this.#calls = calls;
    this.#schema = schema;
  }

  async run(limit: Limit | undefined): Promise<Result[]> {
    await this.#begin(limit);
    const results: Result[] = [];
    for (const step of await this.#steps(limit)) results.push(...(await this.#perform(step)));
    if (this.#opened === 'transaction') await this.#statements.commit(limit);
    else if (this.#opened === 'savepoint') await this.#statements.control(`RELEASE ${SAVEPOINT}`, limit);
    return results;
  }

  async #steps(limit: Limit | undefined): Promise<Step<Task>[]> {
    const tasks = this.#calls.map((call) => ({ call, limit }));
    // A transaction without the turn to write must not look at the schema: it would then see the state of that moment, and
    // be refused by SQLite when a writer before it has committed. And what a statement changes cannot be seen before it.
    const mayLook =
      this.#statements.writeTurn.isHeld && !this.#calls.some(({ statement }) => mayChangeSchema(statement));
    const isPlain = async (table: string): Promise<boolean> =>
      mayLook && (await this.#schema.takesRowsTogether(table, this.#statements, limit));
    // The last row by itself, because a statement that comes after it can ask for `changes()`.
    return await stepsOf(tasks, limit, isPlain, 1);
  }

  /** If rows that go in together fail, the one is looked for that did, for its error. */
  async #perform(step: Step<Task>): Promise<readonly Result[]> {
    try {
      return await step.perform(this.#statements);
    } catch (error) {
      const parts = error instanceof Cut ? [] : step.split();
      if (parts.length === 0) throw error;
      await this.#statements.findOut();
      if (this.#statements.transaction.isLost) throw error;
      const results: Result[] = [];
      for (const part of parts) results.push(...(await this.#perform(part)));
      return results;
    }
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
