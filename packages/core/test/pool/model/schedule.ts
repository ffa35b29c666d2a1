import fc from 'fast-check';
import { Ledger, type ModelSettings } from './ledger.ts';

/** One step of a schedule: plain data, so that a schedule that failed can be kept as it is. */
type Step =
  | {
      readonly do: 'acquire';
      readonly timeoutMs: number;
      readonly abortable: boolean;
      readonly tick: boolean;
    }
  | { readonly do: StepOnOne; readonly which: number; readonly tick: boolean }
  | { readonly do: 'advance' | 'jump'; readonly ms: number; readonly tick: boolean }
  | { readonly do: 'evict' | 'sweep' | 'close' | 'giveUp'; readonly tick: boolean };

/** Steps on one of several: a lease, a waiter or a call under way. */
type StepOnOne =
  | 'release'
  | 'discard'
  | 'abort'
  | 'openSucceeds'
  | 'openFails'
  | 'validateSucceeds'
  | 'validateFails'
  | 'closeSucceeds'
  | 'closeFails';

/** A whole run. */
export interface Schedule {
  readonly settings: ModelSettings;
  readonly steps: readonly Step[];
}

const OPERATION_TIMEOUT_MS = 100;

/** `tick`: whether promises settle before the next step. Without it two steps fall into one tick: that is where races are. */
const tick = fc.boolean();
const which = fc.nat(5);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('acquire' as const),
      timeoutMs: fc.constantFrom(20, 50, 150, Infinity),
      abortable: fc.boolean(),
      tick,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constantFrom('release', 'openSucceeds', 'closeSucceeds'), which, tick }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('validateSucceeds', 'validateFails', 'abort'), which, tick }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('discard', 'openFails', 'closeFails'), which, tick }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('advance', 'jump'),
      ms: fc.constantFrom(1, 20, 50, 100, 300),
      tick,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('evict', 'sweep'), tick }) },
);

const ending: fc.Arbitrary<Step> = fc.record({ do: fc.constantFrom('close', 'giveUp'), tick });

/** Schedules of up to `length` steps, some of which close the pool on the way. */
export function schedules(length: number): fc.Arbitrary<Schedule> {
  const open = fc.array(step, { maxLength: length, size: 'max' });
  const closing = fc.array(fc.oneof({ weight: 8, arbitrary: step }, { weight: 1, arbitrary: ending }), {
    maxLength: length,
  });
  return fc.record({
    settings: fc.record({
      poolSize: fc.integer({ min: 1, max: 4 }),
      minIdle: fc.constantFrom(0, 0, 1),
      maxWaiting: fc.constantFrom(0, 2, 1000),
      idleTimeoutMs: fc.constantFrom(60, 1000, Infinity),
      validateAfterIdleMs: fc.constantFrom(0, 30, Infinity),
      operationTimeoutMs: fc.constant(OPERATION_TIMEOUT_MS),
    }),
    steps: fc.oneof({ weight: 3, arbitrary: open }, { weight: 2, arbitrary: closing }),
  });
}

/** Runs a schedule; rejects at the first step after which something does not hold. */
export async function run({ settings, steps }: Schedule): Promise<void> {
  const ledger = new Ledger(settings);
  for (const next of steps) {
    await apply(ledger, next);
    ledger.checkNow();
    if (!next.tick) continue;
    await ledger.clock.settle();
    ledger.checkSettled();
  }
  await ledger.clock.settle();
  ledger.checkSettled();
  await ledger.finish();
}

async function apply(ledger: Ledger, next: Step): Promise<void> {
  const { clock } = ledger;
  if (next.do === 'acquire') ledger.acquire(next.timeoutMs, next.abortable);
  else if (next.do === 'advance') await clock.advance(next.ms);
  else if (next.do === 'jump') clock.jump(next.ms);
  else if (next.do === 'evict') ledger.evict();
  else if (next.do === 'sweep') ledger.sweep();
  else if (next.do === 'close') ledger.close();
  else if ('which' in next) ON_ONE[next.do](ledger, next.which);
  else ledger.giveUp();
}

const ON_ONE: Record<StepOnOne, (ledger: Ledger, which: number) => void> = {
  release: (ledger, which) => pick(ledger.held, which, (acquire) => ledger.release(acquire)),
  discard: (ledger, which) => pick(ledger.held, which, (acquire) => ledger.discard(acquire)),
  abort: (ledger, which) =>
    pick(ledger.waiting, which, ({ controller }) => controller?.abort(new Error('aborted'))),
  openSucceeds: (ledger, which) => pick(pending(ledger.opens), which, (call) => ledger.succeed(call)),
  openFails: (ledger, which) => pick(pending(ledger.opens), which, (call) => ledger.fail(call)),
  validateSucceeds: (ledger, which) =>
    pick(pending(ledger.validations), which, (call) => ledger.succeed(call)),
  validateFails: (ledger, which) => pick(pending(ledger.validations), which, (call) => ledger.fail(call)),
  closeSucceeds: (ledger, which) => pick(pending(ledger.closes), which, (call) => ledger.succeed(call)),
  closeFails: (ledger, which) => pick(pending(ledger.closes), which, (call) => ledger.fail(call)),
};

function pending<T extends { readonly settled: boolean }>(calls: readonly T[]): T[] {
  return calls.filter(({ settled }) => !settled);
}

function pick<T>(from: readonly T[], which: number, use: (chosen: T) => void): void {
  const chosen = from[which % Math.max(1, from.length)];
  if (chosen !== undefined) use(chosen);
}
