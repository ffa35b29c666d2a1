import { Cut } from './call-queue.ts';
import { toInteger, type ExecuteHint, type Result, type Row, type Value } from './driver.ts';
import { brokenContract } from './driver-errors.ts';
import type { Limit } from './deadline.ts';
import type { Call } from './queryable.ts';
import type { RowInsert } from './row-insert.ts';
import type { Since, Statements } from './statements.ts';

/** How many rows one statement inserts: few sizes, because each is a statement that is prepared and kept. */
const SIZES = [64, 32, 16, 8, 4, 3, 2] as const;

/**
 * In how many parts one is tried again of which a row has failed: with eight, one bad row of 64 takes 16 calls more, and 64
 * of them take 9 more than rows that are run one by one.
 */
const PARTS = 8;

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
  async perform(statements: Statements, since?: Since): Promise<readonly Result[]> {
    const [first] = this.tasks;
    if (this.#rows === undefined) return [await statements.perform(first.call, first.limit, since)];
    const { insert, limit } = this.#rows;
    const statement = { ...INSERTS, sql: insert.textFor(this.tasks.length) };
    const values: Value[] = [];
    for (const { call } of this.tasks) values.push(...call.values);
    const { rows } = await statements.execute(statement, values, HINT, limit, undefined, since);
    // Somebody has changed the table meanwhile, by a trigger perhaps: nobody knows whose row is missing. It has been done, and
    // must not be tried again.
    if (rows.length !== this.tasks.length) throw new Cut(brokenContract());
    return rows.map(inserted);
  }

  /** The same for a part of its tasks; `undefined` for none. */
  of(tasks: readonly T[]): Step<T> | undefined {
    const [first, ...others] = tasks;
    return first && new Step([first, ...others], this.#rows);
  }

  /** What to try after a failure, of which it is not known whose it is. Nothing, if it was one task. */
  split(): readonly Step<T>[] {
    const { length } = this.tasks;
    if (length === 1) return [];
    const size = Math.ceil(length / PARTS);
    const parts = Array.from({ length: PARTS }, (_, at) => this.tasks.slice(at * size, (at + 1) * size));
    return parts.map((tasks) => this.of(tasks)).filter((part) => part !== undefined);
  }
}

const INTEGER = /^-?\d+$/;

/** What a row says of itself. Throws if the driver returns no rows as objects: that has been done, too. */
function inserted({ id }: Row): Result {
  const lastInsertRowid = Number.isSafeInteger(id) ? (id as number) : exactly(id);
  return { rows: [], columns: [], changes: 1, lastInsertRowid };
}

/** A rowid that is no number: it is too large for one, or the driver has another type for integers. */
function exactly(id: unknown): number | bigint {
  if (typeof id === 'bigint' || (typeof id === 'string' && INTEGER.test(id))) return toInteger(id);
  throw new Cut(brokenContract());
}

/**
 * The steps for tasks, in their order. Rows go in together where tasks with the same text follow each other, and `isPlain`
 * says that their table does not mind; it is asked once for each.
 *
 * @param limit - What limits those that go in together, instead of a limit of each.
 * @param apart - How many rows at the end of those that could go in together are run by themselves.
 */
export async function stepsOf<T extends Task>(
  tasks: readonly T[],
  limit: Limit | undefined,
  isPlain: (table: string) => Promise<boolean>,
  apart = 0,
): Promise<Step<T>[]> {
  const steps: Step<T>[] = [];
  const plain = new Map<string, boolean>();
  for (let at = 0; at < tasks.length;) {
    const insert = rowOf(tasks[at]);
    let end = at + 1;
    while (insert !== undefined && rowOf(tasks[end]) === insert) end += 1;
    let together = 0;
    if (insert !== undefined && end - at - apart > 1) {
      const { table } = insert;
      if (!plain.has(table)) plain.set(table, await isPlain(table));
      if (plain.get(table) === true) together = end - at - apart;
    }
    const rows = insert && { insert, limit };
    while (at < end) {
      const size = rows === undefined ? 1 : sizeOf(together, rows.insert);
      // Never empty: `at` is before the end, and a size is at least one.
      steps.push(new Step(tasks.slice(at, at + size) as [T, ...T[]], rows));
      at += size;
      together -= size;
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
