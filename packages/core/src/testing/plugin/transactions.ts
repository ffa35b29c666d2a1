import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { RequestDb } from '../../request/request-db.ts';
import {
  casesOf,
  chunks,
  deferred,
  ending,
  has,
  INSERT,
  LONG,
  notes,
  type Bench,
  type Handler,
  type Use,
} from './bench.ts';
import { webSocketFrame, webSocketHead } from './clients.ts';
import type { PluginAnswer, PluginCase, PluginRoute } from './contract.ts';
import { inModes, noCursor } from './streams.ts';

/** A route that is one transaction. */
function whole(
  handler: Handler,
  more: Pick<PluginRoute, 'after' | 'websocket'> = {},
): Omit<PluginRoute, 'method' | 'path'> {
  return { ...more, transaction: true, handler };
}

/** Makes a change that only the COMMIT refuses. */
async function orphan(db: RequestDb): Promise<void> {
  await db.run(INSERT, ['lost']);
  await db.run('CREATE TABLE child (parent INTEGER REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED)');
  await db.run('INSERT INTO child VALUES (-1)');
}

const FOUR_HUNDRED = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 400)
  INSERT INTO notes (body) SELECT 'note ' || i FROM n`;
const ROWS = 'SELECT body FROM notes ORDER BY id';

/** Answers of every kind. */
const BODIES: Readonly<Record<string, (db: RequestDb) => PluginAnswer>> = {
  JSON: () => ({ n: 1 }),
  'a text': () => 'text',
  bytes: () => new TextEncoder().encode('bytes'),
  'a stream': () => Readable.from(['a', 'b']),
  'a stream of rows': (db) => Readable.from(chunks(db.iterate(ROWS))),
};

function forEachBody(
  title: (body: string) => string,
  use: (answer: (db: RequestDb) => PluginAnswer) => Use,
): Readonly<Record<string, Use>> {
  return Object.fromEntries(Object.entries(BODIES).map(([name, answer]) => [title(name), use(answer)]));
}

const WHOLE = casesOf('transactions', ['transaction'], {
  ...forEachBody(
    (body) => `commits before the first byte of ${body}`,
    (answer) =>
      async ({ start }) => {
        const { fetch, pool } = await start(
          { poolSize: 2 },
          {
            'POST /': whole(async ({ db }) => {
              await db.run(INSERT, ['first']);
              assert.deepEqual(await notes(pool), []);
              await db.run(INSERT, ['second']);
              return answer(db);
            }),
          },
        );
        has(await fetch('POST', '/'), { status: 200 });
        assert.deepEqual(await notes(pool), ['first', 'second']);
      },
  ),
  ...forEachBody(
    (body) => `F70 answers an error, and nothing of ${body}, when the COMMIT fails`,
    (answer) =>
      async ({ start }) => {
        const { fetch, pool } = await start(
          { poolSize: 2 },
          {
            'POST /': whole(async ({ db }) => {
              await orphan(db);
              return answer(db);
            }),
          },
        );
        const { status, body } = await fetch('POST', '/');
        assert.equal(status, 500);
        assert.doesNotMatch(body, /text|bytes|^ab|lost/);
        assert.deepEqual(await notes(pool), []);
      },
  ),
  'F70 keeps nothing when the handler rejects': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 2 },
      {
        'POST /': whole(async ({ db }) => {
          await db.run(INSERT, ['lost']);
          throw new Error('a mistake');
        }),
      },
    );
    has(await fetch('POST', '/'), { status: 500 });
    assert.deepEqual(await notes(pool), []);
  },
  'F70 keeps nothing of a stream that fails before its first byte, unless the answer says that all is well':
    async ({ start }) => {
      const { fetch, pool } = await start(
        { poolSize: 2 },
        {
          'POST /': whole(async ({ db }) => {
            await db.run(INSERT, ['perhaps']);
            return new Readable({
              read() {
                this.destroy(new Error('cannot be read'));
              },
            });
          }),
        },
      );
      const isFine = await fetch('POST', '/').then(
        ({ status }) => status === 200,
        () => false,
      );
      assert.deepEqual(await notes(pool), isFine ? ['perhaps'] : []);
    },
});

const AFTER = casesOf('transactions', ['transaction', 'after'], {
  'F70 keeps nothing when a step after the handler rejects': async ({ start }) => {
    const { fetch, pool } = await start(
      { poolSize: 2 },
      {
        'POST /': whole(
          async ({ db }) => {
            await db.run(INSERT, ['lost']);
            return {};
          },
          { after: () => Promise.reject(new Error('a mistake')) },
        ),
      },
    );
    has(await fetch('POST', '/'), { status: 500 });
    assert.deepEqual(await notes(pool), []);
  },
});

/** Runs a case in which the handler writes to the database, and then answers by itself with `write`. */
async function byHand(
  { start }: Bench,
  write: (response: ServerResponse, db: RequestDb) => unknown,
): Promise<{ readonly status: number | string; readonly notes: readonly unknown[] }> {
  const { fetch, pool } = await start(
    { poolSize: 2 },
    {
      'POST /': whole(async ({ db, response }) => {
        await db.run(INSERT, ['by hand']);
        // No case with such an answer uses HTTP/2.
        await write(response as ServerResponse, db);
        return undefined;
      }),
    },
  );
  const status = await fetch('POST', '/').then(
    (answer) => answer.status,
    () => 'none',
  );
  return { status, notes: await notes(pool) };
}

const BY_HAND = casesOf('transactions', ['transaction', 'hijack'], {
  'commits before an answer by hand leaves': async (bench) => {
    const { status, notes } = await byHand(bench, (response) => response.writeHead(201).end('done'));
    assert.deepEqual({ status, notes }, { status: 201, notes: ['by hand'] });
  },
  'F70 keeps nothing of an answer by hand that says that it has failed': async (bench) => {
    const { status, notes } = await byHand(bench, (response) => response.writeHead(409).end('no'));
    assert.deepEqual({ status, notes }, { status: 409, notes: [] });
  },
  'F70 keeps nothing of an answer by hand that Node.js refuses': async (bench) => {
    const { status, notes } = await byHand(bench, (response) =>
      response.writeHead(200, { 'x-name': '\u0119' }),
    );
    assert.deepEqual({ status, notes }, { status: 500, notes: [] });
  },
  'F70 answers an error instead of what was written by hand when the COMMIT fails': async (bench) => {
    const { status, notes } = await byHand(bench, async (response, db) => {
      await orphan(db);
      response.end('done');
    });
    assert.deepEqual({ status, notes }, { status: 500, notes: [] });
  },
});

const STREAMS = casesOf('transactions', ['transaction'], {
  ...inModes(
    'F71 sends all rows of a cursor, those that the transaction wrote too,',
    (lease) =>
      async ({ start }) => {
        const { fetch, pool } = await start(
          { poolSize: 2, lease },
          {
            'GET /': whole(async ({ db }) => Readable.from(chunks(db.iterate(ROWS)))),
            'POST /': whole(async ({ db }) => {
              await db.run(INSERT, ['of the request']);
              return Readable.from(chunks(db.iterate(ROWS)));
            }),
          },
        );
        await pool.run(FOUR_HUNDRED);
        const rows = async (method: string): Promise<unknown[]> => {
          const { status, body } = await fetch(method, '/');
          assert.equal(status, 200);
          return body.match(/\{[^}]*\}/g) ?? [];
        };
        assert.equal((await rows('GET')).length, 400);
        assert.equal((await rows('POST')).at(-1), '{"body":"of the request"}');
        assert.equal((await notes(pool)).length, 401);
        await noCursor(pool);
      },
  ),
  'F71 keeps nobody from writing while a cursor goes on, which sees nothing of it': async ({
    start,
    eventually,
  }) => {
    const goOn = deferred();
    const { send, fetch, pool } = await start(
      { poolSize: 2 },
      {
        'POST /': whole(async ({ db }) => {
          await db.run(INSERT, ['first']);
          await db.run(INSERT, ['second']);
          async function* rows(): AsyncGenerator<string> {
            let taken = 0;
            for await (const row of db.iterate(ROWS)) {
              yield JSON.stringify(row);
              if ((taken += 1) === 1) await goOn.promise;
            }
          }
          return Readable.from(rows());
        }),
        'POST /other': async ({ db }) => db.run(INSERT, ['of another']),
      },
    );
    const client = send('POST /').read();
    await eventually(() => client.received.includes('first'));
    has(pool.stats(), { leased: 1, writerHeld: false });
    has(await fetch('POST', '/other'), { status: 200 });
    goOn.resolve();
    await eventually(() => client.received.endsWith('0\r\n\r\n'));
    assert.match(client.received, /"second"/);
    assert.doesNotMatch(client.received, /of another/);
    await noCursor(pool);
  },
  'F71 reads what was committed in a body that begins to read after its first byte': async ({ start }) => {
    const late: string[] = [];
    const { fetch, pool } = await start(
      { poolSize: 2 },
      {
        'POST /': whole(async ({ db }) => {
          await db.run(INSERT, ['written']);
          async function* body(): AsyncGenerator<string> {
            yield 'rows:';
            while (pool.stats().writerHeld) await new Promise((tick) => setImmediate(tick));
            yield* chunks(db.iterate(ROWS));
            late.push(await ending(db.run(INSERT, ['late'])));
          }
          return Readable.from(body());
        }),
      },
    );
    has(await fetch('POST', '/'), { status: 200, body: 'rows:{"body":"written"}' });
    assert.deepEqual(late, ['LEASE_ENDED']);
    assert.deepEqual(await notes(pool), ['written']);
  },
  ...inModes(
    'F62 closes the cursor of a transaction that is over when its client leaves',
    (lease) =>
      async ({ start, eventually }) => {
        const { send, pool } = await start(
          { poolSize: 1, lease },
          {
            'POST /': whole(async ({ db }) => {
              await db.run(INSERT, ['kept']);
              return Readable.from(chunks(db.iterate(LONG)));
            }),
          },
        );
        const client = send('POST /');
        await client.begun();
        has(pool.stats(), { leased: 1, writerHeld: false });
        client.leave();
        await eventually(() => pool.stats().leased === 0);
        assert.deepEqual(await notes(pool), ['kept']);
        await noCursor(pool);
      },
  ),
});

const HTTP2 = casesOf('transactions', ['transaction', 'http2'], {
  'F70 commits before the first byte over HTTP/2, or answers an error': async ({ start }) => {
    const { http2, pool } = await start(
      { poolSize: 2 },
      {
        'GET /kept': whole(async ({ db }) => {
          await db.run(INSERT, ['kept']);
          return Readable.from(chunks(db.iterate(ROWS)));
        }),
        'GET /lost': whole(async ({ db }) => {
          await orphan(db);
          return Readable.from(chunks(db.iterate(ROWS)));
        }),
      },
      { http2: true },
    );
    has(await http2().fetch('GET', '/kept'), { status: 200, body: '{"body":"kept"}' });
    has(await http2().fetch('GET', '/lost'), { status: 500 });
    assert.deepEqual(await notes(pool), ['kept']);
  },
});

const INJECTED = casesOf('transactions', ['transaction', 'inject'], {
  'F70 commits without a socket, or answers an error': async ({ start }) => {
    const { inject, pool } = await start(
      { poolSize: 2 },
      {
        'GET /kept': whole(async ({ db }) => {
          await db.run(INSERT, ['kept']);
          return Readable.from(chunks(db.iterate(ROWS)));
        }),
        'GET /lost': whole(async ({ db }) => {
          await orphan(db);
          return {};
        }),
      },
    );
    assert.ok(inject);
    has(await inject('GET', '/kept'), { status: 200, body: '{"body":"kept"}' });
    has(await inject('GET', '/lost'), { status: 500 });
    assert.deepEqual(await notes(pool), ['kept']);
  },
});

const WEB_SOCKETS = casesOf('transactions', ['transaction', 'websocket'], {
  'F95 refuses what a message of a WebSocket writes, reads for it, and keeps nobody from writing': async ({
    start,
    eventually,
    unreached,
  }) => {
    const { send, fetch, pool } = await start(
      { poolSize: 2 },
      {
        'GET /socket': whole(unreached, {
          websocket: async ({ db, body }) => [
            await ending(db.run(INSERT, [String(body)])),
            await ending(db.transaction((tx) => tx.run(INSERT, [String(body)]))),
            await db.get('SELECT 1 AS n'),
          ],
        }),
        'POST /honest': async ({ db }) => db.run(INSERT, ['of the honest one']),
      },
    );
    const client = send().write(webSocketHead('/socket')).read();
    await eventually(() => client.received.includes('101 Switching Protocols'));
    client.write(webSocketFrame('of a message'));
    await eventually(() => client.received.includes('["LEASE_ENDED","LEASE_ENDED",{"n":1}]'));
    has(await fetch('POST', '/honest'), { status: 200 });
    assert.deepEqual(await notes(pool), ['of the honest one']);
    has(pool.stats(), { writerHeld: false, leased: 0 });
  },
});

export const TRANSACTIONS: readonly PluginCase[] = [
  ...WHOLE,
  ...AFTER,
  ...BY_HAND,
  ...STREAMS,
  ...HTTP2,
  ...INJECTED,
  ...WEB_SOCKETS,
];
