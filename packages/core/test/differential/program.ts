/**
 * A program: what some callers do with a pool at the same time, as data, so that a failure can be printed, shrunk and kept.
 *
 * Every statement is known by a number of its own. `'#'` stands for it: alone or inside a text among the parameters, or in the SQL text
 * of a statement that has none. Numbers among the parameters leave the texts equal, so that whatever the pool does with equal texts happens.
 */
export interface Program {
  readonly options: ProgramOptions;
  /** The script that makes the database. */
  readonly schema: string;
  /** What each caller does, one after the other. */
  readonly callers: readonly (readonly Op[])[];
}

export interface ProgramOptions {
  readonly poolSize: number;
  /** Pools on the same file. */
  readonly pools: 1 | 2;
  readonly groupCommit: boolean;
  readonly synchronous: 'NORMAL' | 'FULL';
  /** 0, or the driver's default. */
  readonly statementCache: boolean;
  readonly recursiveTriggers: boolean;
  /**
   * `free`: calls to the driver run as they come, on real threads, with a real clock. A number: one call at a time, the next when nothing
   * else can happen, and no time passes; the number decides which of the waiting calls is next. Then a program does the same each time.
   */
  readonly pace: 'free' | number;
  /**
   * Everything runs on one connection and no statement can need another try, so that `changes()` and `last_insert_rowid()` are defined
   * from one statement to the next.
   */
  readonly oneConnection: boolean;
  /** Without one it is sqlite3. */
  readonly driver?: 'node:sqlite' | 'sqlite3';
}

export type Param = null | number | string;

export interface Statement {
  readonly sql: string;
  readonly params?: readonly Param[];
  /** The rowid it reports is that of an older statement, and which one is not defined. */
  readonly olderRowid?: boolean;
}

interface OnAPool {
  /** Which pool, if there are two. */
  readonly pool?: 1;
  /** The call is cancelled: by its signal, after so many events of the driver, or by its time limit. */
  readonly abortAfter?: number;
  readonly timeoutMs?: number;
}

type Method = 'run' | 'get' | 'all' | 'execute' | 'arrays';

export interface Single extends Statement, OnAPool {
  readonly do: Method;
}

interface Batch extends OnAPool {
  readonly do: 'batch';
  readonly statements: readonly Statement[];
}

interface Script extends OnAPool {
  readonly do: 'script';
  readonly sql: string;
}

/** Takes so many rows of a cursor. */
interface Cursor extends Statement, OnAPool {
  readonly do: 'iterate';
  readonly rows: number;
}

export interface Transaction extends OnAPool {
  readonly do: 'transaction';
  readonly mode?: 'deferred' | 'exclusive';
  readonly retries?: number;
  readonly steps: readonly Op[];
  /** Whether it goes on after a step that failed. */
  readonly goesOn: boolean;
  readonly end: 'resolve' | 'throw';
}

/** A lease; its steps may begin and end a transaction by hand. */
export interface Leased extends OnAPool {
  readonly do: 'lease';
  readonly steps: readonly Op[];
  readonly end: 'release' | 'discard';
}

/** All at once. */
interface Together {
  readonly do: 'together';
  readonly ops: readonly Op[];
}

interface Evict {
  readonly do: 'evict';
  readonly pool?: 1;
}

interface Checkpoint {
  readonly do: 'checkpoint';
  readonly pool?: 1;
}

/** What is answered as one. */
export type Call = Single | Batch | Script | Cursor | Transaction;

export type Op = Call | Leased | Together | Evict | Checkpoint;

/** Numbers of statements; SQLite's integers of 32 bits, because the sqlite3 package binds others as REAL. */
const FIRST_NUMBER = 1_500_000_000;
const NUMBER = /15\d{8}/g;

/** The numbers of the statements of a program. */
export type Numbers = ReadonlyMap<object, number>;

export function numbersOf({ callers }: Program): Numbers {
  const numbers = new Map<object, number>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) for (const each of node) visit(each);
    if (typeof node !== 'object' || node === null || Array.isArray(node)) return;
    if ('sql' in node) numbers.set(node, FIRST_NUMBER + numbers.size);
    for (const value of Object.values(node)) visit(value);
  };
  visit(callers);
  return numbers;
}

/** A statement as SQLite gets it. */
export function numbered(
  statement: Statement,
  numbers: Numbers,
): { readonly sql: string; readonly params: readonly Param[] } {
  const number = numbers.get(statement) ?? 0;
  const fill = (text: string): string => text.replaceAll('#', String(number));
  return {
    sql: fill(statement.sql),
    params: (statement.params ?? []).map((value) =>
      value === '#' ? number : typeof value === 'string' ? fill(value) : value,
    ),
  };
}

/** The numbers of statements in whatever a driver was given, in order. */
export function numbersIn(given: unknown): number[] {
  if (typeof given === 'number') return given >= FIRST_NUMBER && given < FIRST_NUMBER + 1e8 ? [given] : [];
  if (typeof given === 'string') return Array.from(given.matchAll(NUMBER), ([digits]) => Number(digits));
  if (typeof given !== 'object' || given === null) return [];
  return Object.values(given).flatMap(numbersIn);
}

/** The statements in an op. */
export function statementsOf(op: Call): readonly Statement[] {
  switch (op.do) {
    case 'batch':
      return op.statements;
    case 'transaction':
      return op.steps.flatMap((step) => callsOf(step).flatMap(statementsOf));
    default:
      return [op];
  }
}

/** The calls in a step of a transaction or a lease. */
function callsOf(step: Op): readonly Call[] {
  if (step.do === 'together') return step.ops.flatMap(callsOf);
  return step.do === 'lease' || step.do === 'evict' || step.do === 'checkpoint' ? [] : [step];
}

export function reads({ sql }: Statement): boolean {
  return /^(?:SELECT|VALUES)\b/.test(sql);
}
