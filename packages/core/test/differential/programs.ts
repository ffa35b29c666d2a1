import fc from 'fast-check';
import type { Program, ProgramOptions } from './program.ts';
import { programOf, type Many, type Nesting, type Plain, type Step } from './writing.ts';

const number = (most: number): fc.Arbitrary<number> => fc.noBias(fc.nat(most));
const list = <T>(each: fc.Arbitrary<T>, maxLength: number, minLength = 0): fc.Arbitrary<T[]> =>
  fc.array(each, { minLength, maxLength, size: 'max' });
const dice = list(number(0xffff), 12);
const one = <T>(value: T): fc.Arbitrary<T> => fc.constant(value);
const rarely = <T>(each: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(each, { freq: 12, nil: undefined });
const cancel = rarely(number(12));

const plain = (...what: Plain['do'][]): fc.Arbitrary<Plain> =>
  fc.record({ do: fc.constantFrom(...what), dice, cancel });

const call: fc.Arbitrary<Plain> = fc.oneof(
  { weight: 6, arbitrary: plain('write') },
  { weight: 3, arbitrary: plain('read') },
  { weight: 4, arbitrary: plain('batch', 'change') },
  { weight: 2, arbitrary: plain('script', 'iterate') },
);

const many: fc.Arbitrary<Many> = fc.record({
  do: one('many'),
  dice,
  rows: list(list(number(0xffff), 6), 10),
  others: list(call, 3),
  at: number(12),
});

const nesting = (what: Nesting['do'], step: fc.Arbitrary<Step>, most: number): fc.Arbitrary<Nesting> =>
  fc.record({ do: one(what), dice, cancel, steps: list(step, most) });

const inner = fc.oneof({ weight: 4, arbitrary: call }, { weight: 1, arbitrary: many });
const nested = fc.oneof(
  { weight: 5, arbitrary: inner },
  { weight: 1, arbitrary: nesting('transaction', inner, 3) },
);
const transaction = nesting('transaction', nested, 4);
const byHand = fc.oneof(
  { weight: 6, arbitrary: inner },
  { weight: 1, arbitrary: nesting('savepoint', inner, 3) },
  { weight: 1, arbitrary: plain('own') },
);
const lease = nesting(
  'lease',
  fc.oneof(
    { weight: 4, arbitrary: inner },
    { weight: 2, arbitrary: nesting('hand', byHand, 4) },
    { weight: 1, arbitrary: transaction },
    { weight: 1, arbitrary: plain('own') },
  ),
  5,
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: many },
  { weight: 6, arbitrary: call },
  { weight: 3, arbitrary: transaction },
  { weight: 3, arbitrary: lease },
  { weight: 1, arbitrary: plain('chore') },
);

const options: fc.Arbitrary<ProgramOptions> = fc
  .record({
    poolSize: fc.integer({ min: 1, max: 4 }),
    pools: fc.constantFrom<1 | 2>(1, 1, 1, 1, 2),
    groupCommit: fc.constantFrom(true, true, true, true, true, false),
    synchronous: fc.constantFrom('NORMAL', 'FULL'),
    statementCache: fc.constantFrom(true, true, true, false),
    recursiveTriggers: fc.boolean(),
    pace: fc.oneof(number(0xffff), one('free' as const)),
    oneConnection: fc.constantFrom(false, false, false, false, true),
    driver: fc.constantFrom('node:sqlite', 'node:sqlite', 'sqlite3'),
  })
  // Statements without a lease may run on several handles of a worker driver, even of one connection.
  .map((all) => (all.oneConnection ? { ...all, poolSize: 1, pools: 1, driver: 'sqlite3' } : all));

const part = fc.record({ kind: number(99), dice: list(number(0xffff), 8) });

/** Programs of up to four callers. */
export const programs: fc.Arbitrary<Program> = fc
  .record({
    options,
    parts: fc.oneof(list(part, 1, 1), list(part, 2, 1), list(part, 3, 1)),
    callers: list(list(step, 5), 4, 1),
  })
  .map(programOf);
