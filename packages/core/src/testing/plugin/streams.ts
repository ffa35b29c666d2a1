import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import {
  casesOf,
  chunks,
  closing,
  deferred,
  ending,
  ENDLESS,
  has,
  INSERT,
  LONG,
  never,
  notes,
} from './bench.ts';
import { nothing } from './clients.ts';
import type { SqlitePool } from '../../pool.ts';
import type { PluginCase } from './contract.ts';

/** Bodies that are made while they are sent. */
const BODIES = casesOf('streams', [], {
  'streams rows to their end, and closes the cursor': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      { 'GET /': async ({ db }) => Readable.from(chunks(db.iterate('SELECT 1 AS n UNION ALL SELECT 2'))) },
    );
    has(await fetch('GET', '/'), { status: 200, body: '{"n":1}{"n":2}' });
    await noCursor(pool);
  },
  'F63 releases the connection of a body that fails midway, once': async ({ start, eventually }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          async function* body(): AsyncGenerator<string> {
            for await (const row of db.iterate('SELECT 1 AS n UNION ALL SELECT 2')) {
              yield JSON.stringify(row);
              throw new Error('a mistake');
            }
          }
          return Readable.from(body());
        },
      },
    );
    // The framework may show the client an error, or half an answer.
    await fetch('GET', '/').catch(nothing);
    await eventually(() => pool.stats().leased === 0);
    has(pool.stats(), { idle: 1, size: 1 });
  },
  'F63 releases the connection when the source of a body fails before its first byte': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          await db.get('SELECT 1');
          return Readable.from(chunks(db.iterate('SELECT * FROM nowhere')));
        },
      },
    );
    await fetch('GET', '/').catch(nothing);
    has(pool.stats(), { idle: 1, size: 1 });
  },
  'leases per statement in a body that reads page by page': async ({ start }) => {
    const leased: number[] = [];
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          await db.get('SELECT 0');
          async function* pages(): AsyncGenerator<string> {
            // The response has begun with the first page.
            yield 'pages:';
            for (const n of [1, 2]) {
              yield JSON.stringify(await db.get('SELECT ? AS n', [n]));
              leased.push(pool.stats().leased);
            }
          }
          return Readable.from(pages());
        },
      },
    );
    has(await fetch('GET', '/'), { status: 200, body: 'pages:{"n":1}{"n":2}' });
    assert.deepEqual(leased, [0, 0]);
  },
  ...inModes(
    'F62 closes the cursor of a body whose client leaves',
    (lease) =>
      async ({ start, eventually }) => {
        const { send, pool } = await start(
          { poolSize: 1, lease },
          { 'GET /': async ({ db }) => Readable.from(chunks(db.iterate(LONG))) },
        );
        const client = send('GET /');
        await client.begun();
        assert.equal(pool.stats().leased, 1);
        client.leave();
        await eventually(() => pool.stats().leased === 0);
        await noCursor(pool);
      },
  ),
  'F62 interrupts the statement of a body whose client leaves': async ({ start, eventually }) => {
    const ended = deferred<string>();
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db }) => {
          async function* body(): AsyncGenerator<string> {
            yield 'begun';
            const running = db.get(ENDLESS);
            ended.resolve(await ending(running));
            yield JSON.stringify(await running);
          }
          return Readable.from(body());
        },
      },
    );
    const client = send('GET /').read();
    await eventually(() => client.received.includes('begun') && pool.stats().leased === 1);
    client.leave();
    assert.equal(await ended.promise, 'LEASE_ENDED');
  },
  'F62 ends a cursor of which nobody takes another step': async ({ start, eventually }) => {
    const stuck = deferred();
    const { send, pool } = await start(
      { poolSize: 1, lease: 'statement' },
      {
        'GET /': async ({ db }) => {
          await db.iterate(LONG).next();
          stuck.resolve();
          return never();
        },
      },
    );
    const client = send('GET /');
    await stuck.promise;
    assert.equal(pool.stats().leased, 1);
    client.leave();
    await eventually(() => pool.stats().leased === 0);
  },
});

/** Event streams with viewers who stay. */
const EVENTS = casesOf('streams', [], {
  "holds nothing for twenty viewers of events in mode 'statement'": async ({ start, eventually }) => {
    let viewers = 0;
    const [everybody, more] = [deferred(), deferred()];
    const { send, fetch, pool } = await start(
      { poolSize: 2, lease: 'statement' },
      {
        'GET /events': async ({ db }) => {
          async function* events(): AsyncGenerator<string> {
            yield event(await db.get('SELECT 1 AS n'));
            if ((viewers += 1) === 20) everybody.resolve();
            await more.promise;
            yield event(await db.get('SELECT 2 AS n'));
            await never();
          }
          return Readable.from(events());
        },
        'GET /honest': async ({ db }) => db.get('SELECT 3 AS n'),
      },
    );
    const clients = Array.from({ length: 20 }, () => send('GET /events').read());
    await everybody.promise;
    has(pool.stats(), { leased: 0, waiting: 0 });
    has(await fetch('GET', '/honest'), { status: 200, body: '{"n":3}' });
    more.resolve();
    await eventually(() => clients.every(({ received }) => received.includes('data: {"n":2}')));
    has(pool.stats(), { leased: 0, waiting: 0 });
  },
  'holds nothing for twenty viewers of events once their responses have begun': async ({
    start,
    eventually,
  }) => {
    const { send, fetch, pool } = await start(
      { poolSize: 2 },
      {
        'GET /events': async ({ db }) => {
          await db.get('SELECT 0');
          async function* events(): AsyncGenerator<string> {
            yield event({ n: 0 });
            yield event(await db.get('SELECT 1 AS n'));
            await never();
          }
          return Readable.from(events());
        },
        'GET /honest': async ({ db }) => db.get('SELECT 3 AS n'),
      },
    );
    const clients = Array.from({ length: 20 }, () => send('GET /events').read());
    await eventually(() => clients.every(({ received }) => received.includes('data: {"n":1}')));
    has(pool.stats(), { leased: 0, waiting: 0 });
    has(await fetch('GET', '/honest'), { status: 200, body: '{"n":3}' });
  },
});

/** Answers that a handler writes by itself. */
const BY_HAND = casesOf('answers by hand', ['hijack'], {
  'releases the connection with the head, and leases per statement after it': async ({ start }) => {
    const leased: number[] = [];
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db, response }) => {
          await db.get('SELECT 1');
          write(response, 'data: ');
          leased.push(pool.stats().leased);
          write(response, JSON.stringify(await db.get('SELECT 2 AS n')));
          leased.push(pool.stats().leased);
          response.end();
          return undefined;
        },
      },
    );
    has(await fetch('GET', '/'), { status: 200, body: 'data: {"n":2}' });
    assert.deepEqual(leased, [0, 0]);
  },
  'F62 interrupts the statement of a client that leaves': async ({ start, eventually }) => {
    const ended = deferred<string>();
    const { send, pool } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db, response }) => {
          write(response, 'data: hello');
          ended.resolve(await ending(db.get(ENDLESS)));
          return undefined;
        },
      },
    );
    const client = send('GET /');
    await client.begun();
    await eventually(() => pool.stats().leased === 1);
    client.leave();
    assert.equal(await ended.promise, 'LEASE_ENDED');
  },
  'F63 takes a response that the application destroys for a client that left': async ({ start }) => {
    const ended = deferred<string>();
    const { fetch } = await start(
      { poolSize: 1 },
      {
        'GET /': async ({ db, response }) => {
          const running = db.get(ENDLESS);
          response.destroy();
          ended.resolve(await ending(running));
          return undefined;
        },
      },
    );
    assert.equal(await ending(fetch('GET', '/')), 'ECONNRESET');
    assert.equal(await ended.promise, 'LEASE_ENDED');
  },
  'lets a transaction() end that the response has overtaken': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 1 },
      {
        'POST /': async (context) => {
          const { db, response } = context;
          await db.transaction(async (tx) => {
            await tx.run(INSERT, ['first']);
            response.end('early');
            await closing(context);
            await tx.run(INSERT, ['second']);
          });
          return undefined;
        },
        'POST /wait': async ({ db }) => db.run(INSERT, ['of the next one']),
      },
    );
    has(await fetch('POST', '/'), { status: 200, body: 'early' });
    has(await fetch('POST', '/wait'), { status: 200 });
    assert.deepEqual(await notes(pool), ['first', 'second', 'of the next one']);
  },
});

export const STREAMS: readonly PluginCase[] = [...BODIES, ...EVENTS, ...BY_HAND];

/** Makes the same case in both modes. */
export function inModes<Use>(
  title: string,
  use: (lease: 'request' | 'statement') => Use,
): Readonly<Record<string, Use>> {
  return {
    [`${title} in mode 'request'`]: use('request'),
    [`${title} in mode 'statement'`]: use('statement'),
  };
}

/** Asserts that no cursor is open: an open cursor would keep its snapshot, and the WAL with it. */
export async function noCursor(pool: SqlitePool): Promise<void> {
  await pool.run(INSERT, ['after']);
  const row = await pool.get<{ busy: number }>('PRAGMA wal_checkpoint(TRUNCATE)');
  assert.equal(row?.busy, 0);
}

function event(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** HTTP/1 and HTTP/2 declare `write` with types that do not fit each other. */
function write(response: { write(chunk: string): boolean }, chunk: string): void {
  response.write(chunk);
}
