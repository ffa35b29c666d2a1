import type { QueryEvent, RequestOrigin } from '@sqlite-pool/core/channels';
import type { EventState, Origin } from '../state.ts';

const KEPT = 100;

/** The last events that are worth a line. */
export class EventLog {
  readonly #now: () => number;
  readonly #events: EventState[] = [];
  #ids = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(
    kind: EventState['kind'],
    text: string,
    details: {
      readonly isBad?: boolean;
      readonly sql?: string;
      readonly request?: RequestOrigin | undefined;
    } = {},
  ): void {
    this.#ids += 1;
    this.#events.push({
      id: this.#ids,
      at: Math.round(this.#now()),
      kind,
      isBad: details.isBad ?? false,
      text,
      sql: details.sql === undefined ? null : shortened(details.sql),
      origin: originOf(details.request),
    });
    if (this.#events.length > KEPT) this.#events.shift();
  }

  /** Newest first. */
  state(): EventState[] {
    return this.#events.toReversed();
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
