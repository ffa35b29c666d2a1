import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { commitBefore } from '../../src/request/held-response.ts';
import { checkRequestTransaction, RequestTransaction } from '../../src/request/request-transaction.ts';
import { fetchOnce } from '../../src/testing/plugin/clients.ts';
import { LEASE_ENDED, make, whileAnotherWrites, WRITE, type MadeRequest } from './request-lease-request.ts';

type Made = Omit<MadeRequest, 'db'> & { readonly db: RequestTransaction };

/** A request that is one transaction, on a pool without a database. */
function makeTransaction(
  options: ConstructorParameters<typeof RequestTransaction>[1] = {},
  ...request: Parameters<typeof make>
): Made {
  const made = make(...request);
  return { ...made, db: new RequestTransaction(made.db, options) };
}

/** What was sent to SQLite, in order. */
function sent({ driver }: Pick<Made, 'driver'>): readonly (string | undefined)[] {
  return driver.calls
    .filter(({ method }) => ['execute', 'script', 'rollback'].includes(method))
    .map(({ method, sql }) => (method === 'rollback' ? 'ROLLBACK' : sql));
}

const FREE = { leased: 0, waiting: 0, writersWaiting: 0, writerHeld: false };

describe('a request that is one transaction', () => {
  it('takes nothing until its first statement, and leaves nothing to commit', async () => {
    const { db, pool } = makeTransaction();
    expect(db.isPending).toBe(false);
    await db.settle(200);
    expect(pool.stats()).toMatchObject({ ...FREE, acquires: 0 });
  });

  it.each([200, 302, 399])('commits before a response with status %i', async (status) => {
    const made = makeTransaction();
    const { db, pool } = made;
    await Promise.all([db.run(WRITE), db.get('SELECT 1'), db.execute('SELECT 2', [], { rowMode: 'array' })]);
    expect(db.isPending).toBe(true);
    expect(pool.stats()).toMatchObject({ leased: 1, writerHeld: true, acquires: 1 });
    await db.settle(status);
    expect(db.isPending).toBe(false);
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, 'SELECT 1 LIMIT 1', 'SELECT 2', 'COMMIT']);
    db.lease.respond();
    expect(pool.stats()).toMatchObject(FREE);
  });

  it.each([400, 404, 500])('rolls back before a response with status %i', async (status) => {
    const made = makeTransaction();
    const { db, pool } = made;
    await db.run(WRITE);
    await db.settle(status);
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, 'ROLLBACK']);
    expect(pool.stats()).toMatchObject({ writerHeld: false });
  });

  it('has savepoints, scripts, cursors and connection() inside it', async () => {
    const made = makeTransaction({ mode: 'deferred' });
    const { db } = made;
    await db.transaction((tx) => tx.run(WRITE));
    await db.script('SELECT 3');
    for await (const _ of db.iterate('SELECT 4')) await db.run(WRITE);
    await db.connection((tx) => tx.all('SELECT 5'));
    await db.settle(200);
    const statements = sent(made);
    expect(statements[0]).toBe('BEGIN');
    expect(statements.filter((sql) => sql?.startsWith('BEGIN') === true || sql === 'COMMIT')).toHaveLength(2);
    expect(statements[1]).toMatch(/^SAVEPOINT/);
    expect(statements.at(-1)).toBe('COMMIT');
  });

  it('has batches inside it, which are savepoints', async () => {
    const made = makeTransaction();
    const results = await made.db.batch([WRITE, ['SELECT ?', [1]]]);
    await made.db.settle(200);
    expect(results).toHaveLength(2);
    const statements = sent(made);
    expect(statements.filter((sql) => sql === 'BEGIN IMMEDIATE' || sql === 'COMMIT')).toHaveLength(2);
    expect(statements[1]).toMatch(/^SAVEPOINT/);
    expect(statements).toContain(WRITE);
  });

  it('refuses what cannot be part of it', async () => {
    const { db } = makeTransaction();
    const refused = { code: 'INVALID_ARGUMENT' };
    await expect(db.run('COMMIT')).rejects.toMatchObject(refused);
    await expect(db.transaction(() => 1, { mode: 'deferred' })).rejects.toMatchObject(refused);
    await expect(db.connection(undefined as never)).rejects.toMatchObject(refused);
    await db.settle(500);
  });

  it('rejects with the reason when its COMMIT fails, and only once', async () => {
    const made = makeTransaction({}, {}, {}, { execute: { 3: { reject: { errno: 13 } } } });
    const { db, pool } = made;
    await db.run(WRITE);
    await expect(db.settle(200)).rejects.toMatchObject({ code: 'SQLITE_ERROR' });
    await db.settle(500);
    expect(sent(made).filter((sql) => sql === 'ROLLBACK')).toHaveLength(1);
    expect(pool.stats()).toMatchObject({ writerHeld: false });
  });

  it('lets what only reads wait for the end of a COMMIT that fails', async () => {
    const { db, pool } = makeTransaction({}, {}, {}, { execute: { 3: { reject: { errno: 13 } } } });
    await db.run(WRITE);
    const failed = expect(db.settle(200)).rejects.toMatchObject({ code: 'SQLITE_ERROR' });
    await db.get('SELECT 1');
    await failed;
    expect(pool.stats()).toMatchObject({ writerHeld: false });
  });

  it('is for the pool and the mode of its lease', () => {
    const { db, pool } = makeTransaction();
    const other = make().pool;
    expect([db.isFor(pool, 'request'), db.isFor(pool, 'statement'), db.isFor(other, 'request')]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('that has failed is rolled back whatever the status', async () => {
    const made = makeTransaction();
    await made.db.run(WRITE);
    made.db.fail();
    await made.db.settle(200);
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, 'ROLLBACK']);
  });

  it('lets what only reads run on its own when it is over, and refuses all else', async () => {
    const { db, pool } = makeTransaction();
    await db.run(WRITE);
    const settled = db.settle(200);
    // The first one waits for the COMMIT, which has the connection.
    await db.get('SELECT 1');
    await settled;
    db.lease.respond();
    for await (const _ of db.iterate('SELECT 2')) expect(pool.stats().writerHeld).toBe(false);
    for (const call of [
      db.run(WRITE),
      db.run('BEGIN'),
      db.script('SELECT 3'),
      db.transaction(() => 1),
      db.connection(() => 1),
    ]) {
      await expect(call).rejects.toMatchObject(LEASE_ENDED);
    }
    await vi.waitFor(() => expect(pool.stats()).toMatchObject(FREE));
  });

  it('lets a write that was not awaited run before its COMMIT', async () => {
    const made = makeTransaction();
    const write = made.db.run(WRITE);
    await made.db.settle(200);
    await write;
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, 'COMMIT']);
  });

  it('is rolled back when the head of the response is written before it has ended', async () => {
    const made = makeTransaction();
    await made.db.run(WRITE);
    made.response.writeHead();
    await expect(made.db.run(WRITE)).rejects.toMatchObject(LEASE_ENDED);
    await vi.waitFor(() => expect(made.pool.stats()).toMatchObject(FREE));
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, 'ROLLBACK']);
  });

  it.each([200, 500])(
    'is over when an answer with status %i leaves, also if it had failed before',
    async (status) => {
      const made = makeTransaction();
      const server = createServer((_request, response) => {
        commitBefore(response, made.db, () => expect.unreachable());
        made.db
          .run(WRITE)
          .then(() => {
            if (status === 500) made.db.fail();
            response.writeHead(status).end();
          })
          .catch(() => expect.unreachable());
      });
      onTestFinished(() => {
        server.close().closeAllConnections();
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const answer = await fetchOnce((server.address() as AddressInfo).port, 'GET', '/');
      expect([answer.status, made.pool.stats().writerHeld]).toEqual([status, false]);
      expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, status === 200 ? 'COMMIT' : 'ROLLBACK']);
      made.db.lease.respond();
    },
  );

  it('begins again with the next statement if it could not begin, and has nothing to commit before that', async () => {
    const made = makeTransaction({}, {}, {}, { execute: { 1: { reject: { errno: 13 } } } });
    await expect(made.db.run(WRITE)).rejects.toMatchObject({ code: 'SQLITE_ERROR' });
    expect(made.db.isPending).toBe(false);
    await made.db.run(WRITE);
    await made.db.settle(200);
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', 'BEGIN IMMEDIATE', WRITE, 'COMMIT']);
  });

  it('that nobody awaited and that could not begin is no reason to fail', async () => {
    const { db } = makeTransaction({}, {}, {}, { execute: { 1: { reject: { errno: 13 } } } });
    const failed = expect(db.run(WRITE)).rejects.toMatchObject({ code: 'SQLITE_ERROR' });
    await db.settle(200);
    await failed;
  });

  it('does not wait for the write lock when the request has failed meanwhile', async () => {
    const { db, pool } = makeTransaction();
    await whileAnotherWrites(pool, async () => {
      const waits = expect(db.run(WRITE)).rejects.toMatchObject(LEASE_ENDED);
      await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
      await db.settle(500);
      await waits;
      db.lease.respond();
    });
    await vi.waitFor(() => expect(pool.stats()).toMatchObject(FREE));
  });

  it('F13 leaves the write lock to the other calls of the request when one gives up waiting for it', async () => {
    const { db, pool } = makeTransaction();
    const controller = new AbortController();
    const reason = new Error('enough');
    let waits: Promise<unknown> = Promise.resolve();
    await whileAnotherWrites(pool, async () => {
      const { signal } = controller;
      const cancelled = [
        db.run(WRITE, [], { signal }),
        db.script(WRITE, { signal }),
        db.batch([WRITE], { signal }),
        db.transaction(() => 1, { signal }),
      ];
      waits = db.run(WRITE);
      controller.abort(reason);
      for (const call of cancelled) await expect(call).rejects.toBe(reason);
    });
    await waits;
    await db.settle(200);
  });

  it('F27 ends at its timeoutMs, and cannot be committed then', async () => {
    const { db, pool } = makeTransaction({ timeoutMs: 20 });
    await db.run(WRITE);
    await vi.waitFor(() => expect(pool.stats().writerHeld).toBe(false));
    await expect(db.run(WRITE)).rejects.toMatchObject(LEASE_ENDED);
    await expect(db.settle(200)).rejects.toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  });

  it('F27 releases its connection when it has been rolled back at its timeoutMs, and not only with the response', async () => {
    const script = { rollback: { 1: 'hang' } };
    const { db, pool, driver } = makeTransaction({ timeoutMs: 20 }, {}, { poolSize: 1 }, script);
    await db.run(WRITE);
    await vi.waitFor(() => expect(driver.calls.at(-1)).toMatchObject({ method: 'rollback' }));
    const other = pool.get('SELECT 1');
    await expect(db.run(WRITE)).rejects.toMatchObject(LEASE_ENDED);
    expect(pool.stats()).toMatchObject({ leased: 1, waiting: 1 });
    driver.call('rollback').resolve();
    // The handler still runs.
    await other;
    await expect(db.settle(200)).rejects.toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    db.lease.respond();
  });

  it('F27 so does a request whose own transaction is rolled back at its timeoutMs, however often it asks meanwhile', async () => {
    const { db, pool, driver } = make({}, { poolSize: 1 }, { rollback: { 1: 'hang' } });
    const late = { code: 'STATEMENT_TIMEOUT' };
    const never = new Promise<void>(() => undefined);
    await expect(db.transaction(() => never, { timeoutMs: 20 })).rejects.toMatchObject(late);
    for (let asked = 0; asked < 2; asked += 1)
      await expect(db.get('SELECT 1', [], { timeoutMs: 5 })).rejects.toMatchObject(late);
    const other = pool.get('SELECT 2');
    driver.call('rollback').resolve();
    await other;
    db.respond();
    await vi.waitFor(() => expect(pool.stats()).toMatchObject(FREE));
  });

  it('F62 of a GET is rolled back at once when the client leaves', async () => {
    const made = makeTransaction();
    await made.db.run(WRITE);
    made.response.close();
    await vi.waitFor(() => expect(made.pool.stats()).toMatchObject(FREE));
    await expect(made.db.settle(200)).rejects.toMatchObject(LEASE_ENDED);
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, 'ROLLBACK']);
  });

  it('F62 of a POST may be finished after the client has left, within disconnectGraceMs', async () => {
    const made = makeTransaction({}, { method: 'POST' });
    await made.db.run(WRITE);
    made.response.close();
    await made.db.run(WRITE);
    await made.db.settle(200);
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, WRITE, 'COMMIT']);
    expect(made.pool.stats()).toMatchObject(FREE);
  });

  it('F70 of a POST is rolled back at once when the application destroys its answer, and not after disconnectGraceMs', async () => {
    const made = makeTransaction({}, { method: 'POST' });
    await made.db.run(WRITE);
    made.response.errored = new Error('the stream has failed');
    made.response.close();
    await vi.waitFor(() => expect(made.pool.stats()).toMatchObject(FREE));
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, 'ROLLBACK']);
    await expect(made.db.run(WRITE)).rejects.toMatchObject(LEASE_ENDED);
  });

  it('F62 of a POST that never answers frees the write lock after disconnectGraceMs', async () => {
    const made = makeTransaction({}, { method: 'POST', disconnectGraceMs: 20 });
    await made.db.run(WRITE);
    made.response.close();
    await made.pool.run(WRITE);
    expect(sent(made)).toEqual(['BEGIN IMMEDIATE', WRITE, 'ROLLBACK', WRITE]);
    await expect(made.db.settle(200)).rejects.toMatchObject(LEASE_ENDED);
  });

  it.each([
    { mode: 'later' },
    { retries: 1 },
    { signal: new AbortController().signal },
    { timeout: 1 },
    null,
  ])('does not take the options %o', (options) => {
    expect(() => {
      checkRequestTransaction(options);
    }).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error);
  });

  it('takes a mode and a time limit', () => {
    expect(() => {
      checkRequestTransaction({ mode: 'exclusive', timeoutMs: 1 });
    }).not.toThrow();
  });
});
