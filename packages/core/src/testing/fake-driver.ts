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
 * The abilities that a fake driver lacks, and the id of its database.
 *
 * @example const driver = fakeDriver({}, { without: ['iterate'], databaseId: 'shared' });
 */
export interface FakeDriverOptions {
  /** The abilities that its connections lack. */
  readonly without?: readonly FakeAbility[];
  /** The id to which `databaseId()` resolves. Default: a new id for each driver. */
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
   * The pool's violations of the driver contract: two calls at once on a connection, a call after its close, a second
   * close, two writers at once. Tests expect it to be empty.
   */
  readonly violations: readonly string[];
  /** The number of connections that were opened and not closed. */
  readonly openConnections: number;
  /** The number of connections on which a transaction is open. */
  readonly openTransactions: number;
  /** The `nth` call of a method. Throws if there was none. */
  call(method: FakeMethod, nth?: number): FakeCall;
  /** How often the pool has called a method. */
  count(method: FakeMethod): number;
}

let databases = 0;

/**
 * Makes a driver whose connections have no database. A script decides which call fails, hangs, settles late or settles
 * twice. The driver tracks transactions well enough to refuse a COMMIT without a BEGIN. A cursor returns three rows,
 * any other statement none.
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
