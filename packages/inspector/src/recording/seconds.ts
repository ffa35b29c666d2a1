import type { QueryEvent } from '@sqlite-pool/core/channels';
import type { Minute, SecondState } from '../state.ts';
import { Latencies } from './latencies.ts';

const KEPT = 300;
const MINUTE = 60;

/** What ended in one second. */
class Second {
  readonly at: number;
  readonly latencies: Latencies = new Latencies();
  calls = 0;
  errors = 0;
  busyRetries = 0;
  #finished: SecondState | undefined;

  constructor(at: number) {
    this.at = at;
  }

  state(isOver: boolean): SecondState {
    if (this.#finished !== undefined) return this.#finished;
    const { at, calls, errors, latencies } = this;
    const state: SecondState = [
      at,
      calls,
      errors,
      rounded(latencies.percentile(0.5)),
      rounded(latencies.percentile(0.95)),
    ];
    if (isOver) this.#finished = state;
    return state;
  }
}

/** The calls of the last five minutes, second by second. A second without calls takes no memory. */
export class Seconds {
  readonly #since: number;
  /** Oldest first. */
  #seconds: Second[] = [];

  /** `since`: the second in which the recording began. */
  constructor(since: number) {
    this.#since = since;
  }

  add(event: QueryEvent, at: number): void {
    const second = this.#current(at);
    second.calls += 1;
    if (event.error !== undefined) second.errors += 1;
    second.busyRetries += event.busyRetries;
    // The time of a cursor is mostly that of the loop around it.
    if (event.method !== 'iterate') second.latencies.add(Number(event.durationMs));
  }

  /** The seconds after `after`, oldest first. */
  after(after: number, now: number): SecondState[] {
    const first = Math.max(after + 1, now - KEPT + 1, this.#since);
    const states: SecondState[] = [];
    let index = this.#seconds.findIndex(({ at }) => at >= first);
    for (let at = first; at <= now; at += 1) {
      const second = index < 0 ? undefined : this.#seconds[index];
      if (second?.at === at) {
        states.push(second.state(at < now));
        index += 1;
      } else states.push([at, 0, 0, 0, 0]);
    }
    return states;
  }

  lastMinute(now: number): Minute {
    const latencies = new Latencies();
    let [calls, errors, busyRetries] = [0, 0, 0];
    // The current second has only begun.
    const first = Math.max(now - MINUTE, this.#since);
    for (const second of this.#seconds) {
      if (second.at < first || second.at >= now) continue;
      calls += second.calls;
      errors += second.errors;
      busyRetries += second.busyRetries;
      latencies.merge(second.latencies);
    }
    const [p50Ms, p95Ms] = [rounded(latencies.percentile(0.5)), rounded(latencies.percentile(0.95))];
    return { calls, errors, busyRetries, p50Ms, p95Ms, seconds: now - first };
  }

  #current(at: number): Second {
    const last = this.#seconds.at(-1);
    // A clock that goes back must not lead to two entries for one second.
    if (last !== undefined && last.at >= at) return last;
    const second = new Second(at);
    this.#seconds.push(second);
    if (Number(this.#seconds[0]?.at) <= at - KEPT) {
      this.#seconds = this.#seconds.filter((one) => one.at > at - KEPT);
    }
    return second;
  }
}

/** Three digits after the point are enough of a millisecond. */
export function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
