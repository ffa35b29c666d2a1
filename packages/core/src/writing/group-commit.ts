import { asThrown, Cancelled } from '../connection/call-queue.ts';
import { cancelReason, atEndOfTick, bounded, type Limit } from '../waiting/deadline.ts';
import type { Result } from '../driver.ts';
import { PoolClosedError, PoolOverloadedError } from '../errors.ts';
import type { Semaphore } from '../waiting/semaphore.ts';
import { Group } from './group.ts';
import type { ConnectionPool } from '../leasing/connection-pool.ts';
import { LinkedList } from '../waiting/linked-list.ts';
import type { Call } from '../query/queryable.ts';
import { commitTogether } from './group-transaction.ts';
import type { TimeSettings } from '../waiting/limits.ts';
import type { Statements } from '../connection/statements.ts';
import type { WriteLock } from '../connection/write-lock.ts';

/** Most writes that share a COMMIT. */
const MOST_MEMBERS = 100;

/** What group commit needs to know of its pool. */
export interface GroupCommitSettings extends TimeSettings {
  readonly maxWaiting: number;
  readonly groupCommit: boolean;
}

/**
 * Commits single writes that arrive while another one is under way together: the first of them waits for the turn to write
 * as any writer does, and those that come meanwhile join it, without a place and a connection of their own.
 */
export class GroupCommit {
  readonly #settings: GroupCommitSettings;
  readonly #connections: ConnectionPool;
  /** The gate of the pool's writers, before they take a connection. */
  readonly #writers: Semaphore;
  /** Those that are not sealed, and have members. */
  readonly #groups = new LinkedList<Group>();
  /** The members of those. */
  #members = 0;
  /** The one that still takes members. */
  #open: Group | undefined;
  /** The callers of the last group go on when they have heard of their write, and most write again: the next one takes that in. */
  #callersGoOn: Promise<void> | undefined;
  #closed = false;

  constructor(settings: GroupCommitSettings, lending: ConnectionPool, writers: Semaphore) {
    this.#settings = settings;
    this.#connections = lending;
    this.#writers = writers;
  }

  /** Writes that wait in a group, but for one of each, which waits as any writer does. */
  get joined(): number {
    return Math.max(0, this.#members - this.#groups.size);
  }

  /** Whether a writer of the pool has its place. */
  get isBusy(): boolean {
    return this.#writers.held > 0;
  }

  /** Whether a statement may share its COMMIT: one that changes rows, and nothing of the connection or the schema. */
  takes({ statement: { effect, taints } }: Call): boolean {
    return this.#settings.groupCommit && effect !== 'none' && !taints;
  }

  /** A place among the writers, for one that waits alone. */
  async acquire(signal: AbortSignal | undefined): Promise<void> {
    if (this.#closed) throw new PoolClosedError();
    this.#refuseIfCrowded();
    if (!this.#writers.tryAcquire())
      await this.#writers.acquire(this.#connections.limit({ signal }, 'write'));
  }

  /** The same for another kind of writer: nobody who comes after it may be served before it. The function returned ends it. */
  async acquireInOrder(signal: AbortSignal | undefined): Promise<() => void> {
    this.#open = undefined;
    await this.acquire(signal);
    return () => {
      this.#writers.release();
    };
  }

  /** Runs a write that has to wait for its turn, with others. Throws at once if it may not even wait. */
  run(call: Call): Promise<Result> {
    if (this.#closed) throw new PoolClosedError();
    if (call.signal?.aborted === true) throw call.signal.reason;
    this.#refuseIfCrowded();
    const joined = this.#open !== undefined && this.#takesMore(this.#open) ? this.#open : undefined;
    const group = joined ?? this.#begin();
    const member = group.add(call);
    this.#members += 1;
    if (joined === undefined) void this.#lead(group);
    return member.outcome.catch(throwToCaller);
  }

  /** Throws if one more would have to wait behind `maxWaiting` writers. */
  #refuseIfCrowded(): void {
    const { maxWaiting } = this.#settings;
    if (this.#writers.isFull && this.#writers.waiting + this.joined >= maxWaiting)
      throw new PoolOverloadedError(maxWaiting);
  }

  /** The pool is told to close: whoever waits without a connection is refused. */
  close(why: () => PoolClosedError): void {
    this.#closed = true;
    for (const group of this.#groups.toArray()) if (!group.isConnected) group.rejectAll(Cancelled.each(why));
  }

  #begin(): Group {
    const group: Group = new Group({
      ...this.#settings,
      onMemberLeft: () => {
        this.#members -= 1;
        if (group.waiting === 0) this.#forget(group);
      },
    });
    this.#open = group;
    this.#groups.add(group);
    return group;
  }

  #takesMore(group: Group): boolean {
    if (group.isSealed || group.waiting === 0 || group.members.length >= MOST_MEMBERS) return false;
    return group.isLastInLine();
  }

  #forget(group: Group): void {
    this.#groups.delete(group);
    if (this.#open === group) this.#open = undefined;
  }

  /** Takes a group to its turn, and through it. Whatever happens, everyone is told. */
  async #lead(group: Group): Promise<void> {
    const { abandoned } = group;
    const writers = this.#writers;
    const entered = writers.tryAcquire()
      ? writers.changes
      : await untilItWorks(group, () => writers.acquire(group.limit));
    if (entered === undefined) return;
    // There is no third place: the next that leaves is the one that was there before. It may have left in the same tick, and then a
    // later group has its place, which is behind this one.
    if (writers.held > 1 && writers.changes === entered) {
      group.isBehind = true;
      writers.onceChanged(() => (group.isBehind = false));
    }
    try {
      const bounds = { signal: abandoned, timeoutMs: Infinity };
      const entry = await untilItWorks(group, () => this.#connections.acquire(bounds));
      if (entry === undefined) return;
      try {
        group.connected();
        await entry.resource.withStatements((statements) => this.#run(statements, group));
      } finally {
        void this.#connections.release(entry);
      }
    } catch (error) {
      group.rejectAll(error instanceof PoolClosedError ? Cancelled.each(() => new PoolClosedError()) : error);
    } finally {
      this.#writers.release();
    }
  }

  async #run(statements: Statements, group: Group): Promise<void> {
    const { writeLock, calls } = statements;
    const limit = { ...group.limit, signals: [...group.limit.signals, calls.cancelToken] };
    await this.#behind(group, writeLock, limit);
    if (!writeLock.tryAcquire()) {
      const taken = writeLock.acquire(limit);
      group.isLastInLine = writeLock.lastInLine();
      await taken;
    }
    await this.#callersGoOn;
    this.#members -= group.waiting;
    this.#forget(group);
    try {
      await commitTogether(statements, group, this.#settings);
    } finally {
      if (group.members.length > 1) this.#callersGoOn = new Promise(atEndOfTick);
    }
  }

  /** A writer that came before may still be on its way to the gate of the file, and have more steps to go. */
  async #behind(group: Group, writeTurn: WriteLock, limit: Limit): Promise<void> {
    while (group.isBehind && writeTurn.isFree && cancelReason(limit) === undefined) {
      const changed = new Promise<void>((done) => {
        this.#writers.onceChanged(done);
        writeTurn.onceChanged(done);
      });
      await bounded(changed, limit);
    }
  }
}

/** What a group needs, or `undefined` when nobody waits for it any more. */
async function untilItWorks<T>(group: Group, wait: () => T | Promise<T>): Promise<T | undefined> {
  while (group.waiting > 0) {
    try {
      return await wait();
    } catch (error) {
      group.rejectOldest(error);
    }
  }
  return undefined;
}

/** In the caller's own chain, so that an error's stack names the caller. */
function throwToCaller(error: unknown): never {
  throw asThrown(error);
}
