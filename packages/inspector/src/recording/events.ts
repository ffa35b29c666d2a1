import type { QueryEvent, RequestOrigin } from '@sqlite-pool/core/channels';
import type { EventState, Origin } from '../state.ts';

const KEPT = 40;

/** What happened, apart from its text. */
export interface EventDetails {
  readonly isBad?: boolean;
  readonly sql?: string;
  readonly request?: RequestOrigin | undefined;
}

/**
 * The last events that are worth a line. What happens again, of the same route and with the same statement, is one line
 * with a count: or a hundred slow calls would hide the eviction between them.
 */
export class EventLog {
  readonly #now: () => number;
  /** The newest is at the end. */
  readonly #events = new Map<string, EventState>();
  #ids = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `what` stays the same when it happens again; `extra`, like a duration, may differ. */
  add(kind: EventState['kind'], what: string, extra: string = '', details: EventDetails = {}): void {
    const sql = details.sql === undefined ? null : shortened(details.sql);
    const origin = originOf(details.request);
    const key = JSON.stringify([kind, what, sql, origin?.route]);
    const before = this.#events.get(key);
    this.#events.delete(key);
    this.#events.set(key, {
      id: before?.id ?? (this.#ids += 1),
      times: (before?.times ?? 0) + 1,
      at: Math.round(this.#now()),
      kind,
      isBad: details.isBad ?? false,
      text: what + extra,
      sql,
      origin,
    });
    if (this.#events.size > KEPT) {
      const [oldest] = this.#events.keys();
      this.#events.delete(String(oldest));
    }
  }

  /** Newest first. */
  state(): EventState[] {
    return [...this.#events.values()].reverse();
  }
}

export function originOf(request: RequestOrigin | undefined): Origin | null {
  return request === undefined ? null : { id: request.id ?? null, route: request.route ?? null };
}

/** The page shows what runs in one or two lines. The statements have the whole text. */
export function shortened(sql: string): string {
  return sql.length > 1000 ? `${sql.slice(0, 1000)}…` : sql;
}

/** How a failed operation is named: never by its message, which may quote a value. */
export function failureOf({ errorCode }: Pick<QueryEvent, 'errorCode'>): string {
  return errorCode ?? 'an error without a code';
}
