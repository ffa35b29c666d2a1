import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, type PoolOptions, type SqlitePool } from '@sqlite-pool/core';
import { fakeClock } from '@sqlite-pool/core/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createInspector } from '../src/index.ts';
import type { Plan, PoolState, State } from '../src/state.ts';

interface Inspected {
  readonly pool: SqlitePool;
  readonly body: (path: string) => Promise<string>;
  readonly state: () => Promise<PoolState>;
}

async function start(options: PoolOptions = {}): Promise<Inspected> {
  const folder = await mkdtemp(join(tmpdir(), 'inspector-'));
  const pool = createPool({ filename: join(folder, 'app.db'), ...options });
  const inspector = createInspector({ pool });
  onTestFinished(async () => {
    await pool.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  });
  await pool.script('CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE)');
  const body = async (path: string): Promise<string> =>
    (await inspector.handle({ method: 'GET', path, headers: {} })).body;
  const state = async (): Promise<PoolState> => (JSON.parse(await body('/state.json')) as State).pool;
  return { pool, body, state };
}

describe('of a real pool', () => {
  it('the page shows who writes, and who waits behind it', async () => {
    const { pool, state } = await start({ poolSize: 4 });
    await pool.transaction(async (tx) => {
      await tx.run('INSERT INTO users (name) VALUES (?)', ['Ada']);
      const { connections, counts } = await state();
      expect(connections.filter(({ holdsWriteLock }) => holdsWriteLock)).toMatchObject([
        { state: 'leased', inTransaction: true },
      ]);
      expect(counts).toMatchObject({ leased: 1, writerHeld: true });
    });
    const lease = await pool.acquire();
    await lease.script('BEGIN IMMEDIATE');
    const waiting = pool.run('INSERT INTO users (name) VALUES (?)', ['Bob']);
    await vi.waitFor(async () => {
      const { waiters, counts } = await state();
      expect(counts.writersWaiting).toBe(1);
      expect(waiters.shown).toMatchObject([
        { for: 'the write lock', sql: 'INSERT INTO users (name) VALUES (?)' },
      ]);
    });
    await lease.script('COMMIT');
    await lease.release();
    await waiting;
    expect(await state()).toMatchObject({
      waiters: { total: 0 },
      transactions: { committed: 1, rolledBack: 0 },
    });
  });

  it('the page shows who waits for a connection, and what was not in time', async () => {
    const clock = fakeClock();
    const { pool, state } = await start({ poolSize: 1, acquireTimeoutMs: 200, clock });
    const lease = await pool.acquire();
    const refused = expect(pool.all('SELECT name FROM users')).rejects.toThrow();
    const refusedLease = expect(pool.acquire()).rejects.toThrow();
    const { waiters, counts } = await state();
    expect(counts).toMatchObject({ leased: 1, waiting: 2 });
    expect(waiters.shown.map(({ for: what, sql }) => [what, sql])).toEqual([
      ['a connection', 'SELECT name FROM users'],
      ['a connection', null],
    ]);
    await clock.advance(200);
    await Promise.all([refused, refusedLease]);
    await lease.release();
    const later = await state();
    expect(later.counts.acquireTimeouts).toBe(2);
    expect(later.events.map(({ text }) => text)).toContain('A wait for a connection failed: ACQUIRE_TIMEOUT');
    expect(later.statements.shown.find(({ sql }) => sql === 'SELECT name FROM users')).toMatchObject({
      errors: 1,
    });
  });

  it('the page shows writes that shared a COMMIT', async () => {
    const { pool, state } = await start();
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        pool.run('INSERT INTO users (name) VALUES (?)', [`user ${String(index)}`]),
      ),
    );
    const { groups } = await state();
    expect(groups.writes).toBe(50);
    expect(groups.commits).toBeLessThan(50);
  });

  it('a plan is that of SQLite', async () => {
    const { pool, body, state } = await start();
    await pool.get('SELECT id FROM users WHERE name = ?', ['Ada']);
    const { statements } = await state();
    const { id = 0 } = statements.shown.find(({ sql }) => sql.includes('WHERE name')) ?? {};
    const plan = JSON.parse(await body(`/plan.json?id=${String(id)}`)) as Plan;
    expect(plan).toEqual({
      steps: [{ depth: 0, detail: expect.stringContaining('SEARCH users USING COVERING INDEX') as unknown }],
      note: null,
    });
    expect((await state()).statements.total).toBe(statements.total);
  });

  it('no value and no row is ever in an answer', async () => {
    const { pool, body, state } = await start({
      slowStatementMs: 0,
      logger: { debug: () => undefined, warn: () => undefined },
    });
    const secret = 'tOp-sEcReT';
    await pool.run('INSERT INTO users (name) VALUES (?)', [secret]);
    await expect(pool.run('INSERT INTO users (name) VALUES (:name)', { name: secret })).rejects.toThrow();
    await pool.batch([['INSERT INTO users (name) VALUES (?)', [`${secret}2`]]]);
    for await (const row of pool.iterate('SELECT * FROM users')) expect(row['name']).toContain(secret);
    await pool.transaction(async (tx) => {
      await tx.all('SELECT * FROM users WHERE name = ?', [secret]);
      expect(await body('/state.json')).not.toContain(secret);
    });
    const { statements, events } = await state();
    expect(events.filter(({ kind }) => kind === 'slow').length).toBeGreaterThan(3);
    expect(statements.total).toBeGreaterThan(3);
    const plans = statements.shown.map(({ id }) => body(`/plan.json?id=${String(id)}`));
    for (const answer of [await body('/state.json'), await body('/'), ...(await Promise.all(plans))]) {
      expect(answer).not.toContain(secret);
    }
  });

  it('the page of a pool that has closed shows what it knew', async () => {
    const { pool, state } = await start();
    await pool.get('SELECT 1');
    await pool.close();
    expect(await state()).toMatchObject({ closed: true, counts: { size: 0 } });
    expect((await state()).events[0]).toMatchObject({ kind: 'close', text: 'The pool has closed' });
  });
});
