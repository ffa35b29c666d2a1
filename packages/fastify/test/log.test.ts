import { Writable } from 'node:stream';
import type { PoolOptions } from '@sqlite-pool/core';
import { fastify, type FastifyInstance } from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFile } from '../../../conformance/framework.ts';
import { sqlitePool } from '../src/index.ts';

type Line = Record<string, unknown>;

/** An application with a logger, and the lines that it has written. */
async function makeApp(options: PoolOptions = {}): Promise<{ app: FastifyInstance; lines: Line[] }> {
  const lines: Line[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of String(chunk).trim().split('\n')) lines.push(JSON.parse(line) as Line);
      done();
    },
  });
  const app = fastify({ logger: { level: 'debug', stream } });
  onTestFinished(() => app.close());
  await app.register(sqlitePool, { ...options, filename: await temporaryFile() });
  return { app, lines };
}

const ofPool = (lines: readonly Line[]): Line[] => lines.filter(({ pool }) => pool !== undefined);

describe('the log of Fastify', () => {
  it('has a slow statement beside the id and the route of its request', async () => {
    const { app, lines } = await makeApp({ slowStatementMs: 0 });
    app.get('/users/:id', (request) => request.db.get('SELECT 1 AS one'));
    await app.inject('/users/7');
    const [line] = ofPool(lines).filter(({ code }) => code === 'SQLITE_POOL_SLOW');
    expect(line).toMatchObject({
      level: 40,
      reqId: lines.find(({ msg }) => msg === 'incoming request')?.['reqId'],
      route: 'GET /users/:id',
      sql: 'SELECT 1 AS one',
    });
  });

  it('has the SQL and the stack of an error that becomes a 500, once', async () => {
    const { app, lines } = await makeApp();
    app.get('/', async (request) => {
      await request.db.all('SELECT nothing FROM nowhere');
    });
    expect((await app.inject('/')).statusCode).toBe(500);
    const failed = ofPool(lines).filter(({ code }) => code === 'SQLITE_POOL_REQUEST_FAILED');
    expect(failed).toMatchObject([
      {
        sql: 'SELECT nothing FROM nowhere',
        err: { type: 'SqliteError', stack: expect.stringContaining('log.test.ts') as string },
      },
    ]);
  });

  it('has what belongs to no request, too', async () => {
    const { app, lines } = await makeApp({ slowStatementMs: 0 });
    await app.sqlite.get('SELECT 2');
    expect(ofPool(lines)).toMatchObject([{ sql: 'SELECT 2' }]);
    expect(ofPool(lines)[0]).not.toHaveProperty('reqId');
  });

  it('gives way to a logger that is an option', async () => {
    const warned: object[] = [];
    const logger = { debug: () => undefined, warn: (fields: object) => void warned.push(fields) };
    const { app, lines } = await makeApp({ slowStatementMs: 0, logger });
    await app.sqlite.get('SELECT 2');
    expect(warned).toHaveLength(1);
    expect(ofPool(lines)).toEqual([]);
  });
});
