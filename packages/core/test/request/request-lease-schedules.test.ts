import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { createPool, type SqlitePool } from '../../src/pool.ts';
import { RequestLease } from '../../src/request/request-lease.ts';
import { fakeDriver } from '../../src/testing/fake-driver.ts';
import { shareOf } from '../share.ts';
import { FakeResponse } from './request-lease-request.ts';

/** What a request can do, in any order and without waiting for what it did before. */
type Step =
  'get' | 'run' | 'script' | 'transaction' | 'connection' | 'iterate' | 'begin' | 'commit' | 'end' | 'close';

const STEPS: readonly Step[] = [
  'get',
  'run',
  'script',
  'transaction',
  'connection',
  'iterate',
  'begin',
  'commit',
  'end',
  'close',
];

const plan = fc.record({
  mode: fc.constantFrom('request' as const, 'statement' as const),
  method: fc.constantFrom('GET', 'POST'),
  awaits: fc.boolean(),
  steps: fc.array(fc.constantFrom(...STEPS), { maxLength: 6 }),
});

const WRITE = 'INSERT INTO t VALUES (1)';

class Request {
  readonly response: FakeResponse = new FakeResponse();
  readonly outcomes: Promise<unknown>[] = [];
  readonly #db: RequestLease;

  constructor(pool: SqlitePool, mode: 'request' | 'statement', method: string) {
    this.#db = new RequestLease(pool, { mode, method, disconnectGraceMs: 1, response: this.response });
  }

  /** Begins a step; resolves when it has ended, however it did. */
  async take(step: Step): Promise<void> {
    const outcome = this.#take(step).catch((error: unknown) => error);
    this.outcomes.push(outcome);
    await outcome;
  }

  async #take(step: Step): Promise<unknown> {
    const db = this.#db;
    switch (step) {
      case 'get':
        return await db.get('SELECT 1');
      case 'run':
        return await db.run(WRITE);
      case 'script': {
        await db.script('SELECT 1; SELECT 2');
        return;
      }
      case 'transaction':
        return await db.transaction((tx) => tx.run(WRITE));
      case 'connection':
        return await db.connection((connection) => connection.get('SELECT 1'));
      case 'iterate':
        for await (const _ of db.iterate('SELECT 1')) await db.get('SELECT 2');
        return undefined;
      case 'begin':
        return await db.run('BEGIN IMMEDIATE');
      case 'commit':
        return await db.run('COMMIT');
      case 'end':
        this.response.end();
        return undefined;
      case 'close':
        this.response.close();
        return undefined;
    }
  }
}

describe('requests in every order', () => {
  it('F62 F63 leave the pool as they found it, whatever they do and whenever their clients leave', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(plan, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 3 }),
        async (scheduler, plans, poolSize) => {
          const driver = fakeDriver();
          const pool = createPool({ driver, poolSize, acquireTimeoutMs: 5000, closeTimeoutMs: 1000 });
          const play = async ({
            mode,
            method,
            steps,
            awaits,
          }: (typeof plans)[number]): Promise<unknown[]> => {
            const request = new Request(pool, mode, method);
            for (const step of steps) {
              await scheduler.schedule(Promise.resolve(), step);
              const taken = request.take(step);
              if (awaits) await taken;
              const { size, leased, idle } = pool.stats();
              expect(size).toBeLessThanOrEqual(poolSize);
              expect(leased + idle).toBeLessThanOrEqual(size);
            }
            await scheduler.schedule(Promise.resolve(), 'close');
            request.response.close();
            return await Promise.all(request.outcomes);
          };
          const outcomes = (await scheduler.waitFor(Promise.all(plans.map(play)))).flat();
          await vi.waitFor(
            () => {
              expect(pool.stats()).toMatchObject({
                leased: 0,
                waiting: 0,
                writersWaiting: 0,
                writerHeld: false,
                quarantined: 0,
              });
            },
            { timeout: 2000, interval: 1 },
          );
          // Nobody waited for itself.
          expect(
            outcomes.filter(
              (outcome) => (outcome as { code?: string } | undefined)?.code === 'ACQUIRE_TIMEOUT',
            ),
          ).toEqual([]);
          expect(driver.openTransactions).toBe(0);
          await pool.close();
          expect(driver.violations).toEqual([]);
          expect(driver.openConnections).toBe(0);
        },
      ),
      { numRuns: shareOf(2000) },
    );
  }, 60_000);
});
