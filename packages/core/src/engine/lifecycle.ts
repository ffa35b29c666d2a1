import { OperationTimeoutError, PoolClosedError } from '../errors.ts';
import type { EvictionReason } from '../diagnostics/stats.ts';
import { bounded, outsideCalls, type Clock } from '../waiting/deadline.ts';
import { operationLimit } from '../waiting/limits.ts';
import type { Entries, OwnEntry } from './entries.ts';

/** The operations on a resource that the engine does not know. A hook never throws: when it fails, it rejects. */
export interface ResourceHooks<R> {
  /** `signal` aborts when the engine no longer wants the resource. */
  open(signal: AbortSignal): Promise<R>;
  /** Rejects if the resource is no longer usable. */
  validate(resource: R): Promise<void>;
  /** Cancels the calls on the resource. Resolves when no call runs any more. */
  drain(resource: R): Promise<void>;
  /** Drains and closes the resource. `last`: the pool is closing and has no other resource. */
  close(resource: R, last: boolean): Promise<void>;
  /**
   * The engine calls this when a close does not return. The hook must release everything that the resource holds for
   * others.
   */
  abandon(resource: R): void;
  /** The engine has begun to close a resource. */
  retired?(reason: EvictionReason): void;
}

/** The settings of the operations on a resource. */
export interface LifecycleSettings {
  readonly clock: Clock;
  readonly operationTimeoutMs: number;
}

/** What has happened to the resources so far. */
export interface History {
  opens: number;
  openFailures: number;
  /** The error of the newest failed open. The next successful open clears it. */
  lastOpenError: unknown;
  readonly evictions: Record<EvictionReason, number>;
}

/** What follows from an operation on a resource. */
export interface LifecycleEvents<R> {
  /** A resource was opened, or has passed its check. */
  good(entry: OwnEntry<R>): void;
  /** An open has failed. */
  notOpened(error: unknown): void;
  /** A place has become free, or a resource has begun to close. */
  changed(): void;
}

/**
 * Opens, checks and closes resources, each in `operationTimeoutMs`. A resource whose operation takes longer is
 * quarantined.
 *
 * Everything runs outside the async context of the call that causes it, because it serves the whole pool.
 */
export class Lifecycle<R> {
  readonly history: History = {
    opens: 0,
    openFailures: 0,
    lastOpenError: undefined,
    evictions: { idle: 0, evicted: 0, invalid: 0, dirty: 0, discarded: 0, replaced: 0, closed: 0 },
  };
  readonly #settings: LifecycleSettings;
  readonly #hooks: ResourceHooks<R>;
  readonly #entries: Entries<R>;
  readonly #events: LifecycleEvents<R>;
  /** Aborts the opens in progress. */
  readonly #opening = new Set<AbortController>();
  /** While the engine drains, aborts the calls that do not return. */
  readonly #givenUp = new AbortController();

  constructor(
    settings: LifecycleSettings,
    hooks: ResourceHooks<R>,
    entries: Entries<R>,
    events: LifecycleEvents<R>,
  ) {
    this.#settings = settings;
    this.#hooks = hooks;
    this.#entries = entries;
    this.#events = events;
  }

  /** Aborts the opens in progress, because the pool closes. */
  abortOpens(): void {
    for (const unwanted of this.#opening) unwanted.abort(new PoolClosedError());
  }

  /** While the engine drains: abandons the calls that do not return. */
  giveUp(): void {
    this.#givenUp.abort(new OperationTimeoutError('last call', this.#settings.operationTimeoutMs));
  }

  /** Opens a resource. `generation`: that of its entry. */
  open(generation: number): void {
    outsideCalls(() => {
      const entry = this.#entries.add(generation);
      const unwanted = new AbortController();
      this.#opening.add(unwanted);
      const opening = this.#hooks.open(unwanted.signal);
      const limit = operationLimit(this.#settings, 'open', this.#givenUp.signal);
      const over = (): void => void this.#opening.delete(unwanted);
      opening.then(over, over);
      bounded(opening, limit, (reason) => {
        unwanted.abort(reason);
      }).then(
        (resource) => {
          this.history.opens += 1;
          this.history.lastOpenError = undefined;
          entry.resource = resource;
          this.#events.good(entry);
        },
        (error: unknown) => {
          // An open that a close has aborted did not fail.
          if (!(unwanted.signal.reason instanceof PoolClosedError)) this.history.openFailures += 1;
          this.history.lastOpenError = error;
          if (error instanceof OperationTimeoutError) this.#quarantineOpen(entry, opening);
          else this.#entries.move(entry, 'closed');
          this.#events.notOpened(error);
          this.#events.changed();
        },
      );
    });
  }

  /**
   * An open that takes too long loses its place. If it ever succeeds, the engine closes the resource and never leases
   * it.
   */
  #quarantineOpen(entry: OwnEntry<R>, opening: Promise<R>): void {
    this.#entries.move(entry, 'quarantined');
    const gone = (): void => {
      this.#gone(entry);
    };
    opening.then((resource) => this.#hooks.close(resource, false)).then(gone, gone);
  }

  /** Checks a resource, and retires it if it is not good. */
  validate(entry: OwnEntry<R>): void {
    outsideCalls(() => {
      this.#entries.move(entry, 'validating');
      bounded(
        this.#hooks.validate(entry.resource),
        operationLimit(this.#settings, 'health check', this.#givenUp.signal),
      ).then(
        () => {
          this.#events.good(entry);
        },
        () => {
          void this.retire(entry, 'invalid');
        },
      );
    });
  }

  /** Closes a resource. Its place is free when the close has returned, or when the close has taken too long. */
  retire(entry: OwnEntry<R>, reason: EvictionReason): Promise<void> {
    return outsideCalls(() => {
      this.history.evictions[reason] += 1;
      this.#hooks.retired?.(reason);
      this.#entries.move(entry, 'closing');
      const orderly = reason === 'closed';
      const last = orderly && this.#entries.alive === 1;
      const closing = this.#hooks.close(entry.resource, last);
      const limit = operationLimit(this.#settings, 'close');
      // The engine abandons only a call that does not return. It waits for a close in progress, which may write a large
      // WAL.
      const drained = bounded(this.#hooks.drain(entry.resource), {
        ...limit,
        signals: orderly ? [] : [this.#givenUp.signal],
      });
      const closed = drained
        .then(() => bounded(closing, limit))
        .then(
          () => {
            this.#gone(entry);
          },
          (error: unknown) => {
            // A close that fails has ended: the handle is useless, and the engine can do no more with it.
            if (error instanceof OperationTimeoutError) this.#quarantine(entry, closing);
            else this.#gone(entry);
          },
        );
      this.#events.changed();
      return closed;
    });
  }

  /**
   * The close of a resource does not return. Its place is free now; the entry ends when the close returns, if it ever
   * does.
   */
  #quarantine(entry: OwnEntry<R>, closing: Promise<void>): void {
    this.#entries.move(entry, 'quarantined');
    this.#hooks.abandon(entry.resource);
    const gone = (): void => {
      this.#gone(entry);
    };
    closing.then(gone, gone);
    this.#events.changed();
  }

  #gone(entry: OwnEntry<R>): void {
    this.#entries.move(entry, 'closed');
    this.#events.changed();
  }
}
