/**
 * The channels on which pools publish what they do: https://nodejs.org/api/diagnostics_channel.html. A channel that
 * nothing listens to costs a call one comparison. docs/sight.md has the table.
 */

import { channel, tracingChannel, type TracingChannelCollection } from 'node:diagnostics_channel';
import type { Logger } from './logger.ts';

/**
 * What every event says: which pool, on which database.
 *
 * @example const mine = (event: PoolEvent) => event.pool === pool;
 */
export interface PoolEvent {
  /** The pool itself, to compare. */
  readonly pool: object;
  /** The option `poolName`; else the name of the database. */
  readonly poolName: string;
  /** The last part of the file's path, `:memory:`, or the host of a server; `undefined` if the driver does not say. */
  readonly database: string | undefined;
  /** The name of the driver. */
  readonly driver: string;
}

/**
 * What a plugin knows about the request that makes a call.
 *
 * @example const origin: RequestOrigin = { id: 'req-1', route: 'GET /users/:id' };
 */
export interface RequestOrigin {
  /** The id that the framework gives the request, if it gives one. */
  readonly id: string | undefined;
  /** The method and the pattern of the route, not the URL. */
  readonly route: string | undefined;
  /** The logger of the request, if the framework has one. Its lines carry the id of the request. */
  readonly log?: Logger | undefined;
}

/** The fields of an operation that takes time and may fail. */
export interface OperationEvent extends PoolEvent {
  /** The request that made the call, if a plugin knows it. */
  readonly request: RequestOrigin | undefined;
  /** How long the operation took in all, in milliseconds; `undefined` until it has ended. */
  readonly durationMs: number | undefined;
  /** The error with which it failed. */
  readonly error: unknown;
  /** The code of that error, as `SQLITE_CONSTRAINT_UNIQUE`, or the name of an error without a code. */
  readonly errorCode: string | undefined;
}

/**
 * One call of a query method. Never has a bound value and never a row.
 *
 * @example
 * queryChannel.subscribe({ asyncEnd: ({ sql, durationMs }) => console.log(sql, durationMs) });
 */
export interface QueryEvent extends OperationEvent {
  /** The method that was called. */
  readonly method: 'execute' | 'get' | 'all' | 'run' | 'batch' | 'iterate' | 'script';
  /** The text as the caller wrote it; of a batch, the texts with `;` and a line break between them. */
  readonly sql: string;
  /** `read` and `write` say whether the statement needs the write lock; `control` begins or ends a transaction. */
  readonly kind: 'read' | 'write' | 'control';
  /** The number of bound values. */
  readonly parameters: number;
  /** The number of statements in a batch; 1 otherwise. */
  readonly statements: number;
  /**
   * Where the call is: it waits for a connection (`waiting`) or for the write lock (`locking`), it runs, or it has
   * ended. Changes while the call goes on.
   */
  readonly phase: 'waiting' | 'locking' | 'running' | 'ended';
  /** The number of rows that the call returned. */
  readonly rows: number | undefined;
  /** The number of rows that it changed. */
  readonly changes: number | undefined;
  /** How long it waited until it had a connection to itself, in milliseconds. */
  readonly waitMs: number;
  /** How long it waited for the write lock of this process, or for a lock of another process, in milliseconds. */
  readonly lockMs: number;
  /** What remains of `durationMs`: the way to the thread, SQLite's work, and the way back. Of a cursor, also the loop's own time. */
  readonly runMs: number | undefined;
  /** How often SQLite answered that another process holds the lock. */
  readonly busyRetries: number;
  /** The number of writes that shared the COMMIT; 1 if it shared none. */
  readonly groupSize: number;
  /** Whether the call runs in a transaction that was open before. */
  readonly inTransaction: boolean;
}

/** The wait of one caller for a connection. */
export interface AcquireEvent extends OperationEvent {
  /** Whether a lease acquires, or a single statement. */
  readonly purpose: 'lease' | 'statement';
  /** The acquires that wait before this one. */
  readonly ahead: number;
}

/** One `transaction()`, from its call to its end; of a request, from its first statement on. */
export interface TransactionEvent extends OperationEvent {
  readonly mode: 'immediate' | 'deferred' | 'exclusive' | 'savepoint';
  /** Where it is: as of a query. `running` is its callback, and its COMMIT or rollback. */
  readonly phase: QueryEvent['phase'];
  /** How long it waited until it had a connection to itself, in milliseconds. */
  readonly waitMs: number;
  /**
   * How long it waited until its BEGIN had the write lock, in milliseconds. 0 if it is deferred or a savepoint: then its
   * first write waits.
   */
  readonly lockMs: number;
  /** How it ended; `unknown` if the COMMIT did not say. */
  readonly outcome: 'committed' | 'rolled back' | 'unknown' | undefined;
}

/** The opening of one connection. */
export type OpenEvent = OperationEvent;

/** The end of a lease. */
export interface ReleaseEvent extends PoolEvent {
  readonly request: RequestOrigin | undefined;
  readonly ending: 'released' | 'discarded' | 'revoked';
  /** How long the lease was held, in milliseconds; `undefined` if nothing listened when it began. */
  readonly heldMs: number | undefined;
}

/** The pool retires a connection. */
export interface EvictEvent extends PoolEvent {
  readonly reason: string;
}

/** A lease is reported as leaked. */
export interface LeakEvent extends PoolEvent {
  readonly request: RequestOrigin | undefined;
  /** What happened: `old` for older than `leakWarningMs`, `collected` for collected as garbage. */
  readonly how: 'old' | 'collected';
  /** The stack of the acquire, if `leakWarningMs` is set. */
  readonly stack: string | undefined;
}

/** A checkpoint has ended, of `pool.checkpoint()` or by the pool itself. */
export interface CheckpointEvent extends PoolEvent {
  readonly mode: 'passive' | 'full' | 'restart' | 'truncate';
  readonly durationMs: number;
  /** Whether a reader or a writer kept it from its end. */
  readonly busy: boolean;
  /** The size of the WAL before, in bytes, as far as the pool knows it. */
  readonly walBytes: number;
}

/** The pool has closed. */
export interface CloseEvent extends PoolEvent {
  readonly durationMs: number;
}

/** The moments of an operation: https://nodejs.org/api/diagnostics_channel.html#class-tracingchannel. */
export type OperationMoment = 'start' | 'end' | 'asyncStart' | 'asyncEnd' | 'error';

/**
 * A `TracingChannel` of Node.js whose messages have a type. `subscribe` takes a listener for any of the moments.
 *
 * @example const listeners: Parameters<OperationChannel<QueryEvent>['subscribe']>[0] = { asyncEnd: log };
 */
export interface OperationChannel<Event extends object> extends TracingChannelCollection<unknown, Event> {
  readonly hasSubscribers: boolean;
  subscribe(listeners: OperationListeners<Event>): void;
  unsubscribe(listeners: OperationListeners<Event>): void;
}

type OperationListeners<Event> = Readonly<Partial<Record<OperationMoment, (event: Event) => void>>>;

/** A `Channel` of Node.js whose messages have a type. */
export interface PlainChannel<Event> {
  readonly hasSubscribers: boolean;
  publish(event: Event): void;
  subscribe(listener: (event: Event) => void): void;
  unsubscribe(listener: (event: Event) => void): void;
}

function traced<Event extends object>(name: string): OperationChannel<Event> {
  // Node.js takes any of the five listeners; its type asks for all of them.
  return tracingChannel<unknown, Event>(name) as OperationChannel<Event>;
}

function plain<Event>(name: string): PlainChannel<Event> {
  // Only pools publish on these channels, so every message has this type.
  return channel(name) as PlainChannel<Event>;
}

/** Every call of a query method. @example queryChannel.subscribe({ asyncEnd: ({ sql }) => log(sql) }); */
export const queryChannel: OperationChannel<QueryEvent> = traced('sqlite-pool:query');
/** Every wait for a connection. @example acquireChannel.subscribe({ asyncEnd: (event) => log(event) }); */
export const acquireChannel: OperationChannel<AcquireEvent> = traced('sqlite-pool:acquire');
/** Every `transaction()`. @example transactionChannel.subscribe({ asyncEnd: (event) => log(event) }); */
export const transactionChannel: OperationChannel<TransactionEvent> = traced('sqlite-pool:transaction');
/** Every opening of a connection. @example openChannel.subscribe({ error: (event) => log(event) }); */
export const openChannel: OperationChannel<OpenEvent> = traced('sqlite-pool:open');

/** The end of each lease. @example releaseChannel.subscribe((event) => log(event)); */
export const releaseChannel: PlainChannel<ReleaseEvent> = plain('sqlite-pool:release');
/** Each connection that the pool retires. @example evictChannel.subscribe((event) => log(event)); */
export const evictChannel: PlainChannel<EvictEvent> = plain('sqlite-pool:evict');
/** Each lease that is reported as leaked. @example leakChannel.subscribe((event) => log(event)); */
export const leakChannel: PlainChannel<LeakEvent> = plain('sqlite-pool:leak');
/** Each call that took `slowStatementMs` or longer. @example slowChannel.subscribe((event) => log(event)); */
export const slowChannel: PlainChannel<QueryEvent> = plain('sqlite-pool:slow');
/** Each checkpoint. @example checkpointChannel.subscribe((event) => log(event)); */
export const checkpointChannel: PlainChannel<CheckpointEvent> = plain('sqlite-pool:checkpoint');
/** The end of each pool. @example closeChannel.subscribe((event) => log(event)); */
export const closeChannel: PlainChannel<CloseEvent> = plain('sqlite-pool:close');
