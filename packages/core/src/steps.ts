import { Cut } from './call-queue.ts';
import type { ExecuteHint, Result, Value } from './driver.ts';
import { brokenContract } from './driver-errors.ts';
import type { Limit } from './deadline.ts';
import type { Call } from './queryable.ts';
import type { RowInsert } from './row-insert.ts';
import type { Statements } from './statements.ts';

/** How many rows one statement inserts: few sizes, because each is a statement that is prepared and kept. */
const SIZES = [64, 32, 16, 8, 4, 3, 2] as const;

/** Most parameters of one statement, far below what SQLite allows. */
const MOST_PARAMETERS = 4096;

/** A value that is longer is worth a call of its own, in bytes or characters: it is copied as often as it is tried. */
const LONGEST_VALUE = 4096;

/** What such a statement is. */
const INSERTS = {
  control: 'none',
  readonly: false,
  returnsRows: true,
  effect: 'insert',
  dirties: false,
} as const;

/** The rows say all there is to know: the driver need not ask for counts. */
const HINT: ExecuteHint = {
  rowMode: 'object',
  readonly: false,
  returnsRows: true,
  effect: 'none',
  urgency: 'writer',
};

/** A call that is one of several, and what limits it. */
export interface Task {
  readonly call: Call;
  readonly limit: Limit | undefined;
}

/** One statement: that of a task, or that of several that insert a row each by the same text. */
export class Step<T extends Task> {
  readonly tasks: readonly [T, ...T[]];
  readonly #insert: RowInsert | undefined;

  constructor(tasks: readonly [T, ...T[]], insert?: RowInsert) {
    this.tasks = tasks;
    this.#insert = tasks.length > 1 ? insert : undefined;
  }

  /** Runs it, in a turn that the caller has, and resolves to the result of each task. If it fails, it has done nothing. */
  async perform(statements: Statements, since?: number): Promise<readonly Result[]> {
    const [{ call, limit }] = this.tasks;
    if (this.#insert === undefined) return [await statements.perform(call, limit, since)];
    const statement = { ...INSERTS, sql: this.#insert.textFor(this.tasks.length) };
    const values = this.tasks.flatMap((task) => task.call.values);
    const { rows } = await statements.execute(statement, values, HINT, limit, undefined, since);
    // Somebody has changed the table meanwhile, by a trigger perhaps. Nobody knows whose row is missing.
    if (rows.length !== this.tasks.length) throw new Cut(brokenContract());
    return rows.map(({ id }) => inserted(String(id)));
  }

  /** What to try after a failure, of which it is not known whose it is. Nothing, if it was one task. */
  split(): readonly Step<T>[] {
    const middle = this.tasks.length >> 1;
    return middle === 0
      ? []
      : [this.tasks.slice(0, middle), this.tasks.slice(middle)].map((tasks) => stepOf(tasks, this.#insert));
  }
}

/** @param tasks - At least one. */
function stepOf<T extends Task>(tasks: readonly T[], insert?: RowInsert): Step<T> {
  return new Step(tasks as readonly [T, ...T[]], insert);
}

function inserted(rowid: string): Result {
  const number = Number(rowid);
  const lastInsertRowid = Number.isSafeInteger(number) ? number : BigInt(rowid);
  return { rows: [], columns: [], changes: 1, lastInsertRowid };
}

/**
 * The steps for tasks, in their order. Rows go in together where tasks with the same text and limit follow each other, and
 * `isPlain` says that their table does not mind.
 */
export async function stepsOf<T extends Task>(
  tasks: readonly T[],
  isPlain: (table: string) => Promise<boolean>,
): Promise<Step<T>[]> {
  const steps: Step<T>[] = [];
  for (let at = 0; at < tasks.length;) {
    const insert = rowOf(tasks[at]);
    let end = at + 1;
    while (insert !== undefined && rowOf(tasks[end]) === insert && tasks[end]?.limit === tasks[at]?.limit)
      end += 1;
    const isTogether = insert !== undefined && end - at > 1 && (await isPlain(insert.table));
    while (at < end) {
      const size = isTogether ? sizeOf(end - at, insert) : 1;
      steps.push(stepOf(tasks.slice(at, at + size), insert));
      at += size;
    }
  }
  return steps;
}

function sizeOf(left: number, { parameters }: RowInsert): number {
  return SIZES.find((rows) => rows <= left && rows * parameters <= MOST_PARAMETERS) ?? 1;
}

function rowOf(task: Task | undefined): RowInsert | undefined {
  return task?.call.values.some(isLong) === true ? undefined : task?.call.statement.rowInsert;
}

function isLong(value: Value): boolean {
  return (typeof value === 'string' || value instanceof Uint8Array) && value.length > LONGEST_VALUE;
}
