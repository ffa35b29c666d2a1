import type { Driver } from '../driver.ts';
import {
  FakeDatabase,
  type FakeCall,
  type FakeMethod,
  type FakeOutcome,
  type FakeScript,
} from './fake-call.ts';
import { FakeConnection, type FakeAbility } from './fake-connection.ts';

/**
 * What a fake driver can do without, and the database it names.
 *
 * @example const driver = fakeDriver({}, { without: ['iterate'], databaseId: 'shared' });
 */
export interface FakeDriverOptions {
  /** Abilities its connections lack. */
  readonly without?: readonly FakeAbility[];
  /** What `databaseId()` resolves to. Default: an id of its own. */
  readonly databaseId?: string;
}

/**
 * A driver without a database. See {@link fakeDriver}.
 *
 * @example const driver: FakeDriver = fakeDriver();
 */
export interface FakeDriver extends Driver {
  /** Every call so far, in order. */
  readonly calls: readonly FakeCall[];
  /**
   * What the pool has done that the contract of a driver forbids: two calls at once on a connection, a call after its
   * close, a second close, two writers at once. Tests expect it to be empty.
   */
  readonly violations: readonly string[];
  /** Connections that were opened and not closed. */
  readonly openConnections: number;
  /** Connections on which a transaction is open. */
  readonly openTransactions: number;
  /** The `nth` call of a method; throws if there was none. */
  call(method: FakeMethod, nth?: number): FakeCall;
  /** How often a method was called. */
  count(method: FakeMethod): number;
}

let databases = 0;

/**
 * Makes a driver that opens connections to nothing and does what it is told: which call fails, hangs, settles late or
 * settles twice. It follows transactions well enough to refuse a COMMIT without a BEGIN, answers a cursor with three
 * rows, and any other statement with none.
 *
 * @example
 * const clock = fakeClock();
 * const driver = fakeDriver({ open: { 2: { reject: new Error('disk') } }, execute: { 1: 'hang' } });
 * const pool = createPool({ driver, clock });
 * const answer = pool.get('SELECT 1');
 * await clock.settle();
 * driver.call('execute').resolve({ rows: [{ n: 1 }], columns: ['n'], changes: 0, lastInsertRowid: 0 });
 * assert.deepEqual(driver.violations, []);
 */
export function fakeDriver(script: FakeScript = {}, options: FakeDriverOptions = {}): FakeDriver {
  const { without = [], databaseId = `fake:${String((databases += 1))}` } = options;
  const database = new FakeDatabase(typeof script === 'function' ? script : tableOf(script));
  let connections = 0;
  return {
    name: 'fake',
    open: () =>
      database.perform({ method: 'open', connection: 0, sql: '' }, () => {
        connections += 1;
        return new FakeConnection(database, connections).without(without);
      }),
    databaseId: () => database.perform({ method: 'databaseId', connection: 0, sql: '' }, () => databaseId),
    calls: database.calls,
    violations: database.violations,
    get openConnections() {
      return database.connections.size;
    },
    get openTransactions() {
      return [...database.connections].filter((connection) => connection.inTransactionNow).length;
    },
    call(method, nth = 1) {
      const found = database.calls.find((call) => call.method === method && call.nth === nth);
      if (found === undefined) throw new Error(`The pool has not made call ${String(nth)} of ${method}().`);
      return found;
    },
    count: (method) => database.calls.filter((call) => call.method === method).length,
  };
}

function tableOf(script: Exclude<FakeScript, (call: FakeCall) => unknown>) {
  return ({ method, nth }: FakeCall): FakeOutcome | undefined => script[method]?.[nth];
}
