import { noteSql, UnsupportedError } from '../errors.ts';
import type { CallOptions, Script } from '../query/call.ts';
import { isAllOrNothing } from '../query/sql.ts';
import type { Limit } from '../waiting/deadline.ts';
import { statementLimit, type TimeSettings } from '../waiting/limits.ts';
import { asThrown, Cancelled } from './call-queue.ts';
import { asFarAsKnown, outcomeOf } from './outcome.ts';
import type { Statements } from './statements.ts';

/** Runs a script with the lock of its connection. If it fails, rolls back a transaction that the script has opened. */
export function runScript(
  statements: Statements,
  { sql, statements: parts }: Script,
  { signal, timeoutMs, operation }: CallOptions,
  settings: TimeSettings,
): Promise<void> {
  const { connection, calls, transaction } = statements;
  const limit = statementLimit(settings, timeoutMs, signal);
  let isOurs = false;
  const work = async (): Promise<void> => {
    const run = connection.script?.bind(connection);
    if (run === undefined) throw new UnsupportedError('This connection runs no scripts: it has no script().');
    const outside = !transaction.isOpen;
    if (operation !== undefined) statements.observe(operation);
    for (const statement of parts) await statements.prepare(statement, limit);
    // A script with transaction control can leave a transaction open wherever it stops.
    const controls = parts.some(({ control }) => control !== 'none');
    statements.sent = sql;
    const commits = (outside || controls) && parts.some(({ readonly }) => !readonly);
    try {
      await calls
        .call(() => run(sql), limit)
        .catch(async (error: unknown) => {
          if (!commits) throw error;
          if (!isAllOrNothing(parts)) throw asFarAsKnown(error);
          await outcomeOf(error, settings.clock);
        });
    } catch (error) {
      transaction.failed(controls ? 'script' : 'none', error instanceof Cancelled, error);
      isOurs = outside;
      throw error;
    }
    if (controls) transaction.scripted();
    else transaction.touched();
    await statements.confirm(commits);
  };
  const done = withLockOrUndone(statements, limit, work, async () => {
    if (isOurs) await statements.rollback();
  });
  return done.catch((error: unknown) => Promise.reject(noteSql(error, sql)));
}

/**
 * Runs `work` with the lock. If it fails, runs `undo` under the same lock, so that the next call does not find half
 * of the work.
 */
async function withLockOrUndone<T>(
  statements: Statements,
  limit: Limit | undefined,
  work: () => Promise<T>,
  undo: () => Promise<void>,
): Promise<T> {
  await statements.calls.acquire(limit);
  let undone: Promise<void> | undefined;
  try {
    return await work();
  } catch (error) {
    undone = undo().catch((reason: unknown) => {
      statements.undoFailed(reason);
    });
    // After a cancellation the caller does not wait for the undo, but the connection keeps the lock until the undo is
    // done.
    if (!(error instanceof Cancelled)) await undone;
    throw asThrown(error);
  } finally {
    if (undone === undefined) statements.calls.release();
    else {
      void undone.then(() => {
        statements.calls.release();
      });
    }
  }
}
