import type { Clock } from '../../src/index.ts';
import { Observer } from '../../src/diagnostics/observer.ts';

/** An observer of a pool that nobody listens to. */
export function observerOf(clock: Clock): Observer {
  return new Observer(
    {},
    { clock, poolName: 'test', driver: { name: 'fake' }, slowStatementMs: Infinity, logger: undefined },
  );
}
