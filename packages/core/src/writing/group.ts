import { Cancelled } from '../connection/call-queue.ts';
import { alsoUntil } from '../connection/enclosing-callback.ts';
import {
  cancelReason,
  outsideCalls,
  CancelSource,
  systemClock,
  untilCancelled,
  watch,
  type CancelToken,
  type Limit,
} from '../waiting/deadline.ts';
import type { Result } from '../driver.ts';
import { OutcomeUnknownError } from '../errors.ts';
import { statementLimit, type TimeSettings } from '../waiting/limits.ts';
import type { Listed, Place } from '../waiting/linked-list.ts';
import type { Call } from '../query/call.ts';
import { failTogether } from '../waiting/rejections.ts';

const UNLIMITED: Limit = untilCancelled(systemClock);

/** One write of a group. It is settled once, by its outcome or by its own limit, whichever comes first. */
export class QueuedWrite {
  readonly call: Call;
  /** The time at which it began to wait for the write lock. */
  readonly since: number;
  /** The time at which its wait for the write lock ends. */
  readonly deadline: number;
  /** The limit of its statement; `undefined` if there is none, or while it does not count yet. */
  limit: Limit | undefined;
  /** Whether its statement may have run in a transaction that may be committed. */
  #mayBeDone = false;
  readonly #group: { left(): void };
  /** End the wait when it has become a wait for the caller itself. */
  readonly #selfWaits: readonly CancelToken[];
  readonly #outcome = Promise.withResolvers<Result>();
  #state: 'open' | 'settled' = 'open';
  #stopWatching: (() => void) | undefined;

  constructor(
    call: Call,
    since: number,
    timeoutMs: number,
    group: { left(): void },
    selfWaits: readonly CancelToken[],
  ) {
    this.#selfWaits = selfWaits;
    this.call = call;
    this.since = since;
    this.deadline = since + timeoutMs;
    call.operation?.waitsForLock();
    this.#group = group;
  }

  get outcome(): Promise<Result> {
    return this.#outcome.promise;
  }

  get isSettled(): boolean {
    return this.#state === 'settled';
  }

  /** From now on, the write rejects when the limit is reached. */
  watch(limit: Limit | undefined): void {
    const hasEnd = limit !== undefined || this.#selfWaits.length > 0;
    if (this.isSettled || !hasEnd) return;
    this.#stopWatching?.();
    this.#stopWatching = watch(alsoUntil(limit ?? UNLIMITED, this.#selfWaits), (reason) => {
      this.#cancel(reason);
    });
  }

  /**
   * The write runs now, with `members` writes in its COMMIT. The call itself watches its limit, and finds out whether the
   * write was done.
   */
  runs(members: number): void {
    this.#stopWatching?.();
    const { operation } = this.call;
    if (operation === undefined) return;
    if (operation.phase === 'locking') operation.endsLockWait('waiting');
    operation.connected(false);
    operation.groupSize = members;
  }

  /** The call of the write was cancelled and has not returned. At its limit, the write rejects with an unknown outcome. */
  mayHaveRun(): void {
    this.#mayBeDone = true;
    this.#watchAgain();
  }

  /** The write has not run, or was undone. */
  hasNotRun(): void {
    this.#mayBeDone = false;
    this.#watchAgain();
  }

  #watchAgain(): void {
    const cancelled = this.isSettled ? undefined : this.limit && cancelReason(this.limit);
    if (cancelled === undefined) this.watch(this.limit);
    else this.#cancel(cancelled.reason);
  }

  #cancel(reason: unknown): void {
    this.reject(new Cancelled(this.#mayBeDone ? new OutcomeUnknownError(reason) : reason));
  }

  resolve(result: Result): void {
    if (this.settle()) this.#outcome.resolve(result);
  }

  reject(error: unknown): void {
    if (this.settle()) this.rejectSettled(error);
  }

  /** Rejects a write that has been {@link QueuedWrite.settle}d. */
  rejectSettled(error: unknown): void {
    this.#outcome.reject(error);
  }

  /** From now on, nothing else can settle the write. Returns whether it was still open. */
  settle(): boolean {
    if (this.isSettled) return false;
    this.#state = 'settled';
    this.#stopWatching?.();
    this.#group.left();
    return true;
  }
}

const ABANDONED = 'nobody waits any more';

/** The settings that a group needs. */
export interface GroupSettings extends TimeSettings {
  /** Called when a member of a group that is not sealed is settled. */
  readonly onMemberLeft: () => void;
}

/**
 * Writes that wait for the write lock together, in the order of their arrival. The group's work belongs to no single
 * caller: it goes on as long as a member waits.
 *
 * `gathering`: the group has no connection yet. `connected`: the group has a connection and waits for the write lock;
 * from here on, the time limits of the statements count. `sealed`: the group has the write lock, and accepts no more
 * members.
 */
export class Group implements Listed<Group> {
  place: Place<Group> | undefined;
  readonly members: QueuedWrite[] = [];
  /** Ends when no member is left. */
  readonly limit: Limit;
  /** Whether an earlier writer still holds its permit of the writers' semaphore. */
  isBehind = false;
  /** Whether no other waiter has queued for the write lock since this group did. */
  isLastInLine: () => boolean = () => true;
  readonly #settings: GroupSettings;
  readonly #abandoned = new CancelSource();
  #state: 'gathering' | 'connected' | 'sealed' = 'gathering';
  #waiting = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(settings: GroupSettings) {
    this.#settings = settings;
    this.limit = untilCancelled(settings.clock, this.#abandoned);
  }

  /** The number of members that are not settled. */
  get waiting(): number {
    return this.#waiting;
  }

  get isSealed(): boolean {
    return this.#state === 'sealed';
  }

  get isConnected(): boolean {
    return this.#state === 'connected';
  }

  /** Aborts when no member is left. */
  get abandoned(): CancelToken {
    return this.#abandoned;
  }

  add(call: Call, selfWaits: readonly CancelToken[]): QueuedWrite {
    const { clock, acquireTimeoutMs } = this.#settings;
    const member = new QueuedWrite(call, clock.now(), acquireTimeoutMs, this, selfWaits);
    this.members.push(member);
    this.#waiting += 1;
    if (this.#cancelTimer === undefined) this.#arm(member.deadline);
    if (this.#state === 'connected') this.#limit(member);
    else member.watch(call.signal && untilCancelled(clock, call.signal));
    return member;
  }

  /** The group has acquired a connection. */
  connected(): void {
    this.#state = 'connected';
    for (const member of this.members) this.#limit(member);
  }

  /** The group has the write lock. It accepts no more members, and no deadline of the wait counts any more. */
  seal(): QueuedWrite[] {
    this.#state = 'sealed';
    this.#disarm();
    return this.members.filter((member) => !member.isSettled);
  }

  /** Rejects the oldest member with the reason why the group could not get on. */
  rejectOldest(error: unknown): void {
    this.members.find((member) => !member.isSettled)?.reject(error);
  }

  /** Rejects all members, a limited number in each tick, as for other callers that fail together. */
  rejectAll(error: unknown): void {
    const open = this.members.filter((member) => member.settle());
    failTogether({
      failNext: () => {
        const next = open.shift();
        next?.rejectSettled(error);
        return next !== undefined;
      },
    });
  }

  #limit(member: QueuedWrite): void {
    const { timeoutMs, signal } = member.call;
    member.limit = statementLimit(this.#settings, timeoutMs, signal);
    member.watch(member.limit);
  }

  /** A member was settled. */
  left(): void {
    this.#waiting -= 1;
    if (this.#state !== 'sealed') this.#settings.onMemberLeft();
    if (this.#waiting > 0) return;
    this.#disarm();
    this.#abandoned.cancel(ABANDONED);
  }

  /** One timer for all members. They are in the order of their arrival, which is also the order of their deadlines. */
  #arm(deadline: number): void {
    if (deadline === Infinity) return;
    const { clock } = this.#settings;
    const onTime = (): void => {
      this.#cancelTimer = undefined;
      for (const member of this.members) {
        if (member.isSettled) continue;
        if (clock.now() < member.deadline) {
          this.#arm(member.deadline);
          return;
        }
        member.reject(this.#settings.writeTimeoutError());
      }
    };
    this.#cancelTimer = outsideCalls(() => clock.schedule(onTime, deadline - clock.now()));
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
