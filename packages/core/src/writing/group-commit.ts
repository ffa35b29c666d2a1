import { asThrown, Cancelled } from '../connection/call-queue.ts';
import { cancelReason, atEndOfTick, bounded, outsideCalls, type Limit } from '../waiting/deadline.ts';
import type { Result } from '../driver.ts';
import { noteSql, PoolClosedError, PoolOverloadedError } from '../errors.ts';
import type { Semaphore } from '../waiting/semaphore.ts';
import { Group } from './group.ts';
import type { ConnectionPool } from '../leasing/connection-pool.ts';
import { LinkedList } from '../waiting/linked-list.ts';
import type { Call } from '../query/queryable.ts';
import { commitTogether } from './group-transaction.ts';
import type { TimeSettings } from '../waiting/limits.ts';
import type { Statements } from '../connection/statements.ts';
import type { WriteLock } from '../connection/write-lock.ts';

/** The largest number of writes that share a COMMIT. */
const MOST_MEMBERS = 100;

/** The settings that group commit needs. */
export interface GroupCommitSettings extends TimeSettings {
  readonly maxWaiting: number;
  readonly groupCommit: boolean;
}

/**
 * Commits together the single writes that arrive while another write runs. The first of them waits for the write lock
 * like any writer. The later ones join its group, and need no place in the queue and no connection of their own.
 */
export class GroupCommit {
  readonly #settings: GroupCommitSettings;
  readonly #connections: ConnectionPool;
  /** Limits the writers of the pool, before they acquire a connection. */
  readonly #writers: Semaphore;
  /** The groups that are not sealed and have members. */
  readonly #groups = new LinkedList<Group>();
  /** The number of members of these groups. */
  #members = 0;
  /** The group that still accepts members. */
  #open: Group | undefined;
  /**
   * Resolves at the end of the tick in which the last group was settled. Most of its callers write again in that tick,
   * and the next group waits for these writes before it is sealed.
   */
  #callersGoOn: Promise<void> | undefined;
  #closed = false;

  constructor(settings: GroupCommitSettings, connections: ConnectionPool, writers: Semaphore) {
    this.#settings = settings;
    this.#connections = connections;
    this.#writers = writers;
  }

  /** The number of writes that wait in a group, without the leader of each group: the leader waits in the semaphore. */
  get joined(): number {
    return Math.max(0, this.#members - this.#groups.size);
  }

  /** Whether a writer of the pool holds a permit. */
  get isBusy(): boolean {
    return this.#writers.held > 0;
  }

  /** Whether a statement may share its COMMIT: it changes rows, and changes neither the connection nor the schema. */
  takes({ statement: { effect, taints } }: Call): boolean {
    return this.#settings.groupCommit && effect !== 'none' && !taints;
  }

  /** Acquires a writer's permit for a write that is in no group. */
  async acquire(signal: AbortSignal | undefined): Promise<void> {
    if (this.#closed) throw new PoolClosedError();
    this.#refuseIfCrowded();
    if (!this.#writers.tryAcquire())
      await this.#writers.acquire(this.#connections.limit({ signal }, 'write'));
  }

  /**
   * The same, for a writer that later writes must not overtake: they cannot join an earlier group. The returned
   * function releases the permit.
   */
  async acquireInOrder(signal: AbortSignal | undefined): Promise<() => void> {
    this.#open = undefined;
    await this.acquire(signal);
    return () => {
      this.#writers.release();
    };
  }

  /** Runs a write that has to wait for the write lock, in a group. Throws at once if the write may not even wait. */
  run(call: Call): Promise<Result> {
    if (this.#closed) throw new PoolClosedError();
    if (call.signal?.aborted === true) throw call.signal.reason;
    this.#refuseIfCrowded();
    const joined = this.#open !== undefined && this.#takesMore(this.#open) ? this.#open : undefined;
    const group = joined ?? this.#begin();
    const member = group.add(call);
    this.#members += 1;
    // Outside of the caller's context: the group works for all its members.
    if (joined === undefined) outsideCalls(() => void this.#lead(group));
    // In the caller's own chain, so that the stack of the error names the caller.
    return member.outcome.catch((error: unknown) =>
      Promise.reject(noteSql(asThrown(error), call.statement.sql)),
    );
  }

  /** Throws if one more write would wait behind `maxWaiting` writers. */
  #refuseIfCrowded(): void {
    const { maxWaiting } = this.#settings;
    if (this.#writers.isFull && this.#writers.waiting + this.joined >= maxWaiting)
      throw new PoolOverloadedError(maxWaiting);
  }

  /** The pool begins to close. Rejects the writes that wait without a connection. */
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

  /** Acquires the permit, the connection and the write lock for a group, and runs it. Settles every member in all cases. */
  async #lead(group: Group): Promise<void> {
    const { abandoned } = group;
    const writers = this.#writers;
    const entered = writers.tryAcquire()
      ? writers.changes
      : await untilItWorks(group, () => writers.acquire(group.limit));
    if (entered === undefined) return;
    // There are at most two permits, so the next release is that of the writer before this group. That writer may have
    // released in the same tick. Then a later group has its permit, and that group is behind this one.
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

  /** Waits for a writer that came before: it may still be several steps away from the write lock of the file. */
  async #behind(group: Group, writeLock: WriteLock, limit: Limit): Promise<void> {
    while (group.isBehind && writeLock.isFree && cancelReason(limit) === undefined) {
      const changed = new Promise<void>((done) => {
        this.#writers.onceChanged(done);
        writeLock.onceChanged(done);
      });
      await bounded(changed, limit);
    }
  }
}

/**
 * Waits for something that a group needs. A failed wait rejects the oldest member, and the next one tries again.
 * Resolves to `undefined` when no member is left.
 */
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
