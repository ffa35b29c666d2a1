import { describe, expect, it, vi } from 'vitest';
import { LeaseEndedError } from '../../src/errors.ts';
import { fakeClock } from '../../src/testing/fake-clock.ts';
import { LEASE_ENDED, make, whileAnotherWrites, WRITE } from './request-lease-request.ts';

describe('a request lease whose client leaves', () => {
  it.each(['GET', 'HEAD', 'OPTIONS', 'POST'])('F62 in the middle of a %s', async (method) => {
    const { db, pool, response } = make({ method }, {}, { execute: { 1: 'interruptible' } });
    const running = db.get('SELECT 1');
    await vi.waitFor(() => expect(pool.stats().leased).toBe(1));
    if (method === 'POST') response.end();
    const ended = expect(running).rejects.toMatchObject(LEASE_ENDED);
    if (method === 'POST') db.revoke();
    response.close();
    await ended;
    await expect(db.get('SELECT 2')).rejects.toMatchObject(LEASE_ENDED);
    expect(() => db.iterate('SELECT 3')).not.toThrow();
    await expect(db.iterate('SELECT 3').next()).rejects.toMatchObject(LEASE_ENDED);
    await expect(db.transaction(() => undefined)).rejects.toMatchObject(LEASE_ENDED);
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0 }));
  });

  it.each(['request', 'statement'] as const)(
    'F62 stops what runs under a signal of its own, in mode %s',
    async (mode) => {
      const { db, driver, pool, response } = make({ mode }, {}, { execute: { 1: 'interruptible' } });
      const running = db.get('SELECT 1', [], { signal: new AbortController().signal });
      await vi.waitFor(() => expect(driver.count('execute')).toBe(1));
      response.close();
      await expect(running).rejects.toMatchObject(LEASE_ENDED);
      await vi.waitFor(() => expect(pool.stats().leased).toBe(0));
    },
  );

  it.each(['request', 'statement'] as const)(
    'F62 leaves the queue for a connection, in mode %s',
    async (mode) => {
      const { db, pool, response } = make({ mode }, { poolSize: 1 });
      await using _other = await pool.acquire();
      const waits = [db.get('SELECT 1'), db.connection(() => undefined), db.iterate('SELECT 2').next()];
      const outcomes = Promise.allSettled(waits);
      await vi.waitFor(() => expect(pool.stats().waiting).toBeGreaterThan(0));
      response.close();
      for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: LEASE_ENDED });
      expect(pool.stats()).toMatchObject({ leased: 1, waiting: 0 });
    },
  );

  it.each(['request', 'statement'] as const)(
    'F62 leaves the queue for the write lock, in mode %s',
    async (mode) => {
      const { db, pool, response } = make({ mode });
      await whileAnotherWrites(pool, async () => {
        const waits = expect(db.run(WRITE)).rejects.toMatchObject(LEASE_ENDED);
        await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
        response.close();
        await waits;
        expect(pool.stats()).toMatchObject({ leased: 1, writersWaiting: 0 });
      });
    },
  );

  it('F62 in the middle of a streaming answer is revoked at once, a POST too', async () => {
    const { db, pool, response } = make({ method: 'POST' });
    response.writeHead();
    const cursor = db.iterate('SELECT 1');
    await cursor.next();
    expect(pool.stats().leased).toBe(1);
    response.close();
    await vi.waitFor(() => expect(pool.stats().leased).toBe(0));
    await expect(cursor.next()).rejects.toMatchObject(LEASE_ENDED);
  });

  it('F62 lets a POST begin a transaction by hand, too', async () => {
    const { db, pool, response } = make({ method: 'POST' });
    await db.get('SELECT 1');
    response.close();
    await db.run('BEGIN IMMEDIATE');
    await db.run(WRITE);
    await db.run('COMMIT');
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false, acquires: 2 });
  });

  it('F62 stays revoked whatever comes after', async () => {
    const { db, response } = make({ method: 'POST' });
    await db.get('SELECT 1');
    db.revoke();
    db.revoke(new LeaseEndedError('a second reason'));
    response.close();
    db.respond();
    await expect(db.get('SELECT 2')).rejects.toThrow('The client has left');
  });

  it('F62 returns the connection of a POST between its statements, because nobody may ever respond', async () => {
    const { db, pool, response } = make({ method: 'POST' });
    await db.get('SELECT 1');
    expect(pool.stats().leased).toBe(1);
    response.close();
    expect(pool.stats().leased).toBe(0);
    await db.run(WRITE);
    expect(pool.stats()).toMatchObject({ leased: 0, acquires: 2 });
  });

  it('F62 lets a POST end the transaction it has begun by hand, on its connection', async () => {
    const { db, driver, pool, response } = make({ method: 'POST' });
    await db.run('BEGIN IMMEDIATE');
    response.close();
    await db.run(WRITE);
    expect(pool.stats().leased).toBe(1);
    await db.run('COMMIT');
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false, acquires: 1 });
    expect(driver.calls.filter(({ method }) => method === 'execute').map(({ sql }) => sql)).toEqual([
      'BEGIN IMMEDIATE',
      WRITE,
      'COMMIT',
    ]);
  });

  it('F62 revokes a POST after disconnectGraceMs, never earlier', async () => {
    const clock = fakeClock();
    const { db, driver, pool, response } = make({ method: 'POST', disconnectGraceMs: 1000 }, { clock });
    await db.run('BEGIN IMMEDIATE');
    response.close();
    await clock.advance(999);
    await db.run(WRITE);
    await clock.advance(1);
    await expect(db.run('COMMIT')).rejects.toMatchObject(LEASE_ENDED);
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false }));
    expect(driver.count('rollback')).toBe(1);
  });

  it('F62 releases a connection that arrives in the moment of the disconnect', async () => {
    const { db, pool, response } = make({}, { poolSize: 1 });
    const holder = await pool.acquire();
    const waits = db.connection((connection) => connection.get('SELECT 2'));
    await vi.waitFor(() => expect(pool.stats().waiting).toBe(1));
    // Leased, but its promise has not resolved yet.
    void holder.release();
    response.close();
    await expect(waits).rejects.toMatchObject(LEASE_ENDED);
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 }));
  });

  it.each(['closed', 'destroyed', 'stream'] as const)(
    'F62 is noticed at a first use afterwards: %s',
    async (how) => {
      const { db, pool, response } = make();
      if (how === 'stream') Object.assign(response, { closed: undefined, stream: { closed: true } });
      else Object.assign(response, { closed: undefined, [how]: true });
      await expect(db.get('SELECT 1')).rejects.toMatchObject(LEASE_ENDED);
      expect(pool.stats().acquires).toBe(0);
    },
  );

  it('is not one that has had its whole answer', async () => {
    const { db, pool, response } = make();
    await db.get('SELECT 1');
    response.end();
    response.close();
    await db.get('SELECT 2');
    expect(pool.stats()).toMatchObject({ leased: 0, acquires: 2 });
  });

  it.each(['request', 'statement'] as const)(
    'leaves no timer behind when a POST is done before disconnectGraceMs, in mode %s',
    async (mode) => {
      const clock = fakeClock();
      const { db, pool, response } = make({ method: 'POST', mode }, { clock });
      const statements = db.transaction((tx) => tx.run(WRITE));
      const before = clock.pending;
      response.close();
      expect(clock.pending).toBe(before + 1);
      await statements;
      expect(clock.pending).toBeGreaterThan(0);
      db.respond();
      await pool.close();
      expect(clock.pending).toBe(0);
    },
  );

  it.each(['request', 'statement'] as const)(
    'a transaction that was begun before a whole answer, and never ends, is revoked after disconnectGraceMs, in mode %s',
    async (mode) => {
      const { db, pool, response } = make({ method: 'POST', disconnectGraceMs: 20, mode });
      const hanging = db.transaction(async (tx) => {
        await tx.run(WRITE);
        await new Promise(() => undefined);
      });
      const ended = expect(hanging).rejects.toMatchObject(LEASE_ENDED);
      await vi.waitFor(() => expect(pool.stats().writerHeld).toBe(true));
      response.end();
      response.close();
      await ended;
      await pool.run(WRITE);
      expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
    },
  );

  it('a transaction that ends between a whole answer and disconnectGraceMs is not revoked, nor is what comes after', async () => {
    const clock = fakeClock();
    const { db, pool, response } = make({ method: 'POST', disconnectGraceMs: 1000 }, { clock });
    await db.transaction(async (tx) => {
      await tx.run(WRITE);
      response.end();
      response.close();
    });
    await clock.advance(1000);
    await db.run(WRITE);
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false, acquires: 2 });
  });
});
