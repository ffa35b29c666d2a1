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

/** How rows go in together: by which statement, and what limits that. */
interface Rows {
  readonly insert: RowInsert;
  readonly limit: Limit | undefined;
}

/** One statement: that of a task, or that of several that insert a row each by the same text. */
export class Step<T extends Task> {
  readonly tasks: readonly [T, ...T[]];
  readonly #rows: Rows | undefined;

  constructor(tasks: readonly [T, ...T[]], rows?: Rows) {
    this.tasks = tasks;
    this.#rows = tasks.length > 1 ? rows : undefined;
  }

  /** Runs it, in a turn that the caller has, and resolves to the result of each task. If it fails, it has done nothing. */
  async perform(statements: Statements, since?: number): Promise<readonly Result[]> {
    const [first] = this.tasks;
    if (this.#rows === undefined) return [await statements.perform(first.call, first.limit, since)];
    const { insert, limit } = this.#rows;
    const statement = { ...INSERTS, sql: insert.textFor(this.tasks.length) };
    const values = this.tasks.flatMap(({ call }) => call.values);
    const { rows } = await statements.execute(statement, values, HINT, limit, undefined, since);
    // Somebody has changed the table meanwhile, by a trigger perhaps. Nobody knows whose row is missing.
    if (rows.length !== this.tasks.length) throw new Cut(brokenContract());
    return rows.map(({ id }) => inserted(String(id)));
  }

  /** The same for some of its tasks; `undefined` for none. */
  of(tasks: readonly T[]): Step<T> | undefined {
    const [first, ...others] = tasks;
    if (tasks.length === this.tasks.length) return this;
    return first && new Step([first, ...others], this.#rows);
  }

  /** What to try after a failure, of which it is not known whose it is. Nothing, if it was one task. */
  split(): readonly Step<T>[] {
    const middle = this.tasks.length >> 1;
    const halves = middle === 0 ? [] : [this.tasks.slice(0, middle), this.tasks.slice(middle)];
    return halves.map((tasks) => this.of(tasks)).filter((half) => half !== undefined);
  }
}

function inserted(rowid: string): Result {
  const number = Number(rowid);
  const lastInsertRowid = Number.isSafeInteger(number) ? number : BigInt(rowid);
  return { rows: [], columns: [], changes: 1, lastInsertRowid };
}

/**
 * The steps for tasks, in their order. Rows go in together where tasks with the same text follow each other, and `isPlain`
 * says that their table does not mind.
 *
 * @param limit - What limits those that go in together, instead of a limit of each.
 */
export async function stepsOf<T extends Task>(
  tasks: readonly T[],
  limit: Limit | undefined,
  isPlain: (table: string) => Promise<boolean>,
): Promise<Step<T>[]> {
  const steps: Step<T>[] = [];
  for (let at = 0; at < tasks.length;) {
    const insert = rowOf(tasks[at]);
    let end = at + 1;
    while (insert !== undefined && rowOf(tasks[end]) === insert) end += 1;
    const rows = insert && end - at > 1 && (await isPlain(insert.table)) ? { insert, limit } : undefined;
    while (at < end) {
      const size = rows === undefined ? 1 : sizeOf(end - at, rows.insert);
      const [first, ...others] = tasks.slice(at, at + size);
      if (first !== undefined) steps.push(new Step([first, ...others], rows));
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
