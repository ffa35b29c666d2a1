import { asThrown, Cancelled } from '../connection/call-queue.ts';
import { cancelReason, atEndOfTick, bounded, outsideCalls, type Limit } from '../waiting/deadline.ts';
import type { Result } from '../driver.ts';
import { noteSql, PoolClosedError, PoolOverloadedError } from '../errors.ts';
import { Semaphore } from '../waiting/semaphore.ts';
import { alsoUntil, becauseOf, refuseToWaitForItself, selfWaits } from '../connection/enclosing-callback.ts';
import type { Session } from '../connection/session.ts';
import { Group } from './group.ts';
import { boundsOf, type ConnectionPool, type Waits } from '../leasing/connection-pool.ts';
import { LinkedList } from '../waiting/linked-list.ts';
import type { Call } from '../query/call.ts';
import { commitTogether } from './group-transaction.ts';
import type { TimeSettings } from '../waiting/limits.ts';
import type { Statements } from '../connection/statements.ts';
import type { WriteLock } from '../connection/write-lock.ts';

/** The largest number of writes that share a COMMIT. */
const MOST_MEMBERS = 100;

/** The number of writers of one pool that hold a connection: one that writes, and one that is ready to write. */
const WRITERS_WITH_CONNECTION = 2;

/** The settings that writers need. */
export interface WritersSettings extends TimeSettings {
  readonly poolSize: number;
  readonly maxWaiting: number;
  readonly groupCommit: boolean;
}

/** The database, as far as its write lock counts. */
interface Locked {
  readonly writeLock: Semaphore;
}

/**
 * The writers of one pool: who may write next, and which writes share a COMMIT.
 *
 * A writer first acquires a permit here, then a connection, then the write lock of the file. So waiting writers do not
 * keep connections that readers need. The holder of the write lock needs nothing else, so no two callers wait for each
 * other.
 *
 * Single writes that arrive while another write runs commit together. The first of them waits for the write lock like
 * any writer. The later ones join its group, and need no permit and no connection of their own.
 */
export class Writers {
  readonly #settings: WritersSettings;
  readonly #connections: ConnectionPool;
  readonly #database: Locked;
  readonly #permits: Semaphore;
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

  constructor(settings: WritersSettings, connections: ConnectionPool, database: Locked) {
    this.#settings = settings;
    this.#connections = connections;
    this.#database = database;
    const permits = Math.max(1, Math.min(WRITERS_WITH_CONNECTION, settings.poolSize - 1));
    this.#permits = new Semaphore(permits);
  }

  /** The number of writes that wait, with or without a connection. */
  get waiting(): number {
    return this.#permits.waiting + this.#database.writeLock.waiting + this.#joined;
  }

  /** The number of writes that wait in a group, without the leader of each group: the leader waits for a permit. */
  get #joined(): number {
    return Math.max(0, this.#members - this.#groups.size);
  }

  /** Runs one write, for which no lease holds a connection: alone if it need not wait, else in a group if it may. */
  run(call: Call): Promise<Result> {
    const { effect, taints } = call.statement;
    // A statement that changes the connection or the schema commits alone.
    if (!this.#settings.groupCommit || effect === 'none' || taints)
      return this.use(call, (session) => session.perform(call, true));
    const { writeLock } = this.#database;
    if (this.#permits.held === 0 && writeLock.held === 0) return this.#runAlone(call);
    this.#refuseSelfWait();
    return this.#runInGroup(call);
  }

  async #runAlone(call: Call): Promise<Result> {
    await this.#acquire(call.signal);
    try {
      return await this.#connections.use(boundsOf(call), (session) => session.perform(call, true));
    } finally {
      this.#permits.release();
    }
  }

  /** Runs `use` with a permit and a connection. */
  async use<T>(options: Waits, use: (session: Session) => Promise<T>): Promise<T> {
    const release = await this.acquire(options);
    try {
      return await this.#connections.use(boundsOf(options), use);
    } finally {
      release();
    }
  }

  /**
   * Acquires a permit, for a caller that will then acquire a connection. Later writes do not overtake this one: they
   * cannot join an earlier group. The returned function releases the permit.
   */
  acquire({ signal, operation }: Waits): Promise<() => void> {
    this.#refuseSelfWait();
    this.#open = undefined;
    operation?.waitsForLock();
    return this.#acquire(signal).then(() => {
      operation?.endsLockWait('waiting');
      return () => {
        this.#permits.release();
      };
    });
  }

  async #acquire(signal: AbortSignal | undefined): Promise<void> {
    if (this.#closed) throw new PoolClosedError();
    this.#refuseIfCrowded();
    if (!this.#permits.tryAcquire()) await this.#wait(this.#connections.limit({ signal }, 'write'));
  }

  /** Waits for a permit. Rejects as soon as the caller waits for itself. */
  async #wait(limit: Limit): Promise<void> {
    const { writeLock } = this.#database;
    try {
      await this.#permits.acquire(alsoUntil(limit, selfWaits(writeLock)));
    } catch (error) {
      throw becauseOf(error, writeLock);
    }
  }

  /**
   * Throws if the caller would wait for itself. The pool looks before the wait for a permit, and not only before those
   * for a connection and the write lock: the holder of the permit may wait for what the caller holds.
   */
  #refuseSelfWait(): void {
    refuseToWaitForItself(this.#database.writeLock);
    const refused = this.#connections.selfWait();
    if (refused !== undefined) throw refused;
  }

  /** Runs a write that has to wait for the write lock. Throws at once if the write may not even wait. */
  #runInGroup(call: Call): Promise<Result> {
    if (this.#closed) throw new PoolClosedError();
    if (call.signal?.aborted === true) throw call.signal.reason;
    this.#refuseIfCrowded();
    const joined = this.#open !== undefined && this.#takesMore(this.#open) ? this.#open : undefined;
    const group = joined ?? this.#begin();
    const member = group.add(call, selfWaits(this.#database.writeLock));
    this.#members += 1;
    // Outside of the caller's context: the group works for all its members.
    if (joined === undefined) outsideCalls(() => void this.#lead(group));
    // In the caller's own chain, so that the stack of the error names the caller.
    return member.outcome.catch((error: unknown) =>
      Promise.reject(noteSql(becauseOf(asThrown(error), this.#database.writeLock), call.statement.written)),
    );
  }

  /** Throws if one more write would wait behind `maxWaiting` writers. */
  #refuseIfCrowded(): void {
    const { maxWaiting } = this.#settings;
    if (this.#permits.isFull && this.#permits.waiting + this.#joined >= maxWaiting)
      throw new PoolOverloadedError(maxWaiting);
  }

  /** The pool begins to close. Rejects the writes that wait without a connection. */
  close(why: () => PoolClosedError): void {
    this.#closed = true;
    this.#permits.rejectAll(why);
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
    const permits = this.#permits;
    const entered = permits.tryAcquire()
      ? permits.changes
      : await untilItWorks(group, () => permits.acquire(group.limit));
    if (entered === undefined) return;
    // There are at most two permits, so the next release is that of the writer before this group. That writer may have
    // released in the same tick. Then a later group has its permit, and that group is behind this one.
    if (permits.held > 1 && permits.changes === entered) {
      group.isBehind = true;
      permits.onceChanged(() => (group.isBehind = false));
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
      this.#permits.release();
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
        this.#permits.onceChanged(done);
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
