import { ConnectionLostError } from '../../errors.ts';
import type { Handle } from './handle.ts';
import type { Line } from './line.ts';
import type { Thread } from './thread.ts';

/** Opens a shared handle in a thread. Rejects with `ConnectionLostError` if the file was replaced by another one. */
export type OpenShared = (thread: Thread, identity: string) => Promise<Handle>;

/** The handles that connections share: at most one for each thread and file. */
export class SharedHandles {
  readonly #open: OpenShared;
  readonly #handles = new WeakMap<Thread, Map<string, Handle | Promise<Handle>>>();

  constructor(open: OpenShared) {
    this.#open = open;
  }

  /** The handle for a file, by the identity of the file. */
  get(thread: Thread, identity: string): Handle | Promise<Handle> {
    const handles = this.#handlesOf(thread);
    const there = handles.get(identity);
    if (there !== undefined && (there instanceof Promise || there.isUsable)) return there;
    const opening = this.#open(thread, identity);
    handles.set(identity, opening);
    opening.then(
      (handle) => handles.set(identity, handle),
      () => handles.delete(identity),
    );
    return opening;
  }

  /** Adds a handle that was opened by other code. */
  add(thread: Thread, identity: string, handle: Handle): void {
    this.#handlesOf(thread).set(identity, handle);
  }

  #handlesOf(thread: Thread): Map<string, Handle | Promise<Handle>> {
    const handles = this.#handles.get(thread) ?? new Map<string, Handle | Promise<Handle>>();
    this.#handles.set(thread, handles);
    return handles;
  }
}

/** Chooses the thread and the handle for calls that can run on any handle of the file. */
export interface SharedPlaces {
  place(long: boolean): Thread;
  handle(thread: Thread): Handle | Promise<Handle>;
}

/** The lines of one connection to shared handles, one for each thread that it has used. */
export class SharedLines {
  readonly #places: SharedPlaces;
  readonly #lines = new Map<Thread, Line>();
  #closed = false;

  constructor(places: SharedPlaces) {
    this.#places = places;
  }

  /** Returns a line for a call, or a promise if the handle is not open yet. */
  take(long: boolean): Line | Promise<Line> {
    const thread = this.#places.place(long);
    const line = this.#lines.get(thread);
    if (line?.handle.isUsable === true) return line;
    this.#forget(thread);
    const handle = this.#places.handle(thread);
    return handle instanceof Promise ? this.#onceOpen(thread, handle) : this.join(thread, handle);
  }

  join(thread: Thread, handle: Handle): Line {
    const line = handle.join();
    this.#lines.set(thread, line);
    return line;
  }

  /** Closes one line after the other, because the last handle of a file must know that it is the last. */
  async close(): Promise<void> {
    this.#closed = true;
    const [first] = this.#lines;
    if (first === undefined) return;
    const [thread, line] = first;
    this.#lines.delete(thread);
    try {
      await line.handle.leave(line);
    } finally {
      await this.close();
    }
  }

  async #onceOpen(thread: Thread, opening: Promise<Handle>): Promise<Line> {
    let handle = await opening;
    // Another connection that waited for the handle may have closed it since.
    while (!handle.isUsable) {
      if (thread.hasEnded) throw new ConnectionLostError(undefined);
      handle = await this.#places.handle(thread);
    }
    if (this.#closed) {
      await handle.closeIfUnused();
      throw new ConnectionLostError(undefined);
    }
    const line = this.#lines.get(thread);
    return line?.handle.isUsable === true ? line : this.join(thread, handle);
  }

  /** Also removes the lines of threads that have ended, because no other code does. */
  #forget(thread: Thread): void {
    for (const [other, line] of this.#lines) {
      if (other !== thread && !other.hasEnded) continue;
      this.#lines.delete(other);
      void line.handle.leave(line).catch(() => undefined);
    }
  }
}
