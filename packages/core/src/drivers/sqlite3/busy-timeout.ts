import { pragmaScript, scriptOf, type Pragmas } from '../pragmas.ts';

/**
 * How long one try sleeps in its thread of libuv, in milliseconds, while another process holds the lock. Short, because
 * the pool tries again, and waits in JavaScript for that.
 */
export const SHORT_BUSY_TIMEOUT_MS = 20;

/** The scripts that set up a new connection. */
export interface SetupScripts {
  /** Waits only briefly for locks, so that the open can be cancelled between two tries. */
  readonly first: string;
  /** Sets the final busy timeout, if it differs from the short one. */
  readonly last: string;
}

/** The scripts that set the recommended PRAGMAs and the busy timeout, overridden by the given PRAGMAs. */
export function setupScripts(pragmas: Pragmas | false): SetupScripts {
  if (pragmas === false) return { first: '', last: '' };
  const { busy_timeout = SHORT_BUSY_TIMEOUT_MS, ...others } = pragmas;
  if (busy_timeout === null) return { first: pragmaScript(others), last: '' };
  const own = scriptOf({ busy_timeout });
  const short = scriptOf({ busy_timeout: SHORT_BUSY_TIMEOUT_MS });
  return { first: `${short} ${pragmaScript(others)}`, last: own === short ? '' : own };
}
