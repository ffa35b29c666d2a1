import { valueOf, type Append, type Op, type Read } from './history.ts';
import {
  appending,
  appendingAndReading,
  overwriting,
  placeOf,
  reading,
  type Place,
  type Statement,
} from './lists.ts';
import type { Log } from './log.ts';
import type { Random } from './random.ts';

/** Most savepoints inside each other. */
const DEEPEST = 2;

/** What one transaction is going to do, at random: which lists it reads, and what it appends to which. */
export class Plan {
  readonly id: number;
  readonly #log: Log;
  readonly #random: Random;
  #values = 0;

  constructor(log: Log, random: Random) {
    this.id = log.nextId();
    this.#log = log;
    this.#random = random;
  }

  list(place: Place = this.#random.one('t', 'r', 's')): string {
    return `${place}${String(this.#random.from(this.#log.oldestList, this.#log.newestList))}`;
  }

  append(to: string = this.list()): Append {
    this.#values += 1;
    return { append: valueOf(this.id, this.#values - 1), to };
  }

  read(list: string = this.list()): Read {
    return { read: list };
  }

  /** Several lists of one place, none of them twice. */
  reads(most: number): Read[] {
    const place = this.#random.one<Place>('t', 'r', 's');
    const lists = Array.from({ length: this.#random.from(1, most) }, () => this.list(place));
    return [...new Set(lists)].map((list) => this.read(list));
  }

  /** Reads and appends, one after the other. Many of them are of one list, so that half of them would be noticed. */
  flat(most: number): Op[] {
    const favourite = this.list();
    return Array.from({ length: this.#random.from(1, most) }, () => {
      const list = this.#random.in(50) ? favourite : this.list();
      return this.#random.in(60) ? this.append(list) : this.read(list);
    });
  }

  /** The same, with savepoints. */
  nested(most: number, depth: number = 0): Op[] {
    return this.flat(most).flatMap((op): Op[] => {
      if (depth === DEEPEST || !this.#random.in(15)) return [op];
      return [op, { nested: this.nested(most - 1, depth + 1), kept: this.#random.in(50) }];
    });
  }
}

/** A part of a plan that is one statement. */
export interface Part {
  readonly statement: Statement;
  /** How many of the operations it is. */
  readonly length: number;
}

/**
 * The next of some operations, which is no savepoint, as a statement, or several of them where one statement can do them.
 *
 * @param inTurn - Whether the operations before it are done, so that it can be made of what they have read.
 */
export function nextPart(ops: readonly Op[], at: number, random: Random, inTurn: boolean): Part {
  const op = ops[at]!;
  if ('read' in op) {
    const reads = follow(
      ops,
      at,
      (next): next is Read => 'read' in next && placeOf(next.read) === placeOf(op.read),
    );
    // One list twice in a statement would be one read.
    const some = random.in(50) && new Set(reads.map(({ read }) => read)).size === reads.length ? reads : [op];
    return { statement: reading(some), length: some.length };
  }
  if ('nested' in op) throw new Error('A savepoint is no statement.');
  const [before, after] = [ops[at - 1], ops[at + 1]];
  const isText = placeOf(op.to) === 't';
  if (inTurn && isText && before !== undefined && 'read' in before && before.read === op.to && random.in(70))
    return { statement: overwriting(op, before.saw!), length: 1 };
  if (isText && after !== undefined && 'read' in after && after.read === op.to && random.in(50))
    return { statement: appendingAndReading(op, after), length: 2 };
  const appends = follow(
    ops,
    at,
    (next): next is Append => 'append' in next && placeOf(next.to) === placeOf(op.to),
  );
  const some = random.in(50) ? appends : [op];
  return { statement: appending(some), length: some.length };
}

/** The operations from `at` on that are of one kind. */
function follow<T extends Op>(ops: readonly Op[], at: number, isOne: (op: Op) => op is T): T[] {
  const end = ops.findIndex((op, index) => index >= at && !isOne(op));
  return ops.slice(at, end === -1 ? undefined : end).filter(isOne);
}
