import { InvalidArgumentError } from '../errors.ts';
import type { PoolOptions } from '../options.ts';
import { createPool, type SqlitePool } from '../pool.ts';
import type { LeaseMode } from './request-lease.ts';

/**
 * What the plugins take besides the options of a pool.
 *
 * @example const options: RequestOptions = { lease: 'statement', name: 'audit' };
 */
export interface RequestOptions<Name extends string = string> {
  /**
   * `request` (the default): a request keeps one connection from its first statement until its response begins, unless
   * others need it between two statements.
   * `statement`: it leases one for each statement, transaction or cursor.
   */
  readonly lease?: LeaseMode | undefined;
  /** The name of a request's handle, for a second database. Default `db`. */
  readonly name?: Name | undefined;
  /**
   * How long, in milliseconds, a handler may go on after its client has left; that of a GET, HEAD or OPTIONS may not.
   * Default 30 000.
   */
  readonly graceMs?: number | undefined;
}

/**
 * A pool that exists already; it is closed with the application only with `closePool`.
 *
 * @example const options: ExistingPool = { pool: createPool({ filename: 'app.db' }), closePool: true };
 */
export interface ExistingPool {
  readonly pool: SqlitePool;
  /** Default false. */
  readonly closePool?: boolean | undefined;
}

type Without<Options> = { readonly [Name in keyof Options]?: undefined };

/**
 * The options of every plugin: those of a pool, or an existing one.
 *
 * @example const options: PluginOptions = { filename: 'app.db', lease: 'statement' };
 */
export type PluginOptions<Name extends string = string> = RequestOptions<Name> &
  ((PoolOptions & Without<ExistingPool>) | (ExistingPool & Without<PoolOptions>));

/**
 * A plugin's options, checked and complete.
 *
 * @example const { pool, closesPool, mode, name, graceMs }: PluginSettings = pluginSettings(options);
 */
export interface PluginSettings {
  readonly pool: SqlitePool;
  /** Whether the plugin closes the pool. */
  readonly closesPool: boolean;
  readonly mode: LeaseMode;
  readonly name: string;
  readonly graceMs: number;
}

/** What a user may have written, whatever its type. */
type Given = Partial<Record<keyof RequestOptions | keyof ExistingPool, unknown>>;

const OWN_OPTIONS: ReadonlySet<string> = new Set(['lease', 'name', 'graceMs', 'pool', 'closePool']);

/**
 * Checks a plugin's options, and makes its pool unless it was given one. The object itself stays as it is.
 *
 * Throws `InvalidArgumentError` for an option that is unknown or cannot work.
 *
 * @example const { pool, closesPool, mode, name, graceMs } = pluginSettings({ filename: 'app.db' });
 */
export function pluginSettings(options: PluginOptions): PluginSettings {
  const given: unknown = options;
  if (typeof given !== 'object' || given === null) {
    throw new InvalidArgumentError('The options of the plugin must be an object.');
  }
  return { ...requestSettings(given), ...poolOf(given) };
}

function requestSettings(given: Given): Pick<PluginSettings, 'mode' | 'name' | 'graceMs'> {
  const { lease: mode = 'request', name = 'db', graceMs = 30_000 } = given;
  if (mode !== 'request' && mode !== 'statement') {
    throw new InvalidArgumentError("Option lease must be 'request' or 'statement'.");
  }
  if (typeof name !== 'string' || !/^[a-z_$][\w$]*$/i.test(name)) {
    throw new InvalidArgumentError('Option name must be an identifier, like "db".');
  }
  if (typeof graceMs !== 'number' || !(graceMs >= 0)) {
    throw new InvalidArgumentError('Option graceMs must be a number of milliseconds from 0.');
  }
  return { mode, name, graceMs };
}

function poolOf(given: Given): Pick<PluginSettings, 'pool' | 'closesPool'> {
  const { pool, closePool } = given;
  const rest = Object.entries(given).filter(([key]) => !OWN_OPTIONS.has(key));
  if (pool === undefined) {
    if (closePool !== undefined) {
      throw new InvalidArgumentError(
        'Option closePool belongs to option pool; a pool of its own the plugin always closes.',
      );
    }
    return { pool: createPool(Object.fromEntries(rest)), closesPool: true };
  }
  if (!isPool(pool)) throw new InvalidArgumentError('Option pool must be a pool made by createPool().');
  if (closePool !== undefined && typeof closePool !== 'boolean') {
    throw new InvalidArgumentError('Option closePool must be true or false.');
  }
  const [extra] = rest;
  if (extra !== undefined) {
    throw new InvalidArgumentError(
      `Option "${extra[0]}" is unknown, or cannot be set on a pool that exists already.`,
    );
  }
  return { pool, closesPool: closePool === true };
}

/** Not instanceof: the ESM and the CommonJS copy of this package have a class each. */
function isPool(value: unknown): value is SqlitePool {
  return typeof (value as Partial<SqlitePool> | null)?.acquire === 'function';
}
