import { LONGEST_DELAY_MS, systemClock, type Clock } from './waiting/deadline.ts';
import type { BasicConnection, Connection, Driver } from './driver.ts';
import type { Pragmas } from './drivers/pragmas.ts';
import { InvalidArgumentError } from './errors.ts';
import { nodeSqlite } from './drivers/worker/node-sqlite.ts';

/**
 * How connections are opened: exactly one of the three.
 *
 * @example const source: PoolSource = { filename: 'app.db' };
 */
export interface PoolSource {
  /** A database file (or `:memory:`, with one connection), opened with `node:sqlite` on worker threads. */
  readonly filename?: string | undefined;
  /** A driver, spelled out. */
  readonly driver?: Driver | undefined;
  /** Opens one connection: anything with `execute`, `rollback` and `close`; see {@link Connection}. */
  readonly connectionFactory?: (() => BasicConnection | Promise<BasicConnection>) | undefined;
}

/**
 * Every option of a pool. Times are in milliseconds. Where the type has `null`, it means no limit, as `Infinity` does.
 *
 * @example const options: PoolOptions = { filename: 'app.db', poolSize: 4, statementTimeoutMs: 5000 };
 */
export interface PoolOptions extends PoolSource {
  /** Most connections at once. Default 10; 1 for `:memory:`. */
  readonly poolSize?: number | undefined;
  /** Longest wait for a connection, and for the turn to write. Default 30 000. */
  readonly acquisitionTimeoutMs?: number | null | undefined;
  /** An idle connection older than this is closed. Default 86 400 000 (a day). */
  readonly idleTimeoutMs?: number | null | undefined;
  /**
   * Whether single writes that wait for their turn at the same time share a COMMIT. Each is acknowledged after it, and
   * none can tell, but by its speed. Default `true`.
   */
  readonly groupCommit?: boolean | undefined;
  /** Longest an open, a health check, a reset, a rollback, a COMMIT or a close may take. Default 10 000. */
  readonly operationTimeoutMs?: number | undefined;
  /** Longest a statement may take, from when it has its connection, if the call sets no `timeoutMs`. Default: no limit. */
  readonly statementTimeoutMs?: number | null | undefined;
  /** How long `close()` waits for leases to come back before it interrupts and revokes them. Default 10 000. */
  readonly closeTimeoutMs?: number | null | undefined;
  /** Connections kept open when idle. Default 0. */
  readonly minIdle?: number | undefined;
  /** Acquires that may queue, and calls on one lease or transaction; one more is refused at once. Default 1000. */
  readonly maxWaiting?: number | undefined;
  /** A lease older than this is revoked, that of a `transaction()` on the pool too. Default 0: never. */
  readonly maxLeaseMs?: number | undefined;
  /** Warn, with the stack of the acquire, when a lease is older than this. Default 0: off. */
  readonly leakWarningMs?: number | undefined;
  /** Health-check a connection that was idle for longer before it is lent. 0 is always, `Infinity` or `null` never. Default 500. */
  readonly validateAfterIdleMs?: number | null | undefined;
  /**
   * The WAL may grow to this size, in bytes, before the pool has it written back by itself; `Infinity` or `null` never. Default
   * 16 777 216 (16 MiB).
   */
  readonly walLimitBytes?: number | null | undefined;
  /** PRAGMAs of the default driver, merged over its own; `false` sets none. Only with `filename`. */
  readonly pragmas?: Pragmas | false | undefined;
  /** Prepared statements the default driver keeps per connection; 0 is off. Default 256. Only with `filename`. */
  readonly statementCacheSize?: number | undefined;
  /** Most threads that the default driver runs SQLite on. Default: one per core, at most 4. Only with `filename`. */
  readonly threads?: number | undefined;
  /** Paths of SQLite extensions that each new connection loads. Only with `filename`. */
  readonly extensions?: readonly string[] | undefined;
  /**
   * A module, by its URL or absolute path, whose default export is called with each new database of `node:sqlite`, in its thread, to
   * register functions for example. Only with `filename`.
   */
  readonly setup?: URL | string | undefined;
  /** Opens the file read-only; it must exist. Default `false`. Only with `filename`. */
  readonly readonly?: boolean | undefined;
  /** Runs on each new connection before it is used: ATTACH, for example. It must not use the pool, which waits for it. */
  readonly onConnect?: ((connection: Connection) => void | Promise<void>) | undefined;
  /** The clock, for tests. Default: the machine's. */
  readonly clock?: Clock | undefined;
}

/** The options of a pool, checked and complete. */
export interface Settings {
  readonly driver: Driver;
  readonly poolSize: number;
  readonly acquisitionTimeoutMs: number;
  readonly groupCommit: boolean;
  readonly idleTimeoutMs: number;
  readonly operationTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly minIdle: number;
  readonly maxWaiting: number;
  readonly maxLeaseMs: number;
  readonly leakWarningMs: number;
  readonly validateAfterIdleMs: number;
  readonly walLimitBytes: number;
  readonly onConnect: ((connection: Connection) => void | Promise<void>) | undefined;
  readonly clock: Clock;
}

/** The numeric options: default, bounds, and whether only whole numbers make sense. */
const NUMBERS = {
  poolSize: { default: 10, min: 1, max: 1024, whole: true },
  acquisitionTimeoutMs: { default: 30_000, min: 1, max: Infinity, whole: false },
  idleTimeoutMs: { default: 86_400_000, min: 1, max: Infinity, whole: false },
  operationTimeoutMs: { default: 10_000, min: 1, max: LONGEST_DELAY_MS, whole: false },
  statementTimeoutMs: { default: Infinity, min: 1, max: Infinity, whole: false },
  closeTimeoutMs: { default: 10_000, min: 0, max: Infinity, whole: false },
  minIdle: { default: 0, min: 0, max: 1024, whole: true },
  maxWaiting: { default: 1000, min: 0, max: Infinity, whole: true },
  maxLeaseMs: { default: 0, min: 0, max: LONGEST_DELAY_MS, whole: false },
  leakWarningMs: { default: 0, min: 0, max: LONGEST_DELAY_MS, whole: false },
  validateAfterIdleMs: { default: 500, min: 0, max: Infinity, whole: false },
  // Four times what SQLite itself lets it grow to: https://www.sqlite.org/pragma.html#pragma_wal_autocheckpoint
  walLimitBytes: { default: 16_777_216, min: 1, max: Infinity, whole: false },
} as const;

type NumberOption = keyof typeof NUMBERS;

const SOURCES = ['filename', 'driver', 'connectionFactory'] as const;
const DRIVER_OPTIONS = [
  'pragmas',
  'statementCacheSize',
  'threads',
  'extensions',
  'setup',
  'readonly',
] as const;
/** The name of every option of a pool. */
export const POOL_OPTIONS: ReadonlySet<string> = new Set([
  ...Object.keys(NUMBERS),
  ...SOURCES,
  ...DRIVER_OPTIONS,
  'groupCommit',
  'onConnect',
  'clock',
]);

/** Checks every option once, and completes them. */
export function checkOptions(options: PoolOptions): Settings {
  if (!isObject(options)) throw new InvalidArgumentError('The options of a pool must be an object.');
  for (const name of Object.keys(options)) {
    if (POOL_OPTIONS.has(name)) continue;
    throw new InvalidArgumentError(
      // What the pool itself took while sqlite3 was the default driver.
      name === 'maxValueBytes'
        ? 'Option maxValueBytes belongs to the sqlite3 driver: driver: sqlite3({ filename, maxValueBytes }).'
        : `Unknown option "${name}". Known are: ${[...POOL_OPTIONS].join(', ')}.`,
    );
  }
  const driver = driverOf(options);
  const number = (name: NumberOption): number => checkNumber(name, options[name]);
  const poolSize = checkSize(driver, options.poolSize, number('poolSize'));
  const minIdle = number('minIdle');
  const idleTimeoutMs = number('idleTimeoutMs');
  if (minIdle > poolSize) {
    throw new InvalidArgumentError(
      `Option minIdle is ${String(minIdle)}: it must be at most poolSize (${String(poolSize)}).`,
    );
  }
  const { groupCommit = true, onConnect, clock = systemClock } = options;
  if (typeof groupCommit !== 'boolean')
    throw new InvalidArgumentError(`Option groupCommit is ${show(groupCommit)}: it must be true or false.`);
  if (!isObject(clock) || typeof clock.now !== 'function' || typeof clock.schedule !== 'function') {
    throw new InvalidArgumentError('Option clock must be an object with now() and schedule().');
  }
  if (onConnect !== undefined && typeof onConnect !== 'function')
    throw new InvalidArgumentError('Option onConnect must be a function.');
  return {
    driver,
    poolSize,
    minIdle,
    acquisitionTimeoutMs: number('acquisitionTimeoutMs'),
    groupCommit,
    // An in-memory database would be lost with its connection.
    idleTimeoutMs: driver.inMemory === true ? Infinity : idleTimeoutMs,
    operationTimeoutMs: number('operationTimeoutMs'),
    statementTimeoutMs: number('statementTimeoutMs'),
    closeTimeoutMs: number('closeTimeoutMs'),
    maxWaiting: number('maxWaiting'),
    maxLeaseMs: number('maxLeaseMs'),
    leakWarningMs: number('leakWarningMs'),
    validateAfterIdleMs: number('validateAfterIdleMs'),
    walLimitBytes: number('walLimitBytes'),
    onConnect,
    clock,
  };
}

function checkNumber(name: NumberOption, given: unknown): number {
  const rule = NUMBERS[name];
  if (given === undefined) return rule.default;
  // The Python original spells "no limit" as None and then fails on it; here null is a limit that is never reached.
  const value = given === null && rule.max === Infinity && /Ms$|Bytes$/.test(name) ? Infinity : given;
  const whole = rule.whole && value !== Infinity;
  if (
    typeof value === 'number' &&
    value >= rule.min &&
    value <= rule.max &&
    (!whole || Number.isInteger(value))
  )
    return value;
  throw new InvalidArgumentError(
    `Option ${name} is ${show(given)}: it must be a ${rule.whole ? 'whole number' : 'number'} from ${String(rule.min)} to ${String(rule.max)}.`,
  );
}

/** A value as a message can show it: short, and nothing of the inside of an object or a function. */
function show(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.slice(0, 40));
    case 'object':
      return value === null ? 'null' : 'an object';
    case 'function':
    case 'symbol':
      return `a ${typeof value}`;
    default:
      return String(value);
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function checkSize({ inMemory }: Driver, given: number | undefined, poolSize: number): number {
  if (inMemory !== true) return poolSize;
  if (given === undefined || poolSize === 1) return 1;
  throw new InvalidArgumentError(
    `Option poolSize is ${String(poolSize)}: an in-memory database takes 1, because each connection would be a database ` +
      'of its own (https://www.sqlite.org/inmemorydb.html). Use a file, in tests a temporary one, for more.',
  );
}

function driverOf(options: PoolOptions): Driver {
  const given = SOURCES.filter((name) => options[name] !== undefined);
  if (given.length !== 1) {
    throw new InvalidArgumentError(
      `Exactly one of filename, driver and connectionFactory is required, not ${given.length === 0 ? 'none' : given.join(' and ')}.`,
    );
  }
  const { filename, driver, connectionFactory } = options;
  if (filename !== undefined) {
    const { pragmas, statementCacheSize, threads, extensions, setup, readonly } = options;
    return nodeSqlite({ filename, pragmas, statementCacheSize, threads, extensions, setup, readonly });
  }
  for (const name of DRIVER_OPTIONS) {
    if (options[name] !== undefined) {
      throw new InvalidArgumentError(
        `Option ${name} belongs to the default driver: give it to the driver you chose.`,
      );
    }
  }
  if (driver !== undefined) return checkDriver(driver);
  if (typeof connectionFactory !== 'function')
    throw new InvalidArgumentError('Option connectionFactory must be a function.');
  // The pool completes what it opens.
  return { name: 'connectionFactory', open: async () => (await connectionFactory()) as Connection };
}

function checkDriver(driver: Driver): Driver {
  if (!isObject(driver) || typeof driver.open !== 'function' || typeof driver.name !== 'string') {
    throw new InvalidArgumentError('Option driver must be an object with a name and an open() method.');
  }
  if (driver.databaseId !== undefined && typeof driver.databaseId !== 'function') {
    throw new InvalidArgumentError('Option driver has a databaseId that is no function.');
  }
  if (driver.walBytes !== undefined && typeof driver.walBytes !== 'function') {
    throw new InvalidArgumentError('Option driver has a walBytes that is no function.');
  }
  return driver;
}
