import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createPool } from '../../src/index.ts';
import { instrument } from '../../src/opentelemetry/index.ts';
import { RequestLease, RequestTransaction } from '../../src/plugin.ts';
import { fakeClock, fakeDriver } from '../../src/testing/index.ts';
import { newPool, newTracing, treeOf } from './support.ts';

describe('the span of a call', () => {
  it('has the names and the attributes of the conventions', async () => {
    const { spans } = newTracing();
    const pool = await newPool();
    await pool.run('INSERT INTO users VALUES (?, ?)', [1, 'Ada']);
    await pool.all('SELECT * FROM users WHERE id < ?', [9]);
    const [read] = spans().filter(({ name }) => name === 'SELECT users');
    expect(read?.kind).toBe(SpanKind.CLIENT);
    expect(read?.attributes).toEqual({
      'db.system.name': 'sqlite',
      'db.namespace': 'app.db',
      'db.query.summary': 'SELECT users',
      'db.query.text': 'SELECT * FROM users WHERE id < ?',
      'db.response.returned_rows': 1,
      'db.client.connection.pool.name': 'app.db',
      'sqlite.wait.duration': expect.any(Number) as number,
    });
    expect(read?.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('says with which code SQLite refused it, and not with which value', async () => {
    const { spans } = newTracing();
    const pool = await newPool();
    const insert = (): Promise<unknown> => pool.run('INSERT INTO users (name) VALUES (?)', ['a-bound-value']);
    await insert();
    await expect(insert()).rejects.toThrow('UNIQUE');
    const failed = spans().at(-1);
    expect(failed?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'SQLITE_CONSTRAINT_UNIQUE' });
    expect(failed?.attributes).toMatchObject({
      'error.type': 'SQLITE_CONSTRAINT_UNIQUE',
      'db.response.status_code': 'SQLITE_CONSTRAINT_UNIQUE',
    });
    const all = spans().map(({ name, attributes, events, status }) => ({ name, attributes, events, status }));
    expect(JSON.stringify(all)).not.toContain('a-bound-value');
  });

  it('has no status code if the pool refused it', async () => {
    const { spans } = newTracing();
    const clock = fakeClock();
    const pool = await newPool({ poolSize: 1, clock });
    await using _lease = await pool.acquire();
    const refused = expect(pool.get('SELECT 1')).rejects.toThrow();
    await clock.advance(30_000);
    await refused;
    const [failed] = spans().filter(({ name }) => name === 'SELECT');
    expect(failed?.attributes).toMatchObject({ 'error.type': 'ACQUIRE_TIMEOUT' });
    expect(failed?.attributes).not.toHaveProperty('db.response.status_code');
  });

  it('has ? for each literal of a text without parameters', async () => {
    const { spans } = newTracing();
    const pool = await newPool();
    await pool.all(
      `SELECT "id", x'ff' AS [a 1], t1.name /* of Ada */ FROM users AS t1
       WHERE name = 'it''s' AND id > -1.5e3 -- 'Ada'`,
    );
    const text = spans().at(-1)?.attributes['db.query.text'];
    expect(String(text).split(/\s+/).join(' ')).toBe(
      'SELECT "id", ? AS [a 1], t1.name FROM users AS t1 WHERE name = ? AND id > -?',
    );
  });

  it('has ? also for a text in double quotes, where SQLite may take that for a string', async () => {
    const { spans } = newTracing();
    const pool = createPool({ driver: fakeDriver() });
    onTestFinished(() => pool.close());
    await pool.all('SELECT "a" FROM users WHERE id = 0x1F');
    expect(spans().at(-1)?.attributes['db.query.text']).toBe('SELECT ? FROM users WHERE id = ?');
  });

  it('says how many writes shared the COMMIT, and how often another process had the lock', async () => {
    const { spans } = newTracing();
    const pool = await newPool();
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    const insert = 'INSERT INTO users (name) VALUES (?)';
    const writes = ['a', 'b'].map((name) => pool.run(insert, [name]));
    await lease.run('COMMIT');
    await lease.release();
    await Promise.all(writes);
    const shared = spans().filter(({ name }) => name === 'INSERT users');
    expect(shared.map(({ attributes }) => attributes['sqlite.group_commit.size'])).toEqual([2, 2]);
    for (const { attributes } of shared) expect(attributes).not.toHaveProperty('sqlite.busy.retries');
    const { file } = (await pool.get<{ file: string }>('SELECT file FROM pragma_database_list')) ?? {};
    const other = new DatabaseSync(String(file));
    other.exec('BEGIN IMMEDIATE');
    const write = pool.run(insert, ['c']);
    await vi.waitFor(() => {
      const running = pool.inspect().connections.map(({ query }) => query?.phase);
      expect(running).toContain('locking');
    });
    other.close();
    await write;
    expect(spans().at(-1)?.attributes['sqlite.busy.retries']).toBeGreaterThan(0);
  });

  it('has no text if none is wanted', async () => {
    const { spans } = newTracing({ queryText: false });
    const pool = await newPool();
    await pool.get('SELECT 1');
    expect(spans().at(-1)?.attributes).not.toHaveProperty('db.query.text');
  });

  it('is one for a batch, with its size and what its statements have in common', async () => {
    const { spans } = newTracing();
    const pool = await newPool();
    const insert = 'INSERT INTO users (name) VALUES (?)';
    await pool.batch([
      [insert, ['a']],
      [insert, ['b']],
    ]);
    await pool.batch([[insert, ['c']], 'DELETE FROM users']);
    await pool.batch([[insert, ['d']]]);
    expect(
      spans()
        .map(({ name, attributes }) => [
          name,
          attributes['db.operation.batch.size'],
          attributes['db.query.text'],
        ])
        .slice(-3),
    ).toEqual([
      ['BATCH INSERT users', 2, insert],
      ['BATCH', 2, `${insert};\nDELETE FROM users`],
      ['INSERT users', undefined, insert],
    ]);
  });

  it('of a cursor ends with its loop', async () => {
    const { spans } = newTracing();
    const pool = await newPool();
    await pool.run("INSERT INTO users (name) VALUES ('a'), ('b'), ('c')");
    for await (const row of pool.iterate('SELECT name FROM users')) {
      expect(row).toHaveProperty('name');
      expect(spans().map(({ name }) => name)).not.toContain('SELECT users');
    }
    expect(spans().at(-1)?.attributes['db.response.returned_rows']).toBe(3);
  });
});

describe('the tree of spans', () => {
  it('has the statements of a transaction in the transaction, and the transaction in the span around it', async () => {
    const { tracer, spans } = newTracing();
    const pool = await newPool();
    await tracer.startActiveSpan('request', async (request) => {
      await pool.transaction(async (tx) => {
        await tx.run('INSERT INTO users (name) VALUES (?)', ['a']);
        await tx.transaction(async (inner) => {
          await inner.run('UPDATE users SET name = ?', ['b']);
        });
        await tracer.startActiveSpan('compute', async (compute) => {
          await tx.get('SELECT * FROM users');
          compute.end();
        });
      });
      await pool.get('SELECT 1');
      request.end();
    });
    // On a busy machine, any acquire may take a millisecond.
    const tree = treeOf(spans()).filter((line) => !line.includes('acquire'));
    expect(tree.slice(tree.indexOf('request'))).toEqual([
      'request',
      '  transaction',
      '    INSERT users',
      '    savepoint',
      '      UPDATE users',
      '    compute',
      '      SELECT users',
      '  SELECT',
    ]);
    const [transaction] = spans().filter(({ name }) => name === 'transaction');
    expect(transaction?.attributes).toMatchObject({
      'sqlite.transaction.mode': 'immediate',
      'sqlite.transaction.outcome': 'committed',
    });
  });

  it('has the transaction of a request in the request, and not in its first statement, which ends before', async () => {
    const { tracer, spans } = newTracing();
    const clock = fakeClock();
    const pool = await newPool({ clock });
    const writer = await pool.acquire();
    await writer.run('BEGIN IMMEDIATE');
    const answered = tracer.startActiveSpan('request', async (request) => {
      const facts = { mode: 'request', disconnectGraceMs: 1000, method: 'POST' } as const;
      const db = new RequestTransaction(new RequestLease(pool, facts));
      await db.run('INSERT INTO users (name) VALUES (?)', ['a']);
      await db.get('SELECT * FROM users');
      await db.settle(200);
      db.lease.respond();
      request.end();
    });
    await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
    await clock.advance(20);
    await writer.run('COMMIT');
    await writer.release();
    await answered;
    const tree = treeOf(spans());
    // They begin in the same millisecond, so their order is not certain.
    expect(
      tree
        .filter((line) => line !== 'COMMIT')
        .slice(-4)
        .toSorted(),
    ).toEqual(['  INSERT users', '  SELECT users', '  transaction', 'request']);
    for (const name of ['transaction', 'INSERT users'])
      expect(spans().find((span) => span.name === name)?.attributes).toMatchObject({
        'sqlite.wait.duration': 0,
        'sqlite.lock.duration': 0.02,
      });
  });

  it('keeps requests that run at the same time apart', async () => {
    const { tracer, spans } = newTracing();
    const pool = await newPool();
    const request = (name: string): Promise<void> =>
      tracer.startActiveSpan(name, async (span) => {
        await pool.transaction(async (tx) => {
          for (let i = 0; i < 3; i++)
            await tx.run('INSERT INTO users (name) VALUES (?)', [`${name} ${String(i)}`]);
        });
        span.end();
      });
    await Promise.all(['a', 'b', 'c'].map(request));
    const calls = treeOf(spans()).filter((line) => !line.includes('acquire'));
    const tree = ['  transaction', ...Array<string>(3).fill('    INSERT users')];
    expect(calls.slice(1)).toEqual(['a', ...tree, 'b', ...tree, 'c', ...tree]);
  });

  it('has a wait for a connection where there was one', async () => {
    const { tracer, spans } = newTracing();
    const clock = fakeClock();
    const pool = await newPool({ poolSize: 1, clock });
    const lease = await pool.acquire();
    const waits = tracer.startActiveSpan('request', async (request) => {
      await pool.get('SELECT 1');
      request.end();
    });
    const loop = tracer.startActiveSpan('loop', async (span) => {
      // What begins in the loop is no part of the cursor.
      for await (const row of pool.iterate('SELECT 1 AS n'))
        tracer.startActiveSpan(`row ${String(row['n'])}`, (one) => {
          one.end();
        });
      span.end();
    });
    const transaction = tracer.startActiveSpan('work', async (span) => {
      await pool.transaction(() => undefined, { mode: 'deferred' });
      span.end();
    });
    await clock.advance(20);
    await lease.release();
    await Promise.all([waits, loop, transaction]);
    const tree = treeOf(spans());
    expect(tree.slice(tree.indexOf('request'))).toEqual([
      ...['request', '  SELECT', '    acquire'],
      ...['loop', '  SELECT', '    acquire', '  row 1'],
      ...['work', '  transaction', '    acquire'],
    ]);
    const acquire = spans().find(({ name }) => name === 'acquire');
    expect(acquire?.duration).toEqual([0, 20e6]);
    expect(acquire?.attributes).toMatchObject({
      'sqlite.acquire.purpose': 'statement',
      'sqlite.acquire.ahead': 0,
    });
  });
});

describe('instrument', () => {
  it('uses the providers of the application, if none are given', async () => {
    const exporter = new InMemorySpanExporter();
    const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
    trace.setGlobalTracerProvider(provider);
    const instrumentation = instrument();
    onTestFinished(async () => {
      instrumentation.disable();
      trace.disable();
      await provider.shutdown();
    });
    const pool = await newPool();
    await pool.get('SELECT 1');
    expect(exporter.getFinishedSpans().map(({ name }) => name)).toContain('SELECT');
  });

  it('hears only of the pools that it was given', async () => {
    const [mine, other] = [await newPool({ poolName: 'mine' }), await newPool({ poolName: 'other' })];
    const { spans } = newTracing({ pool: mine });
    await mine.transaction(async (tx) => {
      await tx.get('SELECT 1');
      await other.get('SELECT 2');
    });
    expect(treeOf(spans())).toEqual(['transaction', '  SELECT']);
  });

  it('makes no more spans when it is disabled', async () => {
    const { spans, instrumentation } = newTracing();
    const pool = await newPool();
    const before = spans().length;
    instrumentation.disable();
    await pool.transaction((tx) => tx.get('SELECT 1'));
    expect(spans()).toHaveLength(before);
  });
});
