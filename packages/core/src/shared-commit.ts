import { Cut } from './call-queue.ts';
import type { CommitCosts } from './commit-costs.ts';
import { bounded, limitOf, type Limit } from './deadline.ts';
import type { Result } from './driver.ts';
import { isConstraint, isLocked } from './driver-errors.ts';
import type { Group, Member } from './group.ts';
import { operationLimit, type TimeSettings } from './limits.ts';
import { parse } from './sql.ts';
import type { Statements } from './statements.ts';

/**
 * How long the statements of a group may take together, in milliseconds. A group is for short ones: nobody's
 * acknowledgement waits longer than this for a statement of somebody else.
 */
const SHORT_MS = 1000;

/** What became of a statement, to be told after the COMMIT. */
interface Outcome {
  readonly member: Member;
  readonly result?: Result;
  readonly error?: unknown;
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
  settings: TimeSettings,
  { deferred, costs }: CommitKnowledge,
): Promise<void> {
  let members = group.seal();
  if (members.length > 1 && costs.isAloneStale()) {
    await oneByOne(statements, members.slice(0, 1), settings, costs);
    members = members.slice(1);
    await returned(statements, settings);
  }
  // Where a constraint may be broken until the COMMIT, one statement could mend what another one has broken, which alone
  // would have failed.
  if (costs.favourSharing(members.length) && !(await deferred.exist(statements, settings)))
    await new SharedCommit(statements, group.limit, settings, costs).run(members);
  await oneByOne(statements, members, settings, costs);
}

/** What a pool has learnt of its writes. */
export interface CommitKnowledge {
  readonly deferred: DeferredConstraints;
  readonly costs: CommitCosts;
}

/**
 * After a call that was cut. If it does not return, this rejects: then the connection is given up, and nobody waits on it for
 * ever, nor keeps the turn to write.
 */
async function returned({ calls }: Statements, settings: TimeSettings): Promise<void> {
  if (calls.running) await bounded(calls.returned, operationLimit(settings, 'statement'));
}

/** Those who have not been told anything yet, each with a COMMIT of its own, in order. */
async function oneByOne(
  statements: Statements,
  members: readonly Member[],
  settings: TimeSettings,
  costs: CommitCosts,
): Promise<void> {
  const waiting = members.filter((member) => !member.isSettled);
  if (waiting.length === 0) return;
  let current: Member | undefined;
  // They wait for their turn again: behind one that takes for ever, nobody does.
  const { clock, acquisitionTimeoutMs } = settings;
  const isAlone = waiting.length === 1 || acquisitionTimeoutMs === Infinity;
  const cancel = isAlone
    ? undefined
    : clock.schedule(() => {
        for (const member of waiting) if (member !== current) member.reject(settings.writeTimeoutError());
      }, acquisitionTimeoutMs);
  try {
    for (const member of waiting) {
      if (member.isSettled) continue;
      await returned(statements, settings);
      current = member;
      const shut = statements.calls.shutReason;
      try {
        if (shut !== undefined) throw new Cut(shut.reason);
        const since = clock.now();
        member.resolve(await statements.perform(member.call, member.limit, member.since));
        costs.ranAlone(clock.now() - since);
      } catch (error) {
        member.reject(error);
      }
    }
  } finally {
    cancel?.();
  }
}

/** One transaction of several writes. Members that are settled after it are done with; the others are as if it had not been. */
class SharedCommit {
  readonly #statements: Statements;
  /** Ends when nobody waits any more. */
  readonly #limit: Limit;
  readonly #settings: TimeSettings;
  readonly #costs: CommitCosts;
  readonly #outcomes: Outcome[] = [];
  /** `running`: a statement of a member is under way. `long`: all of it takes too long. */
  #stage: 'between' | 'running' | 'long' = 'between';

  constructor(statements: Statements, limit: Limit, settings: TimeSettings, costs: CommitCosts) {
    this.#statements = statements;
    this.#limit = limit;
    this.#settings = settings;
    this.#costs = costs;
  }

  async run(members: readonly Member[]): Promise<void> {
    const { clock } = this.#settings;
    const since = clock.now();
    try {
      const waitsSince = members.find((member) => !member.isSettled)?.since;
      await this.#statements.control('BEGIN IMMEDIATE', this.#beginLimit(), waitsSince);
    } catch (error) {
      // The time of those who came later is not up: each of them tries alone, as long as it would have.
      const late = isLocked(error) ? members.filter(({ deadline }) => clock.now() >= deadline) : members;
      tellAll(late, error);
      return;
    }
    try {
      const begun = clock.now();
      if (await this.#runAll(members)) {
        const ran = clock.now();
        await this.#commit(members);
        this.#costs.shared((ran - begun) / members.length, begun - since + clock.now() - ran);
      } else await this.#undo();
    } catch (error) {
      // It is not known where the connection stands: nobody is run on it again.
      tellAll(members, error);
    }
  }

  /** As long as the turn to write may take, which includes the lock of another process, and a call that does not return. */
  #beginLimit(): Limit {
    const { clock, acquisitionTimeoutMs, operationTimeoutMs } = this.#settings;
    const timeoutError = (): Error => this.#settings.writeTimeoutError();
    return limitOf(clock, acquisitionTimeoutMs + operationTimeoutMs, timeoutError, ...this.#limit.signals);
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
        // Those that have not run yet when it takes too long do so alone.
        if (this.#isLong) return true;
        if (!member.isSettled && !(await this.#runOne(member))) return false;
      }
      return true;
    } finally {
      cancel();
    }
  }

  /** Resolves to whether the transaction is still what it was, or that and the statement. */
  async #runOne(member: Member): Promise<boolean> {
    const { transaction } = this.#statements;
    this.#stage = 'running';
    try {
      const result = await this.#statements.perform(member.call, member.limit);
      this.#ran();
      this.#outcomes.push({ member, result });
      return true;
    } catch (error) {
      this.#ran();
      // One that was interrupted may have taken the transaction with it, or may be done in part.
      if (error instanceof Cut) return false;
      this.#outcomes.push({ member, error });
      // SQLite must be asked: ON CONFLICT ROLLBACK and RAISE(ROLLBACK) have the code of any other constraint.
      await this.#statements.findOut();
      return !transaction.isLost;
    }
  }

  get #isLong(): boolean {
    return this.#stage === 'long';
  }

  #ran(): void {
    if (!this.#isLong) this.#stage = 'between';
  }

  async #commit(members: readonly Member[]): Promise<void> {
    try {
      await this.#statements.commit(this.#limit);
    } catch (error) {
      // One that took too long: nobody knows its outcome, and the connection is given up if it does not return.
      if (error instanceof Cut) {
        tellAll(members, error);
        return;
      }
      await this.#undo();
      // A constraint that is checked at the COMMIT is broken by one of them, and each is judged alone.
      if (!isConstraint(error)) tellAll(members, error);
      return;
    }
    for (const { member, result, error } of this.#outcomes) {
      if (result === undefined) member.reject(error);
      else member.resolve(result);
    }
  }

  /** After a call that was cut, as soon as it has returned. */
  async #undo(): Promise<void> {
    const { calls } = this.#statements;
    await returned(this.#statements, this.#settings);
    await this.#statements.rollback();
    if (calls.shutReason !== undefined) throw calls.shutReason.reason;
  }
}

function tellAll(members: readonly Member[], error: unknown): void {
  for (const member of members) member.reject(error);
}

/** How long what is known of a schema is taken for known, in milliseconds: another process may change it. */
const SCHEMA_KNOWN_FOR_MS = 100;

/** The schema of an attached database is not looked at: where there is one, there may be such constraints. */
const DEFERRED = {
  statement: parse(
    "SELECT 1 FROM sqlite_schema WHERE sql LIKE '%INITIALLY%DEFERRED%' " +
      "UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE sql LIKE '%INITIALLY%DEFERRED%' " +
      "UNION ALL SELECT 1 FROM pragma_database_list WHERE name NOT IN ('main', 'temp') LIMIT 1",
  ),
  values: [],
};

/** Whether a schema has constraints that are checked at the COMMIT: https://www.sqlite.org/foreignkeys.html#fk_deferred */
export class DeferredConstraints {
  #exist = false;
  #knownUntil = -Infinity;

  /** The schema may have changed. */
  forget(): void {
    this.#knownUntil = -Infinity;
  }

  /** Asks SQLite, in a turn that its caller has, unless it is known. If SQLite does not answer, they exist. */
  async exist(statements: Statements, settings: TimeSettings): Promise<boolean> {
    const now = settings.clock.now();
    if (now >= this.#knownUntil) {
      const limit = operationLimit(settings, 'look at the schema');
      const found = await statements.perform(DEFERRED, limit).catch(() => undefined);
      this.#exist = found?.rows.length !== 0;
      this.#knownUntil = now + SCHEMA_KNOWN_FOR_MS;
    }
    return this.#exist;
  }
}
