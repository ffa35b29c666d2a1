import type { PoolSchedule } from './pool-schedule.ts';
import type { Schedule } from './schedule.ts';

/**
 * Schedules that failed once, as the fuzz runner printed them, each with what was wrong. They stay for ever: `pnpm test`
 * runs them all.
 */
export const ENGINE_REGRESSIONS: readonly { readonly title: string; readonly schedule: Schedule }[] = [
  {
    title: 'an acquire waited for an open that someone else had left behind, beside an idle resource',
    schedule: {
      settings: {
        poolSize: 2,
        minIdle: 0,
        maxWaiting: 0,
        idleTimeoutMs: 60,
        validateAfterIdleMs: 0,
        operationTimeoutMs: 100,
      },
      steps: [
        { do: 'acquire', timeoutMs: 20, abortable: false, tick: false },
        { do: 'acquire', timeoutMs: 20, abortable: false, tick: false },
        { do: 'openSucceeds', which: 0, tick: false },
        { do: 'advance', ms: 20, tick: false },
        { do: 'release', which: 0, tick: false },
        { do: 'acquire', timeoutMs: 20, abortable: false, tick: false },
      ],
    },
  },
];

/** The same for schedules on the whole pool. */
export const POOL_REGRESSIONS: readonly { readonly title: string; readonly schedule: PoolSchedule }[] = [
  {
    title:
      'a BEGIN that succeeded in the tick of its time-out left its transaction open on an idle connection',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: [],
      steps: [
        { do: 'get', timeoutMs: 20, tick: true },
        { do: 'transaction', timeoutMs: 20, tick: false },
        { do: 'abort', which: 1, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'jump', ms: 20, tick: false },
      ],
    },
  },
  {
    title: 'a use of a pool that was closed set a timer',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: [],
      steps: [
        { do: 'close', tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
      ],
    },
  },
  {
    title: 'a connection was closed while the return() of its cursor ran',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: ['hang', 'succeed', 'succeed', 'succeed', 'hang', 'succeed', 'succeed', 'succeed', 'hang'],
      steps: [
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'cursor', timeoutMs: 20, tick: false },
        { do: 'reject', which: 0, tick: false },
        { do: 'advance', ms: 3000, tick: false },
        { do: 'reject', which: 0, tick: false },
        { do: 'advance', ms: 1000, tick: false },
      ],
    },
  },
  {
    title: 'a write was acknowledged inside a transaction whose rollback had failed',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: ['succeed', 'interruptible', 'twice', 'hang'],
      steps: [
        { do: 'lease that goes on after a failed transaction', timeoutMs: 20, tick: false },
        { do: 'advance', ms: 1, tick: false },
        { do: 'reject', which: 0, tick: false },
      ],
    },
  },
  {
    title: 'a second end of a session made its close give up, and the connection stayed open unseen',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: ['succeed', 'succeed', 'hang', 'hang'],
      steps: [
        { do: 'failing transaction', timeoutMs: 20, tick: true },
        { do: 'resolve', which: 0, tick: false },
        { do: 'close', tick: false },
        { do: 'get', timeoutMs: 20, tick: true },
        { do: 'jump', ms: 1000, tick: false },
      ],
    },
  },
  {
    title: 'a transaction whose COMMIT was under way when close() gave up was said to be undone',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: ['hang', 'hang', 'twice', 'succeed', 'succeed', 'succeed', 'succeed', 'succeed', 'hang'],
      steps: [
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'advance', ms: 1000, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'advance', ms: 1, tick: false },
        { do: 'lease with a transaction', timeoutMs: 20, tick: false },
        { do: 'close', tick: false },
        { do: 'abort', which: 0, tick: true },
        { do: 'resolve', which: 5, tick: false },
        { do: 'abort', which: 0, tick: false },
        { do: 'abort', which: 0, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'abort', which: 0, tick: false },
        { do: 'jump', ms: 3000, tick: false },
      ],
    },
  },
  {
    title: 'a rollback that failed in the background let the next write of its lease into the transaction',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: ['hang', 'succeed', 'twice', 'succeed', 'succeed', 'hang', 'hang', 'hang'],
      steps: [
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'advance', ms: 1000, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'lease that goes on after a failed transaction', timeoutMs: 20, tick: false },
        { do: 'reject', which: 0, tick: false },
        { do: 'advance', ms: 1000, tick: false },
        { do: 'resolve', which: 0, tick: false },
        { do: 'get', timeoutMs: 20, tick: true },
        { do: 'reject', which: 3, tick: false },
      ],
    },
  },
  {
    title:
      'a write of a group was rejected by its limit in the tick in which its statement had returned, and was committed',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: [
        'hang',
        'hang',
        'succeed',
        'hang',
        'succeed',
        'twice',
        ...Array<'succeed'>(6).fill('succeed'),
        'hang',
      ],
      steps: [
        { do: 'failing transaction', timeoutMs: 20, tick: false },
        { do: 'run', timeoutMs: 20, tick: false },
        { do: 'evict', tick: false },
        { do: 'resolve', which: 0, tick: true },
        { do: 'resolve', which: 0, tick: false },
        { do: 'run', timeoutMs: 20, tick: false },
        { do: 'get', timeoutMs: 20, tick: true },
        { do: 'resolve', which: 0, tick: true },
        { do: 'resolve', which: 0, tick: false },
        { do: 'jump', ms: 20, tick: false },
      ],
    },
  },
  {
    title: 'a connection whose rollback had failed kept others from writing while it waited to be closed',
    schedule: {
      poolSize: 3,
      abilities: true,
      endings: [
        'succeed',
        'succeed',
        'succeed',
        'succeed',
        'succeed',
        'succeed',
        'hang',
        'succeed',
        'succeed',
        'succeed',
        'succeed',
        'succeed',
        'succeed',
        'hang',
        'hang',
        'succeed',
        'twice',
        'succeed',
        'hang',
        'succeed',
        'interruptible',
        'succeed',
        'hang',
        'succeed',
        'hang',
      ],
      steps: [
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'get', timeoutMs: 20, tick: true },
        { do: 'evict', tick: false },
        { do: 'reject', which: 0, tick: false },
        { do: 'advance', ms: 1000, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'reject', which: 0, tick: false },
        { do: 'reject', which: 0, tick: false },
        { do: 'nested transaction', timeoutMs: 20, tick: false },
        { do: 'advance', ms: 1, tick: false },
        { do: 'reject', which: 0, tick: true },
        { do: 'run', timeoutMs: 5000, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'advance', ms: 20, tick: false },
        { do: 'reject', which: 0, tick: false },
        { do: 'evict', tick: false },
        { do: 'abort', which: 1, tick: false },
        { do: 'nested transaction', timeoutMs: 5000, tick: true },
      ],
    },
  },
  {
    title: 'a connection whose rollback still ran got a second one when it was closed',
    schedule: {
      poolSize: 1,
      abilities: false,
      endings: ['succeed', 'succeed', 'twice', 'hang'],
      steps: [
        { do: 'lease with a forgotten transaction', timeoutMs: 20, tick: false },
        { do: 'advance', ms: 3000, tick: false },
        { do: 'get', timeoutMs: 20, tick: false },
        { do: 'advance', ms: 1, tick: false },
        { do: 'script', timeoutMs: 20, tick: false },
        { do: 'resolve', which: 0, tick: false },
      ],
    },
  },
];
