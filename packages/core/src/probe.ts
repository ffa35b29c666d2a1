import { Cut, type CallQueue } from './call-queue.ts';
import type { Limit } from './deadline.ts';
import type { Connection } from './driver.ts';

/**
 * Asks whether a transaction is open, in a turn that the caller has. A driver that cannot tell is told to begin one, which
 * SQLite refuses inside another.
 *
 * If it is cut, that BEGIN may succeed later, and would then be taken for the user's: the connection must not be used
 * again.
 */
export async function probe(connection: Connection, calls: CallQueue, limit: Limit): Promise<boolean> {
  if (connection.inTransaction !== undefined) {
    return await calls.call(async () => (await connection.inTransaction?.()) === true, limit, 'operation');
  }
  try {
    await calls.call(() => connection.execute('BEGIN'), limit, 'operation');
  } catch (error) {
    if (error instanceof Cut) throw error;
    return true;
  }
  await calls.call(() => connection.rollback(), limit, 'operation');
  return false;
}
