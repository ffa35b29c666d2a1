import {
  type OperationChannel,
  acquireChannel,
  checkpointChannel,
  closeChannel,
  openChannel,
  queryChannel,
  releaseChannel,
  type AcquireEvent,
  type CheckpointEvent,
  type CloseEvent,
  type OpenEvent,
  type PlainChannel,
  type PoolEvent,
  type QueryEvent,
  type ReleaseEvent,
} from '../diagnostics/events.ts';
import type { PoolInspection } from '../diagnostics/inspection.ts';
import {
  CHECKPOINT_MODE,
  ERROR_TYPE,
  HEARD,
  NAMESPACE,
  POOL_NAME,
  READ,
  STATE,
  STATUS_CODE,
  SUMMARY,
  SYSTEM,
  type Attributes,
  type HeardFigure,
  type HeardName,
  type ReadFigure,
} from './figures.ts';
import { statusCodeOf, summaryOf } from './operation.ts';

/**
 * A pool, as far as it is watched: each `SqlitePool` is one, also one of another copy of this package.
 *
 * @example const pool: WatchedPool = createPool({ filename: 'app.db' });
 */
export interface WatchedPool {
  inspect(): PoolInspection;
}

/** Records one value of one figure. */
export type Recorder = (value: number, attributes: Attributes) => void;

/** What a figure is now. */
export interface Sample {
  readonly figure: ReadFigure;
  readonly value: number;
  readonly attributes: Attributes;
}

/** How many summaries of statements are remembered. */
const MOST_KNOWN = 1000;

/** The pools whose events count: those that were named, or all. */
export function watches(pools: readonly WatchedPool[] | undefined): (event: PoolEvent) => boolean {
  if (pools === undefined) return () => true;
  const watched = new WeakSet<object>(pools);
  return ({ pool }) => watched.has(pool);
}

/**
 * Makes figures of the events of pools, and reads the rest from the pools themselves. It learns of a pool by its first
 * event, and forgets it when it closes.
 */
export class PoolWatch {
  readonly #watches: (event: PoolEvent) => boolean;
  /** `undefined` for what nobody wants. */
  readonly #record: Readonly<Record<HeardName, Recorder | undefined>>;
  /** A pool that nobody uses any more can be collected as garbage. */
  readonly #pools = new Set<WeakRef<WatchedPool>>();
  readonly #seen = new WeakMap<object, PoolAttributes>();
  readonly #stops: (() => void)[] = [];

  constructor(
    recorder: (figure: HeardFigure) => Recorder | undefined,
    pools: readonly WatchedPool[] | undefined,
  ) {
    this.#watches = watches(pools);
    const recorders = Object.entries(HEARD).map(([name, figure]) => [name, recorder(figure)]);
    this.#record = Object.fromEntries(recorders) as Record<HeardName, Recorder | undefined>;
    for (const pool of pools ?? []) this.#meet({ pool, ...pool.inspect() });
    this.#listen();
  }

  /** What the pools are now, by figure and attributes. Pools of one name count as one. */
  samples(): Map<string, Sample> {
    const samples = new Map<string, Sample>();
    for (const reference of this.#pools) {
      const pool = reference.deref();
      if (pool === undefined) this.#pools.delete(reference);
      else
        for (const sample of samplesOf(pool.inspect())) {
          const key = [sample.figure.name, ...Object.values(sample.attributes)].join('\n');
          samples.set(key, joined(samples.get(key), sample));
        }
    }
    return samples;
  }

  /** Hears no more events. */
  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
    this.#pools.clear();
  }

  #listen(): void {
    this.#when(ends(queryChannel), this.#queried);
    // To listen to this channel costs every call as much as to the first one.
    if (this.#record.waitTime !== undefined || this.#record.timeouts !== undefined)
      this.#when(ends(acquireChannel), this.#acquired);
    this.#when(ends(openChannel), this.#opened);
    this.#when(releaseChannel, this.#released);
    this.#when(checkpointChannel, this.#checkpointed);
    this.#when(closeChannel, this.#closed);
  }

  #when<Event extends PoolEvent>(
    channel: PlainChannel<Event>,
    heed: (this: this, event: Event, pool: PoolAttributes) => void,
  ): void {
    const listener = (event: Event): void => {
      if (this.#watches(event)) heed.call(this, event, this.#seen.get(event.pool) ?? this.#meet(event));
    };
    channel.subscribe(listener);
    this.#stops.push(() => {
      channel.unsubscribe(listener);
    });
  }

  #queried(event: QueryEvent, pool: PoolAttributes): void {
    const { durationMs, rows, kind, busyRetries, errorCode } = event;
    const attributes = pool.ofCall(event);
    this.#record.duration?.(Number(durationMs) / 1000, attributes);
    if (rows !== undefined && (kind === 'read' || rows > 0)) this.#record.rows?.(rows, attributes);
    if (busyRetries > 0) this.#record.busyRetries?.(busyRetries, pool.named);
    if (kind === 'write' && !event.inTransaction && errorCode === undefined)
      this.#record.groupSize?.(event.groupSize, pool.named);
  }

  #acquired({ durationMs, errorCode }: AcquireEvent, { named }: PoolAttributes): void {
    if (errorCode === undefined) this.#record.waitTime?.(Number(durationMs) / 1000, named);
    else if (errorCode === 'ACQUIRE_TIMEOUT') this.#record.timeouts?.(1, named);
  }

  #opened({ durationMs, errorCode }: OpenEvent, { named }: PoolAttributes): void {
    if (errorCode === undefined) this.#record.createTime?.(Number(durationMs) / 1000, named);
  }

  #released({ heldMs }: ReleaseEvent, { named }: PoolAttributes): void {
    if (heldMs !== undefined) this.#record.useTime?.(heldMs / 1000, named);
  }

  #checkpointed({ durationMs, mode }: CheckpointEvent, { named }: PoolAttributes): void {
    this.#record.checkpointDuration?.(durationMs / 1000, { ...named, [CHECKPOINT_MODE]: mode });
  }

  #closed({ pool }: CloseEvent): void {
    for (const reference of this.#pools) if (reference.deref() === pool) this.#pools.delete(reference);
  }

  #meet({ pool, poolName, database }: PoolEvent): PoolAttributes {
    // A pool of another copy of this package has another class.
    if (isWatchedPool(pool)) this.#pools.add(new WeakRef(pool));
    const attributes = new PoolAttributes(poolName, database);
    this.#seen.set(pool, attributes);
    return attributes;
  }
}

/** The ends of the operations of a channel. */
function ends<Event extends object>({ asyncEnd }: OperationChannel<Event>): PlainChannel<Event> {
  // Only pools publish on this channel, so every message has this type.
  return asyncEnd as PlainChannel<Event>;
}

/** The attributes of the measurements of one pool. They are remembered, because making them for each call would cost. */
class PoolAttributes {
  readonly named: Attributes;
  readonly #operation: Attributes;
  readonly #bySummary = new Map<string, Attributes>();

  constructor(poolName: string, database: string | undefined) {
    this.named = { [POOL_NAME]: poolName };
    this.#operation = { [SYSTEM]: 'sqlite', ...(database !== undefined && { [NAMESPACE]: database }) };
  }

  ofCall(event: QueryEvent): Attributes {
    const summary = summaryOf(event);
    const attributes = this.#bySummary.get(summary) ?? this.#remember(summary);
    const { errorCode } = event;
    if (errorCode === undefined) return attributes;
    const statusCode = statusCodeOf(errorCode);
    return {
      ...attributes,
      [ERROR_TYPE]: errorCode,
      ...(statusCode !== undefined && { [STATUS_CODE]: statusCode }),
    };
  }

  #remember(summary: string): Attributes {
    if (this.#bySummary.size >= MOST_KNOWN) this.#bySummary.clear();
    const attributes = { ...this.#operation, ...(summary !== '' && { [SUMMARY]: summary }) };
    this.#bySummary.set(summary, attributes);
    return attributes;
  }
}

function isWatchedPool(pool: object): pool is WatchedPool {
  return 'inspect' in pool && typeof pool.inspect === 'function';
}

function samplesOf({ poolName, stats, limits }: PoolInspection): Sample[] {
  const named = { [POOL_NAME]: poolName };
  const sample = (figure: ReadFigure, value: number, attributes: Attributes = named): Sample => ({
    figure,
    value,
    attributes,
  });
  return [
    sample(READ.connections, stats.idle, { ...named, [STATE]: 'idle' }),
    sample(READ.connections, stats.leased, { ...named, [STATE]: 'used' }),
    sample(READ.limit, limits.poolSize),
    sample(READ.idleMax, limits.poolSize),
    sample(READ.idleMin, limits.minIdle),
    sample(READ.pending, stats.waiting),
    sample(READ.walSize, stats.walBytes),
  ];
}

/** Two pools of one name have their connections in common, and mostly one file and its WAL. */
function joined(before: Sample | undefined, next: Sample): Sample {
  if (before === undefined) return next;
  const values = [before.value, next.value];
  const value =
    next.figure === READ.walSize ? Math.max(...values) : values.reduce((sum, one) => sum + one, 0);
  return { ...next, value };
}
