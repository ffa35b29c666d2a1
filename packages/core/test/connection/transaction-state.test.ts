import { describe, expect, it } from 'vitest';
import { TransactionLostError } from '../../src/errors.ts';
import type { TransactionControl } from '../../src/query/kind.ts';
import { TransactionState } from '../../src/connection/transaction-state.ts';

/** What was done to a state, in order, and what it says of itself then. */
type Step = (state: TransactionState) => void;
type Known = 'no transaction' | 'a transaction' | 'perhaps a transaction' | 'a lost transaction';

const WHY = new Error('why');

const ok =
  (control: TransactionControl): Step =>
  (state) => {
    state.succeeded(control);
  };
const fails =
  (control: TransactionControl | 'script', cancelled = false): Step =>
  (state) => {
    state.failed(control, cancelled, WHY);
  };
const found =
  (open: boolean): Step =>
  (state) => {
    state.found(open);
  };
const scripted: Step = (state) => {
  state.scripted();
};
const ended: Step = (state) => {
  state.ended();
};

function known(state: TransactionState): Known {
  if (state.isLost) return 'a lost transaction';
  if (state.isUncertain) return 'perhaps a transaction';
  return state.isOpen ? 'a transaction' : 'no transaction';
}

function after(...steps: Step[]): Known {
  const state = new TransactionState();
  for (const step of steps) step(state);
  return known(state);
}

describe('what is known of a transaction', () => {
  it.each<[string, Known, Step[]]>([
    ['nothing', 'no transaction', []],
    ['a statement', 'no transaction', [ok('none')]],
    ['BEGIN', 'a transaction', [ok('begin')]],
    ['BEGIN and a statement', 'a transaction', [ok('begin'), ok('none')]],
    ['BEGIN and COMMIT', 'no transaction', [ok('begin'), ok('commit')]],
    ['BEGIN and ROLLBACK', 'no transaction', [ok('begin'), ok('rollback')]],
    ['BEGIN and ROLLBACK TO', 'a transaction', [ok('begin'), ok('savepoint'), ok('rollback-to')]],
    ['RELEASE inside BEGIN', 'a transaction', [ok('begin'), ok('savepoint'), ok('release')]],
    ['SAVEPOINT', 'a transaction', [ok('savepoint')]],
    ['SAVEPOINT and RELEASE', 'perhaps a transaction', [ok('savepoint'), ok('release')]],
    ['a RELEASE that ended it', 'no transaction', [ok('savepoint'), ok('release'), found(false)]],
    ['a RELEASE that did not', 'a transaction', [ok('savepoint'), ok('release'), found(true)]],
    [
      'a second RELEASE',
      'perhaps a transaction',
      [ok('savepoint'), ok('release'), found(true), ok('release')],
    ],
    ['RELEASE without a savepoint', 'no transaction', [ok('release')]],
    ['a script with control in it', 'perhaps a transaction', [scripted]],
    ['a script that began one', 'a transaction', [scripted, found(true)]],
    ['a script that committed one begun before', 'no transaction', [ok('begin'), scripted, found(false)]],
    ['the end of one', 'no transaction', [ok('begin'), ended]],
  ])('after %s: %s', (_what, expected, steps) => {
    expect(after(...steps)).toBe(expected);
  });

  it.each<[string, Known, Step[]]>([
    ['a statement that failed', 'no transaction', [fails('none')]],
    ['a statement that was cancelled', 'no transaction', [fails('none', true)]],
    ['a BEGIN that was refused', 'no transaction', [fails('begin')]],
    ['a SAVEPOINT that was refused', 'no transaction', [fails('savepoint')]],
    ['a BEGIN that was cancelled', 'perhaps a transaction', [fails('begin', true)]],
    ['a SAVEPOINT that was cancelled', 'perhaps a transaction', [fails('savepoint', true)]],
    ['a BEGIN that was cancelled and did nothing', 'no transaction', [fails('begin', true), found(false)]],
    ['a BEGIN that was cancelled and done', 'a transaction', [fails('begin', true), found(true)]],
    ['a script with control that failed', 'perhaps a transaction', [fails('script')]],
    ['such a script, which had committed', 'no transaction', [fails('script'), found(false)]],
    ['a failure inside', 'perhaps a transaction', [ok('begin'), fails('none')]],
    ['a failure inside that left it', 'a transaction', [ok('begin'), fails('none'), found(true)]],
    ['a failure inside that ended it', 'a lost transaction', [ok('begin'), fails('none'), found(false)]],
    ['a script inside that ended it', 'a lost transaction', [ok('begin'), fails('script'), found(false)]],
    [
      'a failure in one that a savepoint opened',
      'a lost transaction',
      [ok('savepoint'), fails('none'), found(false)],
    ],
    [
      'a failure after it was lost',
      'a lost transaction',
      [ok('begin'), fails('none'), found(false), fails('none')],
    ],
    ['the end of a lost one', 'no transaction', [ok('begin'), fails('none'), found(false), ended]],
  ])('after %s: %s', (_what, expected, steps) => {
    expect(after(...steps)).toBe(expected);
  });

  it('F22 refuses what follows a transaction that is lost, and says why it was', () => {
    const state = new TransactionState();
    state.check();
    state.succeeded('begin');
    state.failed('none', false, WHY);
    state.check();
    state.found(false);
    expect(() => {
      state.check();
    }).toThrow(expect.objectContaining({ constructor: TransactionLostError, cause: WHY }) as Error);
  });
});
