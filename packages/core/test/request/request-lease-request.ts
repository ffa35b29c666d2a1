import { EventEmitter } from 'node:events';
import { expect, onTestFinished } from 'vitest';
import type { PoolOptions } from '../../src/options.ts';
import { createPool, type SqlitePool } from '../../src/pool.ts';
import { RequestLease, type RequestLeaseOptions } from '../../src/request/request-lease.ts';
import type { ResponseEvents } from '../../src/request/request-lifetime.ts';
import { fakeDriver } from '../../src/testing/fake-driver.ts';
/** A response as Node.js makes it, moved by hand. */
export class FakeResponse extends EventEmitter implements ResponseEvents {
  closed = false;
  headersSent = false;
  writableEnded = false;
  errored: Error | null = null;
  writeHead = (..._args: never[]): unknown => {
    this.headersSent = true;
    return this;
  };

  /** The whole answer is given. */
  end(): void {
    if (!this.headersSent) this.writeHead();
    this.writableEnded = true;
  }

  close(): void {
    this.closed = true;
    this.emit('close');
  }
}

export interface MadeRequest {
  readonly pool: SqlitePool;
  readonly driver: ReturnType<typeof fakeDriver>;
  readonly response: FakeResponse;
  readonly db: RequestLease;
  /** Another request on the same pool. */
  readonly another: (options?: Partial<RequestLeaseOptions>) => RequestLease;
}

/** A pool without a database, and a request on it; the pool is closed after the test, and has kept the driver's contract. */
export function make(
  options: Partial<RequestLeaseOptions> = {},
  poolOptions: PoolOptions = {},
  script = {},
): MadeRequest {
  const driver = fakeDriver(script);
  const pool = createPool({ driver, poolSize: 2, closeTimeoutMs: 0, ...poolOptions });
  onTestFinished(async () => {
    await pool.close();
    expect(driver.violations).toEqual([]);
  });
  const response = new FakeResponse();
  const another = (own: Partial<RequestLeaseOptions> = {}) =>
    new RequestLease(pool, { mode: 'request', disconnectGraceMs: 60_000, method: 'GET', ...own });
  return { pool, driver, response, db: another({ response, ...options }), another };
}

export const LEASE_ENDED: { readonly code: 'LEASE_ENDED' } = { code: 'LEASE_ENDED' };
export const WRITE: string = 'INSERT INTO t VALUES (1)';

/** Runs `work` while a transaction that began elsewhere holds the write lock. */
export async function whileAnotherWrites<T>(pool: SqlitePool, work: () => Promise<T>): Promise<T> {
  let begun: (() => void) | undefined;
  let end: (() => void) | undefined;
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  const over = new Promise<void>((resolve) => (end = resolve));
  const transaction = pool.transaction(async () => {
    begun?.();
    await over;
  });
  await hasBegun;
  try {
    return await work();
  } finally {
    end?.();
    await transaction;
  }
}
