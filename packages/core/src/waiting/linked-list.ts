/** Where a member stands in its list. */
export class Place<T> {
  state: 'in' | 'out' = 'out';
  before: T | undefined = undefined;
  behind: T | undefined = undefined;
}

/** What can be a member of one {@link LinkedList} at a time. */
export interface Listed<T> {
  /** `undefined` until it is first added. Only the list changes it. */
  place: Place<T> | undefined;
}

/**
 * Members in the order in which they came, who leave from anywhere in constant time.
 *
 * For what comes and goes with every short statement it takes the place of a `Set` or a `Map`. Those lay out a new table after every few
 * changes, and the old one keeps a reference to the new one, for iterators that are under way. So once a table has lived long
 * enough to be moved to the old generation, all that come after it are moved there with it, dead as they are, and only a
 * collection of the whole heap, which stops the event loop for milliseconds, finds them.
 */
export class LinkedList<T extends Listed<T>> {
  #first: T | undefined;
  #last: T | undefined;
  #size = 0;

  /** The one that has been in it for the longest. */
  get first(): T | undefined {
    return this.#first;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a member at the end, unless it is in it already. */
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

  /** Takes a member out; says whether it was in. */
  delete({ place }: T): boolean {
    if (place?.state !== 'in') return false;
    const { before, behind } = place;
    if (before?.place === undefined) this.#first = behind;
    else before.place.behind = behind;
    if (behind?.place === undefined) this.#last = before;
    else behind.place.before = before;
    place.state = 'out';
    // One that is gone, but not yet collected, would keep all that came after it from being collected.
    place.before = undefined;
    place.behind = undefined;
    this.#size -= 1;
    return true;
  }

  /** Takes out the one that has been in it for the longest. */
  shift(): T | undefined {
    const first = this.#first;
    if (first !== undefined) this.delete(first);
    return first;
  }

  /** The members as they are now, whoever leaves meanwhile. */
  toArray(): T[] {
    const members: T[] = [];
    for (let member = this.#first; member !== undefined; member = member.place?.behind) members.push(member);
    return members;
  }
}
