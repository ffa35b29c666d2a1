import { Cut } from './call-queue.ts';
import type { CommitCosts } from './commit-costs.ts';
import { bounded, limitOf, type Limit } from './deadline.ts';
import { isConstraint, isLocked } from './driver-errors.ts';
import type { Group, Member } from './group.ts';
import { operationLimit } from './limits.ts';
import type { Statements, StatementsSettings } from './statements.ts';
import { stepsOf, type Step } from './steps.ts';
import type { Outcome, Telling } from './telling.ts';

/**
 * How long the statements of a group may take together, in milliseconds. A group is for short ones: nobody's
 * acknowledgement waits longer than this for a statement of somebody else.
 */
const SHORT_MS = 1000;

/** What commits that are shared need to know of their pool. */
export interface SharingSettings extends StatementsSettings {
  readonly costs: CommitCosts;
  readonly telling: Telling;
}

/**
 * Runs the writes of a group that has the turn to write, in one transaction, in a turn on the connection that the caller
 * has. No caller must be able to tell it from each of them run alone, but by the time it takes: docs/concurrency.md.
 *
 * So nobody is told anything before the COMMIT, and when the transaction ends in any other way, each is run again alone.
 */
export async function commitTogether(
  statements: Statements,
  group: Group,
  settings: SharingSettings,
): Promise<void> {
  const { schema, costs } = settings;
  let steps = await stepsOf(group.seal(), group.limit, (table) =>
    schema.takesRowsTogether(table, statements),
  );
  if (steps.length > 1 && costs.isAloneStale()) {
    await oneByOne(statements, steps, settings, 1);
    steps = steps.slice(1);
    await returned(statements, settings);
  }
  // Where a constraint may be broken until the COMMIT, one statement could mend what another one has broken, which alone
  // would have failed.
  if (costs.favourSharing(steps.length) && !(await schema.hasDeferredConstraints(statements)))
    await new SharedCommit(statements, group.limit, settings).run(steps);
  await oneByOne(statements, steps, settings);
}

/**
 * After a call that was cut. If it does not return, this rejects: then the connection is given up, and nobody waits on it for
 * ever, nor keeps the turn to write.
 */
async function returned({ calls }: Statements, settings: StatementsSettings): Promise<void> {
  if (calls.returned !== undefined) await bounded(calls.returned, operationLimit(settings, 'statement'));
}

/** Those who are not settled, each step with a COMMIT of its own, in order; if not all of them, the others wait behind. */
async function oneByOne(
  statements: Statements,
  steps: readonly Step<Member>[],
  settings: SharingSettings,
  count: number = steps.length,
): Promise<void> {
  const waiting = steps.filter((step) => stillWaited(step) !== undefined);
  if (waiting.length === 0) return;
  let current: Step<Member> | undefined;
  // They wait for their turn again: behind one that takes for ever, nobody does.
  const { clock, acquisitionTimeoutMs } = settings;
  const isAlone = waiting.length === 1 || acquisitionTimeoutMs === Infinity;
  const cancel = isAlone
    ? undefined
    : clock.schedule(() => {
        for (const step of waiting) if (step !== current) failWaiting(step, settings);
      }, acquisitionTimeoutMs);
  try {
    for (const step of waiting.slice(0, count)) {
      if (stillWaited(step) === undefined) continue;
      current = step;
      await alone(statements, step, settings);
    }
  } finally {
    cancel?.();
  }
}

function failWaiting({ tasks }: Step<Member>, settings: SharingSettings): void {
  for (const member of tasks) if (!member.isSettled) member.reject(settings.writeTimeoutError());
}

/** One step with a COMMIT of its own. */
async function alone(statements: Statements, all: Step<Member>, settings: SharingSettings): Promise<void> {
  await returned(statements, settings);
  const step = stillWaited(all);
  if (step === undefined) return;
  const { clock, costs, telling } = settings;
  const shut = statements.calls.shutReason;
  try {
    if (shut !== undefined) throw new Cut(shut.reason);
    const since = clock.now();
    // Rows that go in together do not wait for a lock: who is cut meanwhile must not be in them.
    const results = await step.perform(statements, step.tasks.length > 1 ? 'no wait' : step.tasks[0].since);
    costs.ranAlone(clock.now() - since);
    telling.tell([{ members: step.tasks, results }]);
  } catch (error) {
    // Of those who have waited for a lock, the time of those who came later is not up.
    if (isLocked(error)) telling.tell([{ members: late(step.tasks, clock.now()), error }]);
    const parts = partsOf(stillWaited(step), error);
    if (parts.length === 0) telling.tell([{ members: step.tasks, error }]);
    for (const part of parts) await alone(statements, part, settings);
  }
}

/** What to try after a failure, in order. Nothing, if that would be the same, or if it is not known what was done. */
function partsOf(step: Step<Member> | undefined, error: unknown): readonly Step<Member>[] {
  if (step === undefined || error instanceof Cut) return [];
  if (!isLocked(error) || step.tasks.length === 1) return step.split();
  // Whoever is first waits for the lock, and the others go in when it is gone.
  return [step.of(step.tasks.slice(0, 1)), step.of(step.tasks.slice(1))].filter((part) => part !== undefined);
}

/** One transaction of several steps. Members that are settled after it are done with; the others are as if it had not been. */
class SharedCommit {
  readonly #statements: Statements;
  /** Ends when nobody waits any more. */
  readonly #limit: Limit;
  readonly #settings: SharingSettings;
  readonly #outcomes: Outcome[] = [];
  /** `running`: a statement of a member is under way. `long`: all of it takes too long. */
  #stage: 'between' | 'running' | 'long' = 'between';

  constructor(statements: Statements, limit: Limit, settings: SharingSettings) {
    this.#statements = statements;
    this.#limit = limit;
    this.#settings = settings;
  }

  async run(steps: readonly Step<Member>[]): Promise<void> {
    const { clock, costs } = this.#settings;
    const members = steps.flatMap((step) => step.tasks);
    const since = clock.now();
    try {
      const waitsSince = members.find((member) => !member.isSettled)?.since;
      await this.#statements.control('BEGIN IMMEDIATE', this.#beginLimit(), waitsSince);
    } catch (error) {
      // The time of those who came later is not up: each of them tries alone, as long as it would have.
      this.#fail(isLocked(error) ? late(members, clock.now()) : members, error);
      return;
    }
    try {
      const begun = clock.now();
      if (await this.#runAll(steps)) {
        const ran = clock.now();
        if (await this.#commit(members))
          costs.shared((ran - begun) / steps.length, begun - since + clock.now() - ran);
      } else await this.#undo();
    } catch (error) {
      // It is not known where the connection stands: nobody is run on it again.
      this.#fail(members, error);
    }
  }

  #fail(members: readonly Member[], error: unknown): void {
    this.#settings.telling.tell([{ members, error }]);
  }

  /** As long as the turn to write may take, which includes the lock of another process, and a call that does not return. */
  #beginLimit(): Limit {
    const { clock, acquisitionTimeoutMs, operationTimeoutMs } = this.#settings;
    const timeoutError = (): Error => this.#settings.writeTimeoutError();
    return limitOf(clock, acquisitionTimeoutMs + operationTimeoutMs, timeoutError, ...this.#limit.signals);
  }

  /** Resolves to whether all of it may be committed. */
  async #runAll(steps: readonly Step<Member>[]): Promise<boolean> {
    const { calls } = this.#statements;
    const cancel = this.#settings.clock.schedule(() => {
      if (this.#stage === 'running') calls.cutCall(undefined);
      this.#stage = 'long';
    }, SHORT_MS);
    try {
      return await this.#runEach(steps);
    } finally {
      cancel();
    }
  }

  async #runEach(steps: readonly Step<Member>[]): Promise<boolean> {
    for (const step of steps) {
      // Those that have not run yet when it takes too long do so alone.
      if (this.#isLong) return true;
      const waited = stillWaited(step);
      if (waited !== undefined && !(await this.#runOne(waited))) return false;
    }
    return true;
  }

  /** Resolves to whether the transaction is still what it was, or that and the step. */
  async #runOne(step: Step<Member>): Promise<boolean> {
    const { tasks: members } = step;
    this.#stage = 'running';
    try {
      const results = await step.perform(this.#statements);
      this.#ran();
      this.#outcomes.push({ members, results });
      return true;
    } catch (error) {
      this.#ran();
      // One that was interrupted may have taken the transaction with it, or may be done in part.
      if (error instanceof Cut) return false;
      // SQLite must be asked: ON CONFLICT ROLLBACK and RAISE(ROLLBACK) have the code of any other constraint.
      await this.#statements.findOut();
      if (this.#statements.transaction.isLost) return false;
      const parts = step.split();
      if (parts.length === 0) this.#outcomes.push({ members, error });
      return await this.#runEach(parts);
    }
  }

  get #isLong(): boolean {
    return this.#stage === 'long';
  }

  #ran(): void {
    if (!this.#isLong) this.#stage = 'between';
  }

  /** Resolves to whether it is made. */
  async #commit(members: readonly Member[]): Promise<boolean> {
    try {
      await this.#statements.commit(this.#limit);
    } catch (error) {
      // One that took too long: nobody knows its outcome, and the connection is given up if it does not return.
      if (error instanceof Cut) {
        this.#fail(members, error);
        return false;
      }
      await this.#undo();
      // A constraint that is checked at the COMMIT is broken by one of them, and each is judged alone.
      if (!isConstraint(error)) this.#fail(members, error);
      return false;
    }
    this.#settings.telling.tell(this.#outcomes);
    return true;
  }

  /** After a call that was cut, as soon as it has returned. */
  async #undo(): Promise<void> {
    const { calls } = this.#statements;
    await returned(this.#statements, this.#settings);
    await this.#statements.rollback();
    if (calls.shutReason !== undefined) throw calls.shutReason.reason;
  }
}

/** A step without those who are settled; `undefined` if nobody is left. */
function stillWaited(step: Step<Member>): Step<Member> | undefined {
  return step.tasks.some((member) => member.isSettled)
    ? step.of(step.tasks.filter((member) => !member.isSettled))
    : step;
}

/** Those who have waited for too long. */
function late(members: readonly Member[], now: number): Member[] {
  return members.filter(({ deadline }) => now >= deadline);
}
