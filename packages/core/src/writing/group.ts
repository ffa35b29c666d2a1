import { Cancelled } from '../connection/call-queue.ts';
import {
  cancelReason,
  limitOf,
  noTimeout,
  outsideCalls,
  CancelSource,
  watch,
  type CancelToken,
  type Limit,
} from '../waiting/deadline.ts';
import type { Result } from '../driver.ts';
import { OutcomeUnknownError } from '../errors.ts';
import { statementLimit, type TimeSettings } from '../waiting/limits.ts';
import type { Listed, Place } from '../waiting/linked-list.ts';
import type { Call } from '../query/queryable.ts';
import { failTogether } from '../waiting/rejections.ts';

/** One write of a group. It is settled once, by its end or by its own limit, whichever comes first. */
export class QueuedWrite {
  readonly call: Call;
  readonly outcome: Promise<Result>;
  /** The moment at which it has begun to wait for its turn to write. */
  readonly since: number;
  /** The moment at which it has waited for too long for that. */
  readonly deadline: number;
  /** What limits its statement; `undefined` if nothing does, or if that does not count yet. */
  limit: Limit | undefined;
  /** Whether its statement may have run, in a transaction that may be committed. */
  #mayBeDone = false;
  readonly #group: { left(): void };
  #resolve!: (result: Result) => void;
  #reject!: (error: unknown) => void;
  #state: 'open' | 'settled' = 'open';
  #stopWatching: (() => void) | undefined;

  constructor(call: Call, since: number, timeoutMs: number, group: { left(): void }) {
    this.call = call;
    this.since = since;
    this.deadline = since + timeoutMs;
    this.#group = group;
    this.outcome = new Promise<Result>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get isSettled(): boolean {
    return this.#state === 'settled';
  }

  /** From now on it is rejected when the limit is reached. */
  watch(limit: Limit | undefined): void {
    if (this.isSettled || limit === undefined) return;
    this.#stopWatching?.();
    this.#stopWatching = watch(limit, (reason) => {
      this.#cancel(reason);
    });
  }

  /** It runs now: the call watches its limit, and finds out whether it was done. */
  runs(): void {
    this.#stopWatching?.();
  }

  /** Its call was cancelled and has not returned: it rejects at its limit, and nobody knows whether it was done. */
  mayHaveRun(): void {
    this.#mayBeDone = true;
    this.#watchAgain();
  }

  /** It has not run, or is undone. */
  hasNotRun(): void {
    this.#mayBeDone = false;
    this.#watchAgain();
  }

  #watchAgain(): void {
    const cut = this.isSettled ? undefined : this.limit && cancelReason(this.limit);
    if (cut === undefined) this.watch(this.limit);
    else this.#cancel(cut.reason);
  }

  #cancel(reason: unknown): void {
    this.reject(new Cancelled(this.#mayBeDone ? new OutcomeUnknownError(reason) : reason));
  }

  resolve(result: Result): void {
    if (this.settle()) this.#resolve(result);
  }

  reject(error: unknown): void {
    if (this.settle()) this.rejectSettled(error);
  }

  /** Of one that has been {@link QueuedWrite.settle}d. */
  rejectSettled(error: unknown): void {
    this.#reject(error);
  }

  /** From now on nothing else can end it. Says whether it was still open. */
  settle(): boolean {
    if (this.isSettled) return false;
    this.#state = 'settled';
    this.#stopWatching?.();
    this.#group.left();
    return true;
  }
}

const NOBODY_LEFT = 'nobody waits any more';

/** The settings a group needs. */
export interface GroupSettings extends TimeSettings {
  /** What a group tells of itself. */
  readonly onMemberLeft: () => void;
}

/**
 * Writes that wait for one turn to write together, first come first served. The group's work is nobody's own: it goes on
 * as long as anyone waits for it.
 *
 * `gathering`: it has no connection yet. `connected`: it has one, and waits for the turn to write, and the time limits of
 * statements count. `sealed`: it has the turn, and takes no more members.
 */
export class Group implements Listed<Group> {
  place: Place<Group> | undefined;
  readonly members: QueuedWrite[] = [];
  /** Ends when nobody is left. */
  readonly limit: Limit;
  /** Whether a writer that came before has not left the writers' gate. */
  isBehind = false;
  /** Whether nobody has queued for the turn to write since this group has. */
  isLastInLine: () => boolean = () => true;
  readonly #settings: GroupSettings;
  readonly #abandoned = new CancelSource();
  #state: 'gathering' | 'connected' | 'sealed' = 'gathering';
  #waiting = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(settings: GroupSettings) {
    this.#settings = settings;
    this.limit = limitOf(settings.clock, Infinity, noTimeout, this.#abandoned);
  }

  /** How many are not settled. */
  get waiting(): number {
    return this.#waiting;
  }

  get isSealed(): boolean {
    return this.#state === 'sealed';
  }

  get isConnected(): boolean {
    return this.#state === 'connected';
  }

  /** Aborts when nobody is left. */
  get abandoned(): CancelToken {
    return this.#abandoned;
  }

  add(call: Call): QueuedWrite {
    const { clock, acquisitionTimeoutMs } = this.#settings;
    const member = new QueuedWrite(call, clock.now(), acquisitionTimeoutMs, this);
    this.members.push(member);
    this.#waiting += 1;
    if (this.#cancelTimer === undefined) this.#arm(member.deadline);
    if (this.#state === 'connected') this.#limit(member);
    else if (call.signal !== undefined) member.watch(limitOf(clock, Infinity, noTimeout, call.signal));
    return member;
  }

  /** It has a connection. */
  connected(): void {
    this.#state = 'connected';
    for (const member of this.members) this.#limit(member);
  }

  /** It has its turn: nobody joins it any more, and nobody has waited for too long. */
  seal(): QueuedWrite[] {
    this.#state = 'sealed';
    this.#disarm();
    return this.members.filter((member) => !member.isSettled);
  }

  /** What kept the group from its turn is told to whoever has waited the longest, as it is elsewhere. */
  rejectOldest(error: unknown): void {
    this.members.find((member) => !member.isSettled)?.reject(error);
  }

  /** All members are rejected, a few in each tick, as others are that fail together. */
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

  /** A member has been settled. */
  left(): void {
    this.#waiting -= 1;
    if (this.#state !== 'sealed') this.#settings.onMemberLeft();
    if (this.#waiting > 0) return;
    this.#disarm();
    this.#abandoned.cancel(NOBODY_LEFT);
  }

  /** One timer for all: they came in order, so that their time is over in order. */
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
