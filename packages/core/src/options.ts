import { LONGEST_DELAY_MS, systemClock, type Clock } from './waiting/deadline.ts';
import type { BasicConnection, Connection, Driver } from './driver.ts';
import type { Logger } from './diagnostics/logger.ts';
import type { Pragmas } from './drivers/pragmas.ts';
import { InvalidArgumentError } from './errors.ts';
import { nodeSqlite } from './drivers/worker/node-sqlite.ts';

/**
 * How the pool opens connections: exactly one of the three.
 *
 * @example const source: PoolSource = { filename: 'app.db' };
 */
export interface PoolSource {
  /**
   * The path of a database file (or `:memory:`, with one connection). The pool opens it with `node:sqlite` on worker
   * threads.
   */
  readonly filename?: string | undefined;
  /** A driver. */
  readonly driver?: Driver | undefined;
  /** Opens one connection: any object with `execute`, `rollback` and `close`; see {@link Connection}. */
  readonly connectionFactory?: (() => BasicConnection | Promise<BasicConnection>) | undefined;
}

/**
 * The options of a pool. Times are in milliseconds. Where the type allows `null`, it means no limit, as `Infinity`
 * does.
 *
 * @example const options: PoolOptions = { filename: 'app.db', poolSize: 4, statementTimeoutMs: 5000 };
 */
export interface PoolOptions extends PoolSource {
  /** The largest number of connections. Default: 10; 1 for `:memory:`. */
  readonly poolSize?: number | undefined;
  /** The longest wait for a connection, and for the write lock. Default: 30 000. */
  readonly acquireTimeoutMs?: number | null | undefined;
  /** The same as `acquireTimeoutMs`, under its name in Python's aiosqlitepool. */
  readonly acquisitionTimeoutMs?: number | null | undefined;
  /** The pool closes a connection that was idle for longer than this. Default: 86 400 000 (a day). */
  readonly idleTimeoutMs?: number | null | undefined;
  /**
   * Whether single writes that wait for the write lock at the same time share a COMMIT. Each is acknowledged after the
   * COMMIT. Apart from timing, the outcome of each write is the same as if it had run alone. Default: `true`.
   */
  readonly groupCommit?: boolean | undefined;
  /** The longest time for an open, a health check, a reset, a rollback, a COMMIT or a close. Default: 10 000. */
  readonly operationTimeoutMs?: number | undefined;
  /** The longest time for a statement after it has its connection, if the call sets no `timeoutMs`. Default: no limit. */
  readonly statementTimeoutMs?: number | null | undefined;
  /** How long `close()` waits for the release of the leases before it interrupts and revokes them. Default: 10 000. */
  readonly closeTimeoutMs?: number | null | undefined;
  /** The number of idle connections to keep open. Default: 0. */
  readonly minIdle?: number | undefined;
  /**
   * The number of acquires that may queue, and of calls on one lease or transaction. The pool refuses one more at once.
   * Default: 1000.
   */
  readonly maxWaiting?: number | undefined;
  /** The pool revokes a lease that is older than this, also that of a `transaction()` on the pool. Default: no limit. */
  readonly maxLeaseMs?: number | null | undefined;
  /** The pool warns, with the stack of the acquire, when a lease is older than this. Default: no limit, no warning. */
  readonly leakWarningMs?: number | null | undefined;
  /**
   * The pool checks a connection that was idle for longer than this before it leases it. 0 is always, `Infinity` or
   * `null` never. Default: the driver's; 500 for files.
   */
  readonly validateAfterIdleMs?: number | null | undefined;
  /**
   * The size of the WAL, in bytes, above which the pool writes it back by itself; `Infinity` or `null` never. Default:
   * 16 777 216 (16 MiB).
   */
  readonly walLimitBytes?: number | null | undefined;
  /** PRAGMAs of the default driver, which override its own; `false` sets none. Only with `filename`. */
  readonly pragmas?: Pragmas | false | undefined;
  /**
   * The number of prepared statements that the default driver keeps per connection; 0 is off. Default: 256. Only with
   * `filename`.
   */
  readonly statementCacheSize?: number | undefined;
  /**
   * The largest number of threads on which the default driver runs SQLite. Default: one per core, at most 4. Only with
   * `filename`.
   */
  readonly threads?: number | undefined;
  /** Paths of SQLite extensions that each new connection loads. Only with `filename`. */
  readonly extensions?: readonly string[] | undefined;
  /**
   * The URL or absolute path of a module. Its default export is called with each new database object of `node:sqlite`,
   * in the thread of that database, to register functions for example. Only with `filename`.
   */
  readonly setup?: URL | string | undefined;
  /** Opens the file read-only. The file must exist. Default: `false`. Only with `filename`. */
  readonly readonly?: boolean | undefined;
  /**
   * Runs on each new connection before it is used: ATTACH, for example. It must not use the pool, because the pool
   * waits for it.
   */
  readonly onConnect?: ((connection: Connection) => void | Promise<void>) | undefined;
  /** The name of the pool in logs, traces and metrics. Default: the name of the database, or `sqlite`. */
  readonly poolName?: string | undefined;
  /**
   * The pool reports a call that took this long or longer, with its waits: to `logger`, else as a warning of the process.
   * Default: no limit, no report.
   */
  readonly slowStatementMs?: number | null | undefined;
  /** Where warnings go: pino, `console`, or any object with `debug` and `warn`. Default: warnings of the process. */
  readonly logger?: Logger | undefined;
  /** The clock, for tests. Default: the clock of the machine. */
  readonly clock?: Clock | undefined;
}

/** The options of a pool, checked and complete. */
export interface Settings {
  readonly driver: Driver;
  readonly poolSize: number;
  readonly acquireTimeoutMs: number;
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
  readonly poolName: string;
  readonly slowStatementMs: number;
  readonly logger: Logger | undefined;
  readonly clock: Clock;
}

/** The numeric options: the default, the bounds, and whether the value must be an integer. */
const NUMBERS = {
  poolSize: { default: 10, min: 1, max: 1024, whole: true },
  acquireTimeoutMs: { default: 30_000, min: 1, max: Infinity, whole: false },
  idleTimeoutMs: { default: 86_400_000, min: 1, max: Infinity, whole: false },
  operationTimeoutMs: { default: 10_000, min: 1, max: LONGEST_DELAY_MS, whole: false },
  statementTimeoutMs: { default: Infinity, min: 1, max: Infinity, whole: false },
  closeTimeoutMs: { default: 10_000, min: 0, max: Infinity, whole: false },
  minIdle: { default: 0, min: 0, max: 1024, whole: true },
  maxWaiting: { default: 1000, min: 0, max: Infinity, whole: true },
  maxLeaseMs: { default: Infinity, min: 1, max: Infinity, whole: false },
  leakWarningMs: { default: Infinity, min: 1, max: Infinity, whole: false },
  slowStatementMs: { default: Infinity, min: 0, max: Infinity, whole: false },
  validateAfterIdleMs: { default: 500, min: 0, max: Infinity, whole: false },
  // Four times the size at which SQLite itself makes a checkpoint:
  // https://www.sqlite.org/pragma.html#pragma_wal_autocheckpoint
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
/** Another name of `acquireTimeoutMs`. */
const ALIAS = 'acquisitionTimeoutMs';

/** The name of every option of a pool. */
export const POOL_OPTIONS: ReadonlySet<string> = new Set([
  ...Object.keys(NUMBERS),
  ...SOURCES,
  ...DRIVER_OPTIONS,
  ALIAS,
  'groupCommit',
  'onConnect',
  'poolName',
  'logger',
  'clock',
]);

/** Checks all options and fills in the defaults. */
export function checkOptions(options: PoolOptions): Settings {
  checkNames(options);
  const driver = driverOf(options);
  const numbers = checkNumbers(options, driver);
  const poolSize = checkSize(driver, options.poolSize, numbers.poolSize);
  if (numbers.minIdle > poolSize) {
    throw new InvalidArgumentError(
      `Option minIdle is ${String(numbers.minIdle)}: it must be at most poolSize (${String(poolSize)}).`,
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
    ...numbers,
    driver,
    poolSize,
    groupCommit,
    // An in-memory database would be lost with its connection.
    idleTimeoutMs: driver.inMemory === true ? Infinity : numbers.idleTimeoutMs,
    onConnect,
    ...checkObserver(options, driver),
    clock,
  };
}

function checkNames(options: PoolOptions): void {
  if (!isObject(options)) throw new InvalidArgumentError('The options of a pool must be an object.');
  for (const name of Object.keys(options)) {
    if (POOL_OPTIONS.has(name)) continue;
    throw new InvalidArgumentError(
      // The pool itself accepted this option while sqlite3 was the default driver.
      name === 'maxValueBytes'
        ? 'Option maxValueBytes belongs to the sqlite3 driver: driver: sqlite3({ filename, maxValueBytes }).'
        : `Unknown option "${name}". Known are: ${[...POOL_OPTIONS].join(', ')}.`,
    );
  }
  if (options[ALIAS] !== undefined && options.acquireTimeoutMs !== undefined)
    throw new InvalidArgumentError(`Option ${ALIAS} is another name of acquireTimeoutMs: set one of them.`);
}

function checkNumbers(options: PoolOptions, { defaults }: Driver): Pick<Settings, NumberOption> {
  const given = (name: NumberOption): unknown => {
    if (options[name] !== undefined) return options[name];
    if (name === 'acquireTimeoutMs') return options[ALIAS];
    return name === 'validateAfterIdleMs' ? defaults?.validateAfterIdleMs : undefined;
  };
  const names = Object.keys(NUMBERS) as NumberOption[];
  const numbers = names.map((name) => [name, checkNumber(name, given(name))] as const);
  return Object.fromEntries(numbers) as Pick<Settings, NumberOption>;
}

function checkObserver(options: PoolOptions, { database }: Driver): Pick<Settings, 'poolName' | 'logger'> {
  const { poolName = database ?? 'sqlite', logger } = options;
  if (typeof poolName !== 'string' || poolName === '')
    throw new InvalidArgumentError(
      `Option poolName is ${show(poolName)}: it must be a text that is not empty.`,
    );
  if (logger !== undefined && !isLogger(logger))
    throw new InvalidArgumentError('Option logger must be an object with debug() and warn().');
  return { poolName, logger };
}

function isLogger(value: unknown): value is Logger {
  const { debug, warn } = (value ?? {}) as Partial<Record<keyof Logger, unknown>>;
  return typeof debug === 'function' && typeof warn === 'function';
}

function checkNumber(name: NumberOption, given: unknown): number {
  const rule = NUMBERS[name];
  if (given === undefined) return rule.default;
  // The Python original writes "no limit" as None, and then fails on it. Here null is a limit that is never reached.
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

/** A short text for a value in a message. It shows nothing of the contents of an object or a function. */
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
  // The pool adds the methods that are missing.
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
