import { checkpointChannel } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import type { Result } from '../driver.ts';
import { InvalidArgumentError, OutcomeUnknownError } from '../errors.ts';
import { checkCallOptions, type Call } from '../query/call.ts';
import type { QueryOptions } from '../query/queryable.ts';
import { parse } from '../query/sql.ts';

/**
 * How far a checkpoint goes (https://www.sqlite.org/pragma.html#pragma_wal_checkpoint).
 *
 * - `passive` writes back the pages that no reader needs. No caller waits for it.
 * - `full` waits for the write lock, and for older readers as long as the busy timeout.
 * - `restart` also waits for all readers, so that the next write begins the WAL anew.
 * - `truncate` does the same, and truncates the WAL file to zero bytes.
 *
 * @example const mode: CheckpointMode = 'truncate';
 */
export type CheckpointMode = 'passive' | 'full' | 'restart' | 'truncate';

/**
 * Options of `checkpoint`.
 *
 * @example await pool.checkpoint({ mode: 'truncate', timeoutMs: 5000 });
 */
export interface CheckpointOptions extends QueryOptions {
  /** Default: `passive`. */
  readonly mode?: CheckpointMode | undefined;
}

/**
 * The result of a checkpoint. Both numbers are -1 if the database is not in WAL mode, or if the checkpoint could not
 * begin.
 *
 * @example const { busy, walPages, checkpointedPages }: CheckpointResult = await pool.checkpoint();
 */
export interface CheckpointResult {
  /**
   * Whether another user of the file kept the checkpoint from finishing: a reader or a writer of another process, or
   * another checkpoint.
   */
  readonly busy: boolean;
  /** The number of pages in the WAL; 0 after a `truncate`. */
  readonly walPages: number;
  /** The number of these pages that are in the database file. */
  readonly checkpointedPages: number;
}

const MODES: ReadonlySet<unknown> = new Set(['passive', 'full', 'restart', 'truncate']);

/** The call that makes a checkpoint. Throws if the options are invalid. */
export function checkpointCall(options: CheckpointOptions): Call {
  checkCallOptions(options, 'mode');
  const { mode = 'passive', signal, timeoutMs } = options;
  if (!MODES.has(mode))
    throw new InvalidArgumentError(`mode must be 'passive', 'full', 'restart' or 'truncate'.`);
  // Every mode but `passive` takes the lock that writers need.
  const statement = { ...parse(`PRAGMA wal_checkpoint(${mode})`), readonly: mode === 'passive' };
  return { statement, values: [], signal, timeoutMs, urgency: 'writer' };
}

/** A failed checkpoint. How far it came makes no difference to a caller, so the outcome is not reported as unknown. */
export function checkpointFailure(error: unknown): never {
  throw error instanceof OutcomeUnknownError ? error.cause : error;
}

/** Converts SQLite's answer. */
export function checkpointResult({ rows: [row] }: Result): CheckpointResult {
  const { busy, log: walPages, checkpointed: checkpointedPages } = row ?? NOTHING;
  return { busy: busy !== 0, walPages: Number(walPages), checkpointedPages: Number(checkpointedPages) };
}

/** For a driver that answers the PRAGMA with no row. */
const NOTHING = { busy: 0, log: -1, checkpointed: -1 };

/** Makes a checkpoint, and reports it. */
export async function reportCheckpoint(
  { clock, source }: Observer,
  mode: CheckpointMode,
  walBytes: number,
  make: () => Promise<CheckpointResult>,
): Promise<CheckpointResult> {
  if (!checkpointChannel.hasSubscribers) return await make();
  const since = clock.now();
  const result = await make();
  const { busy } = result;
  checkpointChannel.publish({ ...source, mode, busy, walBytes, durationMs: clock.now() - since });
  return result;
}
