import type { PoolInspection, PoolStats } from '@sqlite-pool/core';
import {
  acquireChannel,
  closeChannel,
  evictChannel,
  queryChannel,
  type AcquireEvent,
  type PoolEvent,
  type QueryEvent,
  type RequestOrigin,
} from '@sqlite-pool/core/channels';
import type { InspectedPool } from '../src/index.ts';

type Changing<T> = { -readonly [K in keyof T]: T[K] };

/** What a test says of a call. */
export type QueryFields = Partial<Omit<QueryEvent, keyof PoolEvent>>;

const STATS: PoolStats = {
  driver: 'node:sqlite',
  size: 0,
  idle: 0,
  leased: 0,
  opening: 0,
  validating: 0,
  closing: 0,
  quarantined: 0,
  waiting: 0,
  writerHeld: false,
  writersWaiting: 0,
  acquires: 0,
  acquireTimeouts: 0,
  opens: 0,
  openFailures: 0,
  evictions: { idle: 0, evicted: 0, invalid: 0, dirty: 0, discarded: 0, replaced: 0, closed: 0 },
  leaks: 0,
  walBytes: 0,
  wait: { count: 0, totalMs: 0, maxMs: 0, p50Ms: 0, p95Ms: 0, p99Ms: 0 },
};

/** Publishes what a pool would publish, so that a test says exactly what the inspector hears. */
export class FakePool implements InspectedPool {
  inspection: Changing<PoolInspection> = {
    poolName: 'fake',
    database: 'fake.db',
    driver: 'node:sqlite',
    stats: STATS,
    limits: {
      poolSize: 10,
      minIdle: 0,
      maxWaiting: 1000,
      acquireTimeoutMs: 30_000,
      statementTimeoutMs: Infinity,
      maxLeaseMs: Infinity,
      walLimitBytes: 64 * 1024 * 1024,
    },
    connections: [],
  };
  /** The texts that explain() was called with. */
  readonly explained: string[] = [];
  all: InspectedPool['all'] = async () => [];

  set stats(stats: Partial<PoolStats>) {
    this.inspection.stats = { ...this.inspection.stats, ...stats };
  }

  inspect(): PoolInspection {
    return this.inspection;
  }

  explain(sql: string): ReturnType<InspectedPool['explain']> {
    this.explained.push(sql);
    return Promise.resolve([{ id: 2, parent: 0, detail: 'SCAN users' }]);
  }

  /** A call begins. The function that it returns ends it. */
  begin(fields: QueryFields = {}): (end?: QueryFields) => void {
    const event: Changing<QueryEvent> = {
      ...this.#source(),
      request: undefined,
      method: 'all',
      sql: 'SELECT * FROM users',
      kind: 'read',
      parameters: 0,
      statements: 1,
      phase: 'running',
      rows: undefined,
      changes: undefined,
      waitMs: 0,
      lockMs: 0,
      runMs: undefined,
      busyRetries: 0,
      groupSize: 1,
      inTransaction: false,
      durationMs: undefined,
      error: undefined,
      errorCode: undefined,
      ...fields,
    };
    queryChannel.start.publish(event);
    return (end = {}) => {
      Object.assign(
        event,
        { durationMs: 1, phase: 'ended' },
        fields.durationMs === undefined ? {} : fields,
        end,
      );
      queryChannel.asyncEnd.publish(event);
    };
  }

  /** A call, from its beginning to its end. */
  query(fields: QueryFields = {}): void {
    this.begin(fields)();
  }

  /** A lease begins to wait. The function that it returns ends the wait. */
  acquire(request?: RequestOrigin): (errorCode?: string) => void {
    const event: Changing<AcquireEvent> = {
      ...this.#source(),
      request,
      purpose: 'lease',
      ahead: 0,
      durationMs: undefined,
      error: undefined,
      errorCode: undefined,
    };
    acquireChannel.start.publish(event);
    return (errorCode) => {
      event.errorCode = errorCode;
      event.error = errorCode === undefined ? undefined : new Error('secret');
      acquireChannel.asyncEnd.publish(event);
    };
  }

  evict(reason: string): void {
    evictChannel.publish({ ...this.#source(), reason });
  }

  close(): void {
    closeChannel.publish({ ...this.#source(), durationMs: 1 });
  }

  #source(): PoolEvent {
    const { poolName, database, driver } = this.inspection;
    return { pool: this, poolName, database, driver };
  }
}
