/**
 * The methods of a fake driver that a script can control. `next` and `return` are those of a cursor.
 *
 * @example const method: FakeMethod = 'execute';
 */
export type FakeMethod =
  | 'open'
  | 'databaseId'
  | 'execute'
  | 'rollback'
  | 'close'
  | 'script'
  | 'iterate'
  | 'next'
  | 'return'
  | 'interrupt'
  | 'inTransaction';

/**
 * How a call ends.
 *
 * - `succeed`: it resolves normally.
 * - `hang`: it never settles, until {@link FakeCall.resolve} or {@link FakeCall.reject} ends it. An `interrupt` does
 *   not end it.
 * - `interruptible`: it does not settle before an `interrupt`, which makes it reject with `SQLITE_INTERRUPT`.
 * - `twice`: it succeeds, then fails, then succeeds again.
 *
 * With an object, the call resolves to a value, rejects with an error, or throws one instead of returning a promise.
 * `interrupt` returns nothing, so it can only `succeed` and `throw`.
 *
 * @example const outcome: FakeOutcome = { reject: new Error('disk') };
 */
export type FakeOutcome =
  | 'succeed'
  | 'hang'
  | 'interruptible'
  | 'twice'
  | { readonly resolve: unknown }
  | { readonly reject: unknown }
  | { readonly throw: unknown };

/**
 * The outcomes by method and by number of the call, from 1. Or a function that decides at each call.
 *
 * @example const script: FakeScript = { open: { 2: 'hang' }, execute: { 1: { reject: new Error('disk') } } };
 */
export type FakeScript =
  | Readonly<Partial<Record<FakeMethod, Readonly<Record<number, FakeOutcome>>>>>
  | ((call: FakeCall) => FakeOutcome | undefined);

/**
 * One call that the pool has made.
 *
 * @example driver.call('execute').reject(new Error('disk')); // a call that hangs, by its script
 */
export interface FakeCall {
  readonly method: FakeMethod;
  /** The number of the call among those of this method, over all connections; from 1. */
  readonly nth: number;
  /** The number of its connection, from 1; 0 for a call on the driver. */
  readonly connection: number;
  /** The statement, for `execute`, `script` and `iterate`. */
  readonly sql: string;
  /** The outcome that the script chose. */
  readonly outcome: FakeOutcome;
  /** Whether the call has resolved, rejected or thrown. */
  readonly settled: boolean;
  /** Whether the call has resolved. */
  readonly succeeded: boolean;
  /** Makes a hanging call succeed, with `value` if it is given. Does nothing if the call has settled. */
  resolve(value?: unknown): void;
  /** Makes a hanging call fail. Does nothing if the call has settled. */
  reject(error: unknown): void;
}

/** The part of a call that is known before it is made. */
export type CallStart = Pick<FakeCall, 'method' | 'connection' | 'sql'>;

/** A running call. */
export interface Running extends FakeCall {
  settled: boolean;
  succeeded: boolean;
}

/** A connection, as the other connections see it. */
export interface Writer {
  readonly number: number;
  readonly isWriting: boolean;
  readonly inTransactionNow: boolean;
}

/** The state that all connections of one fake driver share: the script, the record of calls, and the write lock. */
export class FakeDatabase {
  readonly calls: FakeCall[] = [];
  readonly violations: string[] = [];
  readonly connections: Set<Writer>;
  readonly #script: (call: FakeCall) => FakeOutcome | undefined;
  readonly #counts = new Map<FakeMethod, number>();

  constructor(script: (call: FakeCall) => FakeOutcome | undefined) {
    this.#script = script;
    this.connections = new Set();
  }

  /** Records a call, and ends it as the script says. `effect`: what the call does when it succeeds. */
  perform<T>(start: CallStart, effect: () => T, onStart?: (running: Running) => void): Promise<T> {
    const { call, outcome, end } = this.begin<T>(start, effect);
    onStart?.(call);
    if (typeof outcome === 'object' && 'throw' in outcome) {
      call.settled = true;
      throw outcome.throw;
    }
    if (outcome === 'twice') return twice(call, end);
    if (outcome === 'succeed') queueMicrotask(() => call.resolve());
    else if (typeof outcome === 'object') {
      queueMicrotask(() => {
        if ('reject' in outcome) call.reject(outcome.reject);
        else call.resolve(outcome.resolve);
      });
    }
    return end;
  }

  /** Records a call. */
  begin<T>(start: CallStart, effect: () => T): { call: Running; outcome: FakeOutcome; end: Promise<T> } {
    const nth = (this.#counts.get(start.method) ?? 0) + 1;
    this.#counts.set(start.method, nth);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const settleOnce = (how: () => void): void => {
      if (call.settled) return;
      call.settled = true;
      how();
    };
    const call: { -readonly [Key in keyof Running]: Running[Key] } = {
      ...start,
      nth,
      settled: false,
      succeeded: false,
      outcome: 'succeed',
      reject: (error) => settleOnce(() => reject(error)),
      resolve: (value) =>
        settleOnce(() => {
          try {
            const done = effect();
            call.succeeded = true;
            // The author of the script is responsible for the type of the value.
            resolve(value === undefined ? done : (value as T));
          } catch (error) {
            reject(error);
          }
        }),
    };
    this.calls.push(call);
    call.outcome = this.#script(call) ?? 'succeed';
    return { call, outcome: call.outcome, end: promise };
  }
}

/** Not a promise, because a promise cannot settle twice. A driver's own kind of promise can. */
function twice<T>(call: FakeCall, end: Promise<T>): Promise<T> {
  const thenable: Pick<Promise<T>, 'then'> = {
    then: (onValue, onError) => {
      queueMicrotask(() => call.resolve());
      const once = end.then((value) => {
        void onValue?.(value);
        void onError?.(new Error('This call has settled already.'));
        return value;
      });
      return once.then(onValue, onError);
    },
  };
  // The caller only uses `then`: it passes the object to `await` and `Promise.resolve`.
  return thenable as Promise<T>;
}
