import { appendFileSync, fstatSync, openSync, writeSync } from 'node:fs';
import { eachRead, idOf, type Event, type Op, type Outcome } from './history.ts';

/** How far the log must grow until a list is read and written no more: a list has some dozens of values then. */
const BYTES_PER_LIST = 12_000;

/** Most lists of one place in use at a time. */
const LISTS_IN_USE = 3;

/** A transaction that is under way. */
export interface Entry {
  readonly id: number;
  readonly ops: readonly Op[];
  end(outcome: Outcome, why?: unknown): void;
}

/** One process's way to the log of all processes. A line is in the file when the call returns, so that it survives a kill. */
export class Log {
  readonly #file: number;
  readonly #process: number;
  #begun = 0;

  constructor(path: string, process: number) {
    this.#file = openSync(path, 'a');
    this.#process = process;
  }

  /** The number of the newest list: the longer the log, the higher, so that all processes use the same few lists. */
  get newestList(): number {
    return LISTS_IN_USE + Math.floor(fstatSync(this.#file).size / BYTES_PER_LIST);
  }

  /** The lists in use, by their numbers. */
  get oldestList(): number {
    return this.newestList - LISTS_IN_USE + 1;
  }

  /** The number of the next transaction, which its values are made of. */
  nextId(): number {
    this.#begun += 1;
    return idOf(this.#process, this.#begun);
  }

  /** Notes that a transaction begins, before any of it is done. */
  begin(id: number, way: string, ops: readonly Op[], doomed: boolean): Entry {
    this.#write(['begin', id, way, ops, doomed]);
    const end = (outcome: Outcome, why: unknown = ''): void => {
      const saw: (readonly number[] | null)[] = [];
      eachRead(ops, (read) => saw.push(read.saw ?? null));
      this.#write([outcome, id, saw, String(why)]);
    };
    return { id, ops, end };
  }

  /** Notes what must not happen at all. */
  complain(text: string): void {
    this.#write(['complaint', text]);
  }

  #write(event: Event): void {
    writeSync(this.#file, line(event));
  }
}

/** Notes that a process is dead: it has ended, and the operating system says so. */
export function noteDeath(path: string, process: number): void {
  appendFileSync(path, line(['dead', process]));
}

/** Notes what must not happen at all, for a process that cannot do so itself. */
export function noteComplaint(path: string, text: string): void {
  appendFileSync(path, line(['complaint', text]));
}

/** One write for a line, so that those of several processes do not mix; it begins a new one, so that one that was torn ends. */
function line(event: Event): string {
  return `\n${JSON.stringify(event)}`;
}
