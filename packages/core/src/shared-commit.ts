import { Cut } from './call-queue.ts';
import { bounded, limitOf, type Limit } from './deadline.ts';
import type { Result } from './driver.ts';
import { isConstraint, isLocked, leftNothing } from './driver-errors.ts';
import type { Group, Member } from './group.ts';
import { operationLimit, type TimeSettings } from './limits.ts';
import type { Statements } from './statements.ts';
import type { Outcome, Telling } from './telling.ts';

/**
 * How long the statements of a group may take together, in milliseconds. A group is for short ones: no acknowledgement waits
 * longer than this for the statement of another caller.
 */
const SHORT_MS = 1000;

/** What commits that are shared need to know of their pool. */
export interface SharingSettings extends TimeSettings {
  readonly telling: Telling;
}

/**
 * Runs the writes of a group in one transaction, on a connection whose lock and write lock the caller holds. Apart from timing,
 * the outcome of each write is the same as if it had run alone: docs/concurrency.md.
 *
 * So no write is acknowledged before the COMMIT, and when the transaction ends in any other way, each write runs again alone.
 */
export async function commitTogether(
  statements: Statements,
  group: Group,
  settings: SharingSettings,
): Promise<void> {
  const members = group.seal();
  if (members.length > 1) await new SharedCommit(statements, group.limit, settings).run(members);
  await oneByOne(statements, members, settings);
}

/**
 * After a call that was cancelled. If it does not return, this rejects: then the connection is given up, and no write waits on it
 * for ever, nor keeps the write lock.
 */
async function returned({ calls }: Statements, settings: TimeSettings): Promise<void> {
  if (calls.returned !== undefined) await bounded(calls.returned, operationLimit(settings, 'statement'));
}

/** Runs each write that is not settled with a COMMIT of its own, in order. */
async function oneByOne(
  statements: Statements,
  members: readonly Member[],
  settings: SharingSettings,
): Promise<void> {
  const waiting = members.filter(({ isSettled }) => !isSettled);
  if (waiting.length === 0) return;
  let current: Member | undefined;
  // Each waits for the write lock again: behind a write that never ends, no other waits for ever.
  const { clock, acquisitionTimeoutMs } = settings;
  const cancel =
    waiting.length === 1 || acquisitionTimeoutMs === Infinity
      ? undefined
      : clock.schedule(() => {
          for (const member of waiting)
            if (member !== current && !member.isSettled) member.reject(settings.writeTimeoutError());
        }, acquisitionTimeoutMs);
  try {
    for (const member of waiting) {
      current = member;
      await alone(statements, member, settings);
    }
  } finally {
    cancel?.();
  }
}

/** Runs one write with a COMMIT of its own. */
async function alone(
  statements: Statements,
  member: Member,
  { ...settings }: SharingSettings,
): Promise<void> {
  await returned(statements, settings);
  if (member.isSettled) return;
  const { telling } = settings;
  const shut = statements.calls.shutReason;
  try {
    if (shut !== undefined) throw new Cut(shut.reason);
    member.runs();
    const result = await statements.perform(member.call, member.limit, member.since);
    telling.tell([{ members: [member], results: [result] }]);
  } catch (error) {
    telling.tell([{ members: [member], error }]);
  }
}

/** One transaction of several writes. Members that are settled after it are done; the others are as if it had not been. */
class SharedCommit {
  readonly #statements: Statements;
  /** Ends when no caller waits any more. */
  readonly #limit: Limit;
  readonly #settings: SharingSettings;
  readonly #outcomes: Outcome[] = [];
  /** `running`: the statement of a member is under way. `long`: all of it takes too long. */
  #stage: 'between' | 'running' | 'long' = 'between';

  constructor(statements: Statements, limit: Limit, settings: SharingSettings) {
    this.#statements = statements;
    this.#limit = limit;
    this.#settings = settings;
  }

  async run(members: readonly Member[]): Promise<void> {
    try {
      const waitsSince = members.find(({ isSettled }) => !isSettled)?.since;
      await this.#statements.control('BEGIN IMMEDIATE', this.#beginLimit(), waitsSince);
    } catch (error) {
      // The time of those that came later is not up: each of them tries alone, as long as it would have.
      this.#fail(isLocked(error) ? late(members, this.#settings.clock.now()) : members, error);
      return;
    }
    try {
      if ((await this.#mayShare()) && (await this.#runAll(members))) await this.#commit(members);
      else await this.#undo(members);
    } catch (error) {
      // Nobody knows the state of the connection: no write runs on it again.
      this.#fail(members, error);
    }
  }

  #fail(members: readonly Member[], error: unknown): void {
    this.#settings.telling.tell([{ members, error }]);
  }

  /** As long as the write lock may take, which includes the lock of another process, and a call that does not return. */
  #beginLimit(): Limit {
    const { clock, acquisitionTimeoutMs, operationTimeoutMs } = this.#settings;
    const timeoutError = (): Error => this.#settings.writeTimeoutError();
    return limitOf(clock, acquisitionTimeoutMs + operationTimeoutMs, timeoutError, ...this.#limit.signals);
  }

  /**
   * Where a constraint may be broken until the COMMIT, one statement could repair what another one has broken, which alone would have
   * failed. Asked inside the transaction, the answer holds until its COMMIT.
   */
  async #mayShare(): Promise<boolean> {
    const { deferredConstraints, dirty } = this.#statements;
    return !dirty && !(await deferredConstraints.exist((call) => this.#statements.ask(call)));
  }

  /** Resolves to whether all of it may be committed. */
  async #runAll(members: readonly Member[]): Promise<boolean> {
    const { calls } = this.#statements;
    const cancel = this.#settings.clock.schedule(() => {
      if (this.#stage === 'running') calls.cutCall(undefined);
      this.#stage = 'long';
    }, SHORT_MS);
    try {
      for (const member of members) {
        // Those that have not run when it takes too long run alone.
        if (this.#isLong) return true;
        if (!member.isSettled && !(await this.#runOne(member))) return false;
      }
      return true;
    } finally {
      cancel();
    }
  }

  /** Resolves to whether the transaction has everything of the writes that succeeded, and nothing of those that failed. */
  async #runOne(member: Member): Promise<boolean> {
    try {
      const result = await this.#perform(member);
      member.hasRun();
      this.#outcomes.push({ members: [member], results: [result] });
      return true;
    } catch (error) {
      if (error instanceof Cut || !leftNothing(error)) return false;
      this.#outcomes.push({ members: [member], error });
      // SQLite must be asked: ON CONFLICT ROLLBACK and RAISE(ROLLBACK) have the code of any other constraint.
      await this.#statements.findOut();
      return !this.#statements.transaction.isLost;
    }
  }

  async #perform(member: Member): Promise<Result> {
    this.#stage = 'running';
    member.runs();
    try {
      return await this.#statements.perform(member.call, member.limit);
    } finally {
      if (!this.#isLong) this.#stage = 'between';
    }
  }

  get #isLong(): boolean {
    return this.#stage === 'long';
  }

  async #commit(members: readonly Member[]): Promise<void> {
    try {
      await this.#statements.commit(this.#limit);
    } catch (error) {
      // One that took too long: nobody knows its outcome, and the connection is given up if it does not return.
      if (error instanceof Cut) {
        this.#fail(members, error);
        return;
      }
      await this.#undo(members);
      // A constraint that is checked at the COMMIT is broken by one of them, and each runs again alone.
      if (!isConstraint(error)) this.#fail(members, error);
      return;
    }
    this.#settings.telling.tell(this.#outcomes);
  }

  /** After a call that was cancelled, as soon as it has returned. */
  async #undo(members: readonly Member[]): Promise<void> {
    const { calls } = this.#statements;
    for (const member of members) if (!member.isSettled) member.hasNotRun();
    await returned(this.#statements, this.#settings);
    await this.#statements.rollback();
    for (const { members } of this.#outcomes) for (const member of members) member.hasNotRun();
    if (calls.shutReason !== undefined) throw calls.shutReason.reason;
  }
}

/** Those that have waited for too long. */
function late(members: readonly Member[], now: number): Member[] {
  return members.filter(({ deadline }) => now >= deadline);
}
