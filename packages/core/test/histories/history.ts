/** What a transaction does to one list, in the order of its calls. A value is appended once in a whole history. */
export type Op = Append | Read | Nested;

export interface Append {
  readonly append: number;
  readonly to: string;
}

export interface Read {
  readonly read: string;
  /** The values found, from the oldest; `undefined` as long as the read has not resolved. */
  saw?: readonly number[] | undefined;
}

/** A savepoint; `kept` is false for one that is rolled back. */
export interface Nested {
  readonly nested: readonly Op[];
  readonly kept: boolean;
}

/** `fail`: certainly not done. `info`: nobody can say. */
export type Outcome = 'ok' | 'fail' | 'info';

/** A transaction, or a statement on its own, as its caller knows it. Times are places in the log. */
export interface Transaction {
  readonly id: number;
  /** By which part of the API it was made. */
  readonly way: string;
  readonly ops: readonly Op[];
  /** Whether SQLite must refuse it. */
  readonly doomed: boolean;
  readonly begin: number;
  outcome: Outcome;
  /** When its outcome was known to its caller, or its process was dead; `Infinity` if neither is known. */
  end: number;
}

/** What the processes of one database have done, from its first moment to its last. */
export interface History {
  readonly transactions: readonly Transaction[];
  /** What a process has noted that must not happen at all. */
  readonly complaints: readonly string[];
}

/**
 * One line of a log. The processes append to one file, so that the order of lines is the order of events in real time: what stands
 * before the `begin` of another transaction had happened before it.
 */
export type Event =
  | readonly ['begin', id: number, way: string, ops: readonly Op[], doomed: boolean]
  | readonly [Outcome, id: number, saw: readonly (readonly number[] | null)[], why: string]
  | readonly ['dead', process: number]
  | readonly ['complaint', text: string];

const IDS_PER_PROCESS = 1_000_000;
/** More than a plan has appends. */
const VALUES_PER_ID = 100;

/** The number of the `n`th transaction of a process. */
export function idOf(process: number, n: number): number {
  return process * IDS_PER_PROCESS + n;
}

/** The `n`th value that a transaction appends: it says which transaction it was. */
export function valueOf(id: number, n: number): number {
  return id * VALUES_PER_ID + n;
}

/** The transaction that has appended a value. */
export function authorOf(value: number): number {
  return Math.floor(value / VALUES_PER_ID);
}

/** `T2.17`: the 17th transaction of process 2. */
export function nameOf(id: number): string {
  return `T${String(Math.floor(id / IDS_PER_PROCESS))}.${String(id % IDS_PER_PROCESS)}`;
}

/** `2.17/0`: the first value that `T2.17` appends. */
export function showValue(value: number): string {
  return `${nameOf(authorOf(value)).slice(1)}/${String(value % VALUES_PER_ID)}`;
}

/** Calls `visit` for each read, also those inside savepoints. */
export function eachRead(ops: readonly Op[], visit: (read: Read) => void): void {
  for (const op of ops) {
    if ('nested' in op) eachRead(op.nested, visit);
    else if ('read' in op) visit(op);
  }
}

/** Reads a log. A line that a kill has torn was not written: its process died before it went on. */
export function parseLog(text: string): History {
  const transactions = new Map<number, Transaction>();
  const complaints: string[] = [];
  for (const [at, line] of text.split('\n').entries()) {
    const event = parseLine(line);
    if (event === undefined) continue;
    if (event[0] === 'begin') {
      const [, id, way, ops, doomed] = event;
      transactions.set(id, { id, way, ops, doomed, begin: at, outcome: 'info', end: Infinity });
    } else if (event[0] === 'complaint') complaints.push(event[1]);
    else if (event[0] === 'dead') bury(event[1], at, transactions);
    else settle(transactions, event, at);
  }
  return { transactions: [...transactions.values()], complaints };
}

function parseLine(line: string): Event | undefined {
  try {
    return JSON.parse(line) as Event;
  } catch {
    return undefined;
  }
}

function settle(
  transactions: ReadonlyMap<number, Transaction>,
  [outcome, id, saw]: readonly [Outcome, number, readonly (readonly number[] | null)[], string],
  at: number,
): void {
  const transaction = transactions.get(id);
  if (transaction === undefined) throw new Error(`${nameOf(id)} has ended, and has not begun.`);
  let next = 0;
  eachRead(transaction.ops, (read) => {
    read.saw = saw[next] ?? undefined;
    next += 1;
  });
  transaction.outcome = outcome;
  // A call that was given up may still be under way.
  if (outcome !== 'info') transaction.end = at;
}

/** A process that is dead does nothing any more, so that what it left open was done by now or never will be. */
function bury(process: number, at: number, transactions: ReadonlyMap<number, Transaction>): void {
  const first = idOf(process, 0);
  for (const transaction of transactions.values()) {
    if (transaction.id >= first && transaction.id < idOf(process + 1, 0))
      transaction.end = Math.min(transaction.end, at);
  }
}
