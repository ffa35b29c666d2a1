import { Cancelled, type CallEnd } from '../connection/call-queue.ts';
import { bounded, limitOf, outsideCalls, type Limit } from '../waiting/deadline.ts';
import type { BatchOutcome } from '../driver.ts';
import { isLocked } from '../driver-errors.ts';
import { OutcomeUnknownError } from '../errors.ts';
import type { Group, QueuedWrite } from './group.ts';
import { operationLimit, type TimeSettings } from '../waiting/limits.ts';
import { asFarAsKnown, unknownBecause } from '../connection/outcome.ts';
import { isOutcomes, performTogether } from '../connection/batch.ts';
import type { Statements } from '../connection/statements.ts';

/**
 * The time limit of the statements of a group together, in milliseconds. A group is for short statements: no
 * acknowledgement waits longer than this for the statement of another caller.
 */
const SHORT_MS = 1000;

/**
 * Runs the writes of a group in one transaction, on a connection whose lock and write lock the caller holds. Apart from
 * timing, the outcome of each write is the same as if it had run alone: docs/concurrency.md.
 *
 * So no write is acknowledged before the COMMIT. When the transaction ends in any other way, each write runs again
 * alone.
 */
export async function commitTogether(
  statements: Statements,
  group: Group,
  settings: TimeSettings,
): Promise<void> {
  const members = group.seal();
  const shared = new GroupTransaction(statements, settings);
  for (let waiting = members; waiting.length > 1 && !statements.tainted;) {
    const before = waiting.length;
    const isOver = await shared.run(waiting);
    waiting = waiting.filter(({ isSettled }) => !isSettled);
    if (isOver || waiting.length === before) break;
  }
  await commitEachSeparately(statements, members, settings);
}

/** One transaction of several writes. A member that is settled after it is done. For the others, it had no effect. */
class GroupTransaction {
  readonly #statements: Statements;
  readonly #settings: TimeSettings;

  constructor(statements: Statements, settings: TimeSettings) {
    this.#statements = statements;
    this.#settings = settings;
  }

  /** Resolves to `false` if nothing has begun. Then the members that can still wait may try together again. */
  async run(members: readonly QueuedWrite[]): Promise<boolean> {
    for (const member of members) member.runs(members.length);
    try {
      const calls = members.map(({ call }) => call);
      this.#statements.observeGroup(calls);
      const since = members[0]?.since;
      settle(members, await performTogether(this.#statements, calls, this.#firstLimit(members), since));
      return true;
    } catch (error) {
      return await this.#failed(members, error);
    } finally {
      for (const member of members) member.hasNotRun();
    }
  }

  /** The first limit that any member reaches ends the transaction for all. A member with time left runs again. */
  #firstLimit(members: readonly QueuedWrite[]): Limit | undefined {
    const { clock } = this.#settings;
    const canStop = this.#statements.connection.interrupt !== undefined;
    let first = limitOf(clock, canStop ? SHORT_MS : Infinity, () => new Error('The group takes too long.'));
    for (const { limit } of members) {
      if (limit === undefined) continue;
      const signals = [...first.signals, ...limit.signals];
      first = { ...(limit.deadline < first.deadline ? limit : first), signals };
    }
    return first.deadline === Infinity && first.signals.length === 0 ? undefined : first;
  }

  async #failed(members: readonly QueuedWrite[], error: unknown): Promise<boolean> {
    const { calls } = this.#statements;
    if (!(error instanceof Cancelled) && !isLocked(error)) {
      fail(members, error);
      return true;
    }
    if (calls.shutReason !== undefined) throw new Cancelled(calls.shutReason.reason);
    if (calls.returned !== undefined) return await this.#afterwards(members, calls.returned);
    // The time of the later members is not over. They try again, for as long as each would have alone.
    if (!(error instanceof Cancelled)) fail(expired(members, this.#settings.clock.now()), error);
    else if (isUnknown(error)) fail(members, error);
    return error instanceof Cancelled && isUnknown(error);
  }

  /** The call was cancelled and has not returned. A member that reaches its limit must not wait for it. */
  async #afterwards(members: readonly QueuedWrite[], returned: Promise<CallEnd>): Promise<boolean> {
    for (const member of members) member.mayHaveRun();
    const end = await bounded(returned, operationLimit(this.#settings, 'batch')).catch((reason: unknown) => {
      fail(members, unknownBecause(reason));
      throw reason;
    });
    if ('value' in end && isOutcomes(end.value, members)) settle(members, end.value);
    else if ('error' in end) {
      const error = asFarAsKnown(end.error);
      if (error instanceof Cancelled) fail(members, error);
    }
    return true;
  }
}

/** Runs each write that is not settled with a COMMIT of its own, in order. */
async function commitEachSeparately(
  statements: Statements,
  members: readonly QueuedWrite[],
  settings: TimeSettings,
): Promise<void> {
  const waiting = members.filter(({ isSettled }) => !isSettled);
  if (waiting.length === 0) return;
  let current: QueuedWrite | undefined;
  // Each write waits for the write lock again. If a write before it never ends, its wait must have an end nevertheless.
  const { clock, acquireTimeoutMs } = settings;
  const rejectOthers = (): void => {
    for (const member of waiting)
      if (member !== current && !member.isSettled) member.reject(settings.writeTimeoutError());
  };
  const cancel =
    waiting.length === 1 || acquireTimeoutMs === Infinity
      ? undefined
      : outsideCalls(() => clock.schedule(rejectOthers, acquireTimeoutMs));
  try {
    for (const member of waiting) {
      current = member;
      await commitSeparately(statements, member, settings);
    }
  } finally {
    cancel?.();
  }
}

/** Runs one write with a COMMIT of its own. */
async function commitSeparately(
  statements: Statements,
  member: QueuedWrite,
  settings: TimeSettings,
): Promise<void> {
  const { calls } = statements;
  // If a cancelled call does not return, this rejects. Then the pool abandons the connection, and no write waits on it
  // for ever.
  if (calls.returned !== undefined) await bounded(calls.returned, operationLimit(settings, 'statement'));
  if (member.isSettled) return;
  try {
    if (calls.shutReason !== undefined) throw new Cancelled(calls.shutReason.reason);
    member.runs(1);
    statements.observeGroup([member.call]);
    member.resolve(
      await statements.perform(member.call, member.limit, { since: member.since, unleased: true }),
    );
  } catch (error) {
    member.reject(error);
  }
}

/** If one outcome is `undone`, settles none of the members: each of them runs again alone. */
function settle(members: readonly QueuedWrite[], outcomes: readonly BatchOutcome[]): void {
  if (outcomes.some(({ status }) => status === 'undone')) return;
  for (const [at, outcome] of outcomes.entries()) {
    if (outcome.status === 'done') members[at]?.resolve(outcome.result);
    else members[at]?.reject(outcome.error);
  }
}

function fail(members: readonly QueuedWrite[], error: unknown): void {
  for (const member of members) member.reject(error);
}

/** The members that have waited for too long. */
function expired(members: readonly QueuedWrite[], now: number): QueuedWrite[] {
  return members.filter(({ deadline }) => now >= deadline);
}

function isUnknown(error: Cancelled): boolean {
  return error.reason instanceof OutcomeUnknownError;
}
