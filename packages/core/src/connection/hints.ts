import type { ExecuteHint } from '../driver.ts';
import type { Call } from '../query/call.ts';

/** The hint for statements that begin or end a transaction. */
export const CONTROL: ExecuteHint = {
  rowMode: 'object',
  readonly: true,
  returnsRows: false,
  effect: 'none',
  urgency: 'control',
};

/** The hint for a health check. */
export const CHECK: ExecuteHint = { ...CONTROL, returnsRows: true };

/**
 * The hint for a caller's statement.
 *
 * @param anyHandle - Whether the driver may run it on another handle of the database.
 * @param locked - Whether the connection holds the write lock.
 */
export function hintOf(
  { statement, rowMode = 'object', urgency }: Call,
  anyHandle: boolean,
  locked: boolean,
): ExecuteHint {
  const { control, readonly, returnsRows, effect, taints } = statement;
  const own = control !== 'none' ? 'control' : readonly && !locked ? 'reader' : 'writer';
  return { rowMode, readonly, returnsRows, effect, urgency: urgency ?? own, unleased: anyHandle && !taints };
}
