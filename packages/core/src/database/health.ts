import type { Clock } from '../waiting/deadline.ts';
import { bounded, limitOf } from '../waiting/deadline.ts';
import { InvalidArgumentError, UnhealthyError } from '../errors.ts';

/**
 * Options of `health`.
 *
 * @example await pool.health({ write: true, timeoutMs: 500 });
 */
export interface HealthOptions {
  /** Whether to acquire the write lock as well: of the pool, and of SQLite. Changes nothing. Default: `false`. */
  readonly write?: boolean | undefined;
  /** The time limit in milliseconds for the whole check, waits included. Default: 1000. */
  readonly timeoutMs?: number | undefined;
}

/**
 * The answer of a pool that works. A pool that does not work rejects instead.
 *
 * @example const { latencyMs }: PoolHealth = await pool.health();
 */
export interface PoolHealth {
  readonly status: 'ok';
  readonly pool: string;
  /** How long the check took, in milliseconds. */
  readonly latencyMs: number;
  /** Whether the check acquired the write lock; `undefined` if it was not asked to. */
  readonly writable: true | undefined;
}

/** What a health check asks for. */
export interface HealthChecks {
  readonly clock: Clock;
  readonly pool: string;
  /** Reads from the file. */
  read(signal: AbortSignal): Promise<unknown>;
  /** Rejects if the file is gone. */
  file(): Promise<unknown>;
  /** Acquires the write lock, and releases it. */
  write(signal: AbortSignal): Promise<unknown>;
}

/** Makes the checks one after another, within one limit. */
export async function checkHealth(
  { clock, pool, ...checks }: HealthChecks,
  options: HealthOptions,
): Promise<PoolHealth> {
  const { write, timeoutMs } = checkHealthOptions(options);
  const since = clock.now();
  const tooLate = (): Error => new Error(`There was no answer in ${String(timeoutMs)} ms.`);
  const limit = limitOf(clock, timeoutMs, tooLate);
  const cancel = new AbortController();
  const step = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await bounded(work(), limit, (reason) => {
        cancel.abort(reason);
      });
    } catch (error) {
      throw new UnhealthyError(what, error);
    }
  };
  await step('A read failed', () => checks.read(cancel.signal));
  await step('The database file is gone', () => checks.file());
  if (write) await step('The write lock could not be acquired', () => checks.write(cancel.signal));
  return { status: 'ok', pool, latencyMs: clock.now() - since, writable: write || undefined };
}

function checkHealthOptions(options: HealthOptions): Required<{ write: boolean; timeoutMs: number }> {
  if (typeof (options as unknown) !== 'object' || (options as unknown) === null)
    throw new InvalidArgumentError('health() takes an object of options.');
  const { write = false, timeoutMs = 1000, ...rest } = options;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined)
    throw new InvalidArgumentError(`Unknown option "${unknown}". health() takes write and timeoutMs.`);
  if (typeof write !== 'boolean') throw new InvalidArgumentError('Option write must be true or false.');
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0))
    throw new InvalidArgumentError('Option timeoutMs must be a number of milliseconds greater than 0.');
  return { write, timeoutMs };
}
