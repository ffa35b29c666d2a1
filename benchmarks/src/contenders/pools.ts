import { createPool, type Lease } from '@sqlite-pool/core';

/** A pool of nothing: what it costs by itself. */
export interface Pool {
  acquire(): Promise<unknown>;
  /** Returns a promise where its documentation awaits one. */
  release(resource: unknown): Promise<void> | undefined;
}

export interface PoolContender {
  readonly name: string;
  /** Whether waiting can have no end. */
  readonly waitsForEver: boolean;
  /** `size` resources at most, for which nobody waits longer than `timeoutMs`; 0 is no end. */
  open(size: number, timeoutMs: number): Promise<Pool>;
}

export const sqlitePool: PoolContender = {
  name: 'sqlite-pool',
  waitsForEver: true,
  async open(poolSize, timeoutMs) {
    const pool = createPool({
      connectionFactory: () => ({
        execute: async () => ({ rows: [], columns: [], changes: 0, lastInsertRowid: 0 }),
        rollback: async () => undefined,
        close: async () => undefined,
      }),
      poolSize,
      maxWaiting: Infinity,
      acquireTimeoutMs: timeoutMs || Infinity,
    });
    await pool.open();
    return { acquire: () => pool.acquire(), release: (lease: Lease) => lease.release() };
  },
};

const create = async (): Promise<object> => ({});
const destroy = async (): Promise<void> => undefined;
/** The only pool that needs to know how many users may wait. */
const MOST = 1_000_000;

const tarn: PoolContender = {
  name: 'tarn',
  waitsForEver: false,
  async open(max, timeoutMs) {
    const { Pool: Tarn } = await import('tarn');
    const pool = new Tarn<object>({ create, destroy, min: 0, max, acquireTimeoutMillis: timeoutMs });
    return {
      acquire: () => pool.acquire().promise,
      release(resource: object) {
        pool.release(resource);
        return undefined;
      },
    };
  },
};

const genericPool: PoolContender = {
  name: 'generic-pool',
  waitsForEver: true,
  async open(max, timeoutMs) {
    const { default: generic } = await import('generic-pool');
    const limits = timeoutMs === 0 ? {} : { acquireTimeoutMillis: timeoutMs };
    const pool = generic.createPool({ create, destroy }, { min: 0, max, ...limits });
    return {
      acquire: () => pool.acquire(),
      release(resource: object) {
        void pool.release(resource);
        return undefined;
      },
    };
  },
};

const lightningPool: PoolContender = {
  name: 'lightning-pool',
  waitsForEver: true,
  async open(max, acquireTimeoutMillis) {
    const { Pool: Lightning } = await import('lightning-pool');
    const pool = new Lightning<object>(
      { create, destroy },
      { min: 0, max, maxQueue: MOST, acquireTimeoutMillis },
    );
    pool.start();
    return {
      acquire: () => pool.acquire(),
      release(resource: object) {
        pool.release(resource);
        return undefined;
      },
    };
  },
};

export const others: readonly PoolContender[] = [tarn, genericPool, lightningPool];

export const pools: readonly PoolContender[] = [sqlitePool, ...others];
