import assert from 'node:assert/strict';
import { queryChannel, type QueryEvent } from '../../diagnostics/events.ts';
import type { Logger } from '../../diagnostics/logger.ts';
import type { SqlitePool } from '../../pool.ts';
import { casesOf, has, INSERT } from './bench.ts';
import type { PluginCase } from './contract.ts';

interface Line {
  readonly fields: { readonly code?: unknown; readonly sql?: unknown; readonly err?: unknown };
  readonly message: string;
}

/** A logger that keeps what it is warned of. */
function keeper(): { logger: Logger; lines: Line[] } {
  const lines: Line[] = [];
  const warn = (fields: object, message: string): void => void lines.push({ fields, message });
  return { logger: { debug: () => undefined, warn }, lines };
}

const LOGS = casesOf('sight', [], {
  'logs an error of SQLite that becomes a 500 once, with its SQL, and shows the client nothing of it':
    async ({ start, eventually }) => {
      const { logger, lines } = keeper();
      const { fetch } = await start(
        { logger },
        { 'GET /': ({ db }) => db.get('SELECT secret_column FROM notes WHERE body = ?', ['a-bound-value']) },
      );
      const { status, body } = await fetch('GET', '/');
      assert.equal(status, 500);
      assert.ok(!body.includes('secret_column'));
      await eventually(() => lines.length > 0);
      const [line] = lines;
      assert.equal(lines.length, 1);
      assert.equal(line?.fields.code, 'SQLITE_POOL_REQUEST_FAILED');
      assert.match(String(line.fields.sql), /secret_column/);
      assert.match(String((line.fields.err as Error | undefined)?.stack), /SqliteError/);
      assert.ok(!JSON.stringify(lines).includes('a-bound-value'));
    },
  'logs no error of SQLite that the handler has dealt with': async ({ start }) => {
    const { logger, lines } = keeper();
    const { fetch } = await start(
      { logger },
      {
        'GET /': async ({ db }) => ({
          failed: await db.get('SELECT nothing FROM nowhere').catch(() => true),
        }),
      },
    );
    has(await fetch('GET', '/'), { status: 200, body: '{"failed":true}' });
    assert.deepEqual(lines, []);
  },
  'warns of a BEGIN whose handler answered before the COMMIT, and rolls it back': async ({
    start,
    eventually,
  }) => {
    const { logger, lines } = keeper();
    const { fetch, pool } = await start(
      { logger },
      {
        'POST /': async ({ db }) => {
          await db.run('BEGIN');
          await db.run(INSERT, ['lost']);
          return { ok: true };
        },
      },
    );
    has(await fetch('POST', '/'), { status: 200 });
    await eventually(() => lines.length > 0);
    assert.deepEqual(
      lines.map(({ fields }) => fields.code),
      ['SQLITE_POOL_FORGOTTEN_COMMIT'],
    );
    assert.deepEqual(await pool.all('SELECT * FROM notes'), []);
  },
});

const ROUTES = casesOf('sight', ['origin'], {
  'names the route of a request in its events, and not its URL': async ({ start }) => {
    const events: QueryEvent[] = [];
    const asyncEnd = (event: QueryEvent): void => void events.push(event);
    const nothing = (): void => undefined;
    const subscribers = { start: nothing, end: nothing, asyncStart: nothing, asyncEnd, error: nothing };
    const { fetch, pool } = await start({}, { 'GET /notes': ({ db }) => db.all('SELECT * FROM notes') });
    queryChannel.subscribe(subscribers);
    try {
      has(await fetch('GET', '/notes?secret=1'), { status: 200 });
    } finally {
      queryChannel.unsubscribe(subscribers);
    }
    const [event] = events.filter((one) => one.pool === pool);
    assert.equal(event?.request?.route, 'GET /notes');
  },
});

const OWN_TRANSACTION = casesOf('sight', ['transaction', 'origin'], {
  'refuses a write on the pool that would wait for the transaction of its own request, at once and as a 500':
    async ({ start }) => {
      const running: { pool?: SqlitePool } = {};
      const { fetch, pool } = await start(
        { acquireTimeoutMs: 60_000 },
        {
          'POST /': {
            transaction: true,
            handler: async ({ db }) => {
              await db.run(INSERT, ['own']);
              await running.pool?.run(INSERT, ['other']);
              return { ok: true };
            },
          },
        },
      );
      running.pool = pool;
      has(await fetch('POST', '/'), { status: 500 });
      assert.deepEqual(await pool.all('SELECT * FROM notes'), []);
    },
});

export const SIGHT: readonly PluginCase[] = [...LOGS, ...ROUTES, ...OWN_TRANSACTION];
