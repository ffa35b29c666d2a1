import { InvalidArgumentError } from '../errors.ts';
import type { PoolOptions } from '../options.ts';
import { createPool, type SqlitePool } from '../pool.ts';
import type { LeaseMode } from './request-db.ts';

/**
 * The options of the plugins in addition to the options of a pool.
 *
 * @example const options: RequestOptions = { lease: 'statement', name: 'audit' };
 */
export interface RequestOptions<Name extends string = string> {
  /**
   * - `request` (the default): a request keeps one connection from its first statement until its response begins,
   *   unless other callers need it between two statements.
   * - `statement`: a request acquires a lease for each statement, transaction or cursor.
   */
  readonly lease?: LeaseMode | undefined;
  /** The name of the handle on the request, for a second database. Default: `db`. */
  readonly name?: Name | undefined;
  /**
   * How long, in milliseconds, a handler may go on after its client has left. The handler of a GET, HEAD or OPTIONS may
   * not go on. Default: 30 000.
   */
  readonly disconnectGraceMs?: number | undefined;
}

/**
 * An existing pool. The plugin closes it with the application only if `closePool` is set.
 *
 * @example const options: ExistingPool = { pool: createPool({ filename: 'app.db' }), closePool: true };
 */
export interface ExistingPool {
  readonly pool: SqlitePool;
  /** Default: false. */
  readonly closePool?: boolean | undefined;
}

type Without<Options> = { readonly [Name in keyof Options]?: undefined };

/**
 * The options of every plugin: those of a pool, or an existing pool.
 *
 * @example const options: PluginOptions = { filename: 'app.db', lease: 'statement' };
 */
export type PluginOptions<Name extends string = string> = RequestOptions<Name> &
  ((PoolOptions & Without<ExistingPool>) | (ExistingPool & Without<PoolOptions>));

/**
 * The options of a plugin, checked and complete.
 *
 * @example const { pool, closesPool, mode, name, disconnectGraceMs }: PluginSettings = pluginSettings(options);
 */
export interface PluginSettings {
  readonly pool: SqlitePool;
  /** Whether the plugin closes the pool. */
  readonly closesPool: boolean;
  readonly mode: LeaseMode;
  readonly name: string;
  readonly disconnectGraceMs: number;
}

/** The options as the user wrote them, unchecked. */
type Given = Partial<Record<keyof RequestOptions | keyof ExistingPool, unknown>>;

const OWN_OPTIONS: ReadonlySet<string> = new Set(['lease', 'name', 'disconnectGraceMs', 'pool', 'closePool']);

/**
 * Checks the options of a plugin. Makes a pool, unless the options contain one. Does not change the options object.
 *
 * Throws `InvalidArgumentError` for an option that is unknown or invalid.
 *
 * @param options - The options as the user wrote them.
 * @param defaults - Options of a pool that the framework knows better than the user.
 * @example const { pool, closesPool, mode, name, disconnectGraceMs } = pluginSettings({ filename: 'app.db' });
 */
export function pluginSettings(
  options: PluginOptions,
  defaults: Pick<PoolOptions, 'logger'> = {},
): PluginSettings {
  const given: unknown = options;
  if (typeof given !== 'object' || given === null) {
    throw new InvalidArgumentError('The options of the plugin must be an object.');
  }
  return { ...requestSettings(given), ...poolOf(given, defaults) };
}

function requestSettings(given: Given): Pick<PluginSettings, 'mode' | 'name' | 'disconnectGraceMs'> {
  const { lease: mode = 'request', name = 'db', disconnectGraceMs = 30_000 } = given;
  if (mode !== 'request' && mode !== 'statement') {
    throw new InvalidArgumentError("Option lease must be 'request' or 'statement'.");
  }
  if (typeof name !== 'string' || !/^[a-z_$][\w$]*$/i.test(name)) {
    throw new InvalidArgumentError('Option name must be an identifier, like "db".');
  }
  if (typeof disconnectGraceMs !== 'number' || !(disconnectGraceMs >= 0)) {
    throw new InvalidArgumentError('Option disconnectGraceMs must be a number of milliseconds from 0.');
  }
  return { mode, name, disconnectGraceMs };
}

function poolOf(given: Given, defaults: PoolOptions): Pick<PluginSettings, 'pool' | 'closesPool'> {
  const { pool, closePool } = given;
  const rest = Object.entries(given).filter(([key]) => !OWN_OPTIONS.has(key));
  if (pool === undefined) {
    if (closePool !== undefined) {
      throw new InvalidArgumentError(
        'Option closePool belongs to option pool; a pool of its own the plugin always closes.',
      );
    }
    return { pool: createPool({ ...defaults, ...Object.fromEntries(rest) }), closesPool: true };
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

/** Not instanceof: the ESM and the CommonJS copy of this package each have their own class. */
function isPool(value: unknown): value is SqlitePool {
  return typeof (value as Partial<SqlitePool> | null)?.acquire === 'function';
}
