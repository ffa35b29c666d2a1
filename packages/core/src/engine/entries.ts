/**
 * The states of a resource in the pool. `quarantined`: a call on the resource does not return, and the pool has
 * abandoned it.
 */
export type EntryState = 'opening' | 'idle' | 'validating' | 'leased' | 'closing' | 'quarantined' | 'closed';

const MOVES: Readonly<Record<EntryState, Partial<Record<EntryState, true>>>> = {
  opening: { idle: true, leased: true, closing: true, quarantined: true, closed: true },
  idle: { leased: true, validating: true, closing: true },
  validating: { leased: true, idle: true, closing: true },
  leased: { leased: true, idle: true, validating: true, closing: true },
  closing: { quarantined: true, closed: true },
  quarantined: { closed: true },
  closed: {},
};

/** The pool's record of one resource. */
export interface Entry<R> {
  readonly resource: R;
  readonly state: EntryState;
}

/** The same record for the engine, which may change it. */
export interface OwnEntry<R> extends Entry<R> {
  // Set in every state but `opening` and the states that follow a failed open.
  resource: R;
  state: EntryState;
  /** The number of evictions before this entry was opened. */
  readonly generation: number;
  idleSince: number;
}

/** Every entry that is not closed, counted by state. No other code changes the state of an entry. */
export class Entries<R> {
  readonly #all = new Set<OwnEntry<R>>();
  readonly #counts: Record<EntryState, number> = {
    opening: 0,
    idle: 0,
    validating: 0,
    leased: 0,
    closing: 0,
    quarantined: 0,
    closed: 0,
  };

  get counts(): Readonly<Record<EntryState, number>> {
    return this.#counts;
  }

  /** The number of entries that are not quarantined. */
  get alive(): number {
    return this.#all.size - this.#counts.quarantined;
  }

  /** Adds an entry in the state `opening`. */
  add(generation: number): OwnEntry<R> {
    const entry: OwnEntry<R> = { resource: undefined as R, state: 'opening', generation, idleSince: 0 };
    this.#all.add(entry);
    this.#counts.opening += 1;
    return entry;
  }

  /** Changes the state of an entry. An illegal move is a bug in the engine. */
  move(entry: OwnEntry<R>, to: EntryState): void {
    if (MOVES[entry.state][to] !== true)
      throw new Error(`sqlite-pool: an entry cannot go from ${entry.state} to ${to}`);
    this.#counts[entry.state] -= 1;
    this.#counts[to] += 1;
    entry.state = to;
    if (to === 'closed') this.#all.delete(entry);
  }

  /** The entries that have a resource. */
  opened(): { readonly resource: R; readonly state: Exclude<EntryState, 'opening'> }[] {
    return [...this.#all].flatMap(({ resource, state }) =>
      state === 'opening' ? [] : [{ resource, state }],
    );
  }

  leased(): OwnEntry<R>[] {
    return [...this.#all].filter(({ state }) => state === 'leased');
  }
}
