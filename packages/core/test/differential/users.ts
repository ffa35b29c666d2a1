import { setImmediate } from 'node:timers/promises';
import { resultCodeOf } from '../../src/driver-errors.ts';
import {
  BusyError,
  SqliteError,
  SqlitePoolError,
  type Queryable,
  type QueryOptions,
  type Result,
  type RunResult,
  type TransactionOptions,
} from '../../src/index.ts';
import {
  numbered,
  type Call,
  type Numbers,
  type Single,
  type Statement,
  type Transaction,
} from './program.ts';

/** How a call ended, in a form that can be compared. */
export interface Outcome {
  readonly value?: unknown;
  readonly error?: Failure;
  /** How the steps of a transaction ended. */
  readonly steps?: readonly Outcome[];
}

/** What is compared of an error: SQLite's extended code and message, or the code of an error of the pool's own. */
interface Failure {
  readonly errno?: number;
  readonly code?: string;
  readonly message?: string;
}

/** Why a call is cancelled. */
export const ABORTED: Error = new Error('cancelled by the program');

/** Why a transaction is rolled back. */
const THROWN = new Error('thrown by the program');

/** What was thrown, for those that throw it again. */
const thrown = new WeakMap<Failure, unknown>();

/** Does calls of a program, on a pool or on what it is compared with. */
export class User {
  readonly #numbers: Numbers;

  constructor(numbers: Numbers) {
    this.#numbers = numbers;
  }

  /** Never rejects. */
  async perform(op: Call, db: Queryable, limits: QueryOptions = {}): Promise<Outcome> {
    let steps: Outcome[] | undefined;
    try {
      if (op.do !== 'transaction') return { value: rounded(await this.#call(op, db, limits)) };
      const fn = async (tx: Queryable): Promise<void> => {
        steps = [];
        await this.#steps(op, tx, steps);
      };
      await db.transaction(fn, { ...howToBegin(op), ...limits });
      return { value: undefined, ...(steps === undefined ? {} : { steps }) };
    } catch (error) {
      const failed = failure(error);
      return steps === undefined ? { error: failed } : { error: failed, steps };
    }
  }

  async #steps(op: Transaction, tx: Queryable, outcomes: Outcome[]): Promise<void> {
    for (const step of op.steps) {
      const calls = (step.do === 'together' ? step.ops : [step]) as readonly Call[];
      const ended = await Promise.all(calls.map((call) => this.perform(call, tx)));
      outcomes.push(...ended);
      const failed = ended.find(({ error }) => error !== undefined);
      if (failed?.error !== undefined && !op.goesOn) throw thrown.get(failed.error);
    }
    if (op.end === 'throw') throw THROWN;
  }

  async #call(op: Exclude<Call, Transaction>, db: Queryable, limits: QueryOptions): Promise<unknown> {
    switch (op.do) {
      case 'batch': {
        const texts = op.statements.map((each) => {
          const { sql, params } = numbered(each, this.#numbers);
          return [sql, params] as const;
        });
        const results = await db.batch(texts, limits);
        return results.map((result, at) => comparable(result, op.statements[at]!));
      }
      case 'script':
        await db.script(numbered(op, this.#numbers).sql, limits);
        return undefined;
      case 'iterate':
        return await this.#iterate(op, op.rows, db, limits);
      default:
        return await this.#single(op, db, limits);
    }
  }

  async #single(op: Single, db: Queryable, limits: QueryOptions): Promise<unknown> {
    const { sql, params } = numbered(op, this.#numbers);
    switch (op.do) {
      case 'run':
        return counts(await db.run(sql, params, limits), op);
      case 'get':
        return await db.get(sql, params, limits);
      case 'all':
        return await db.all(sql, params, limits);
      case 'execute':
        return comparable(await db.execute(sql, params, limits), op);
      case 'arrays':
        return comparable(await db.execute(sql, params, { ...limits, rowMode: 'array' }), op);
    }
  }

  async #iterate(
    statement: Statement,
    most: number,
    db: Queryable,
    limits: QueryOptions,
  ): Promise<unknown[]> {
    const { sql, params } = numbered(statement, this.#numbers);
    const rows: unknown[] = [];
    for await (const row of db.iterate(sql, params, limits)) {
      rows.push(row);
      if (rows.length >= most) break;
      await setImmediate();
    }
    return rows;
  }
}

/** With each bigint as the number that is nearest: the sqlite3 package has no others. */
function rounded(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rounded(each)]));
}

function howToBegin({ mode, retries }: Transaction): TransactionOptions {
  return { ...(mode && { mode }), ...(retries !== undefined && { retries }) };
}

function counts({ changes, lastInsertRowid }: RunResult, { olderRowid }: Statement): object {
  return olderRowid === true ? { changes } : { changes, lastInsertRowid };
}

/** What is compared knows the names of columns only if there are rows. */
function comparable(result: Result<unknown>, statement: Statement): unknown {
  const { rows, columns } = result;
  return { rows, columns: rows.length > 0 ? columns : [], ...counts(result, statement) };
}

function failure(error: unknown): Failure {
  const failed = described(error);
  thrown.set(failed, error);
  return failed;
}

function described(error: unknown): Failure {
  if (error === ABORTED) return { code: 'ABORTED' };
  if (error === THROWN) return { code: 'THROWN' };
  if (error instanceof SqliteError || error instanceof BusyError)
    return answer(error.errno, (error.cause as Error | undefined)?.message ?? '');
  if (error instanceof SqlitePoolError) return { code: error.code };
  if (error instanceof Error && ('errno' in error || 'errcode' in error))
    return answer(resultCodeOf(error), error.message);
  return { code: String(error) };
}

/** SQLite's answer, without what the drivers and their versions of SQLite make of it. */
function answer(errno: number, text: string): Failure {
  // The sqlite3 package puts the name of the code before it.
  const message = text.replace(/^(?:SQLITE_[A-Z]+|UNKNOWN): /, '');
  // FTS5 has had an extended code for a rowid that exists since SQLite 3.52 only.
  return { errno: message === 'constraint failed' ? errno & 0xff : errno, message };
}
