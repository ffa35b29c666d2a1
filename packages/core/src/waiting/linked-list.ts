/** The position of a member in its list. */
export class Place<T> {
  state: 'in' | 'out' = 'out';
  before: T | undefined = undefined;
  behind: T | undefined = undefined;
}

/** A member of at most one {@link LinkedList} at a time. */
export interface Listed<T> {
  /** `undefined` until the member is first added. Only the list changes it. */
  place: Place<T> | undefined;
}

/**
 * Members in the order in which they were added. Every member can leave in constant time.
 *
 * The hot path of short statements uses it instead of a `Set` or a `Map`. Those allocate a new table after every few
 * changes, and the old table keeps a reference to the new one, for the iterators in progress. Once a table has moved to
 * the old generation, V8 therefore moves every later table there too, even when it is already dead. Only a collection
 * of the whole heap frees them, and that stops the event loop for milliseconds.
 */
export class LinkedList<T extends Listed<T>> {
  #first: T | undefined;
  #last: T | undefined;
  #size = 0;

  /** The oldest member. */
  get first(): T | undefined {
    return this.#first;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a member at the end. Does nothing if the member is already in the list. */
  add(member: T): void {
    const place = (member.place ??= new Place());
    if (place.state === 'in') return;
    place.state = 'in';
    place.before = this.#last;
    if (this.#last?.place === undefined) this.#first = member;
    else this.#last.place.behind = member;
    this.#last = member;
    this.#size += 1;
  }

  /** Removes a member. Returns whether it was in the list. */
  delete({ place }: T): boolean {
    if (place?.state !== 'in') return false;
    const { before, behind } = place;
    if (before?.place === undefined) this.#first = behind;
    else before.place.behind = behind;
    if (behind?.place === undefined) this.#last = before;
    else behind.place.before = before;
    place.state = 'out';
    // A removed member that is not yet collected would keep all later members from being collected.
    place.before = undefined;
    place.behind = undefined;
    this.#size -= 1;
    return true;
  }

  /** Removes the oldest member and returns it. */
  shift(): T | undefined {
    const first = this.#first;
    if (first !== undefined) this.delete(first);
    return first;
  }

  /** A copy of the members, which does not change when a member leaves. */
  toArray(): T[] {
    const members: T[] = [];
    for (let member = this.#first; member !== undefined; member = member.place?.behind) members.push(member);
    return members;
  }
}
