import { ANSWERS, KEEP_ALIVE } from './plugin/answers.ts';
import type { PluginCase } from './plugin/contract.ts';
import { DISCONNECTS } from './plugin/disconnects.ts';
import { ERRORS } from './plugin/errors.ts';
import { HOOKS } from './plugin/hooks.ts';
import { PROTOCOLS } from './plugin/protocols.ts';
import { SIGHT } from './plugin/sight.ts';
import { SLOW_CLIENTS } from './plugin/slow-clients.ts';
import { STARTUP } from './plugin/startup.ts';
import { STREAMS } from './plugin/streams.ts';
import { TRANSACTIONS } from './plugin/transactions.ts';
import { ZOMBIES } from './plugin/zombies.ts';

/**
 * The cases for everything that users of a web framework rely on in a plugin of the pool. Any test runner can loop over
 * them. They use real sockets on 127.0.0.1, and real database files in the temporary directory of the machine, which
 * they remove. After each case, the pool must be whole, it must answer the next request, and no listener may be left.
 * `docs/testing.md` has a complete `start`.
 *
 * @example
 * import { pluginCases, type PluginAbility } from '@sqlite-pool/core/testing';
 *
 * const can: readonly PluginAbility[] = ['hijack'];
 * for (const { title, needs, run } of pluginCases) {
 *   const lacks = needs.filter((need) => !can.includes(need));
 *   test(title, { skip: lacks.length > 0 && `does not apply: ${lacks.join()}` }, () => run(start));
 * }
 */
export const pluginCases: readonly PluginCase[] = [
  ...ANSWERS,
  ...ERRORS,
  ...HOOKS,
  ...STREAMS,
  ...TRANSACTIONS,
  ...DISCONNECTS,
  ...ZOMBIES,
  ...SLOW_CLIENTS,
  ...KEEP_ALIVE,
  ...PROTOCOLS,
  ...STARTUP,
  ...SIGHT,
];
