import type { Result } from '../driver.ts';
import { InvalidArgumentError, OutcomeUnknownError } from '../errors.ts';
import { checkCallOptions, type Call, type QueryOptions } from '../query/queryable.ts';
import { parse } from '../query/sql.ts';

/**
 * How far a checkpoint goes (https://www.sqlite.org/pragma.html#pragma_wal_checkpoint). `passive` writes back what no reader
 * needs, and keeps nobody waiting. `full` waits for its turn to write, and for older readers as long as the busy timeout.
 * `restart` waits for all readers too, so that the next write begins the WAL anew; `truncate` cuts its file to nothing.
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
 * How far a checkpoint came. Both numbers are -1 for a database that is not in WAL mode, or if nothing could be begun.
 *
 * @example const { busy, walPages, checkpointedPages }: CheckpointResult = await pool.checkpoint();
 */
export interface CheckpointResult {
  /** Whether someone kept it from being done: a reader or a writer of another process, or another checkpoint. */
  readonly busy: boolean;
  /** The pages in the WAL; 0 after a `truncate`. */
  readonly walPages: number;
  /** How many of them are in the database file. */
  readonly checkpointedPages: number;
}

const MODES: ReadonlySet<unknown> = new Set(['passive', 'full', 'restart', 'truncate']);

/** The call that makes a checkpoint. Throws if its options are wrong. */
export function checkpointCall(options: CheckpointOptions): Call {
  checkCallOptions(options, 'mode');
  const { mode = 'passive', signal, timeoutMs } = options;
  if (!MODES.has(mode))
    throw new InvalidArgumentError(`mode must be 'passive', 'full', 'restart' or 'truncate'.`);
  // All but `passive` take the lock that writers need.
  const statement = { ...parse(`PRAGMA wal_checkpoint(${mode})`), readonly: mode === 'passive' };
  return { statement, values: [], signal, timeoutMs, urgency: 'writer' };
}

/** It has failed. How far it came makes no difference to anyone. */
export function checkpointFailure(error: unknown): never {
  throw error instanceof OutcomeUnknownError ? error.cause : error;
}

/** What SQLite has answered. */
export function checkpointResult({ rows: [row] }: Result): CheckpointResult {
  const { busy, log: walPages, checkpointed: checkpointedPages } = row ?? NOTHING;
  return { busy: busy !== 0, walPages: Number(walPages), checkpointedPages: Number(checkpointedPages) };
}

/** For a driver that answers the PRAGMA with no row. */
const NOTHING = { busy: 0, log: -1, checkpointed: -1 };
