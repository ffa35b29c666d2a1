import { createPool } from '@sqlite-pool/core';
import { fastify, type FastifyInstance, type FastifyRequest } from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFile } from '../../../conformance/framework.ts';
import { sqlitePool, type DatabaseName } from '../src/index.ts';

function makeApp(): FastifyInstance {
  const app = fastify();
  onTestFinished(() => app.close());
  return app;
}

/** The name of the database a handle belongs to. */
const NAME = 'SELECT name FROM db';

async function database(name: string): Promise<string> {
  const filename = await temporaryFile();
  await using pool = createPool({ filename });
  await pool.script(`CREATE TABLE db AS SELECT '${name}' AS name`);
  return filename;
}

describe('names in Fastify', () => {
  it('give a second database its own handle and its own pool', async () => {
    const app = makeApp();
    await app.register(sqlitePool, { filename: await database('main') });
    await app.register(sqlitePool, { filename: await database('audit'), name: 'audit' });
    app.get('/', async ({ db, audit }) => [await db.get(NAME), await audit.get(NAME)]);
    expect((await app.inject('/')).json()).toEqual([{ name: 'main' }, { name: 'audit' }]);
    expect(app.auditPool).not.toBe(app.sqlite);
    await app.close();
    expect([app.sqlite.closed, app.auditPool.closed]).toEqual([true, true]);
  });

  it('may come in either order, the second database first', async () => {
    const app = makeApp();
    await app.register(sqlitePool, { filename: await database('audit'), name: 'audit' });
    await app.register(sqlitePool, { filename: await database('main') });
    app.get('/', async ({ db, audit }) => [await db.get(NAME), await audit.get(NAME)]);
    expect((await app.inject('/')).json()).toEqual([{ name: 'main' }, { name: 'audit' }]);
  });

  it.each(['db', 'audit'] as const)('that are taken fail the boot, and open nothing: %s', async (name) => {
    const app = makeApp();
    await app.register(sqlitePool, { filename: await database('main'), name });
    const second = createPool({ filename: await database('second') });
    onTestFinished(() => second.close());
    await expect(app.register(sqlitePool, { pool: second, name }).ready()).rejects.toMatchObject({
      code: 'NAME_TAKEN',
      cause: { code: 'FST_ERR_DEC_ALREADY_PRESENT' },
    });
    expect(second.stats().opens).toBe(0);
  });

  it('of what Fastify itself has on a request fail the boot', async () => {
    const app = makeApp();
    // What TypeScript refuses, because nobody has declared it.
    const name = 'body' as DatabaseName;
    void app.register(sqlitePool, { filename: await database('main'), name });
    await expect(app.ready()).rejects.toMatchObject({ code: 'NAME_TAKEN', handle: 'request.body' });
  });

  it('of what the application has decorated itself with fail the boot', async () => {
    const app = makeApp().decorate('auditPool');
    void app.register(sqlitePool, { filename: await database('audit'), name: 'audit' });
    await expect(app.ready()).rejects.toMatchObject({ code: 'NAME_TAKEN', handle: 'app.auditPool' });
  });

  it('of a child scope do not leak out of it', async () => {
    const app = makeApp();
    const filename = await database('audit');
    await app.register(async (child) => {
      await child.register(sqlitePool, { filename, name: 'audit' });
      child.get('/child', async ({ audit }) => audit.get(NAME));
    });
    const has = (request: FastifyRequest) => ({ audit: 'audit' in request, db: 'db' in request });
    app.get('/root', has);
    await app.register(async (sibling) => {
      sibling.get('/sibling', has);
    });
    expect((await app.inject('/child')).json()).toEqual({ name: 'audit' });
    expect((await app.inject('/root')).json()).toEqual({ audit: false, db: false });
    expect((await app.inject('/sibling')).json()).toEqual({ audit: false, db: false });
    expect(app.hasDecorator('auditPool')).toBe(false);
  });

  it('may be the same in a child scope, which then has a database of its own', async () => {
    const app = makeApp();
    const filename = await database('of the child');
    await app.register(sqlitePool, { filename: await database('of the root') });
    await app.register(async (child) => {
      await child.register(sqlitePool, { filename });
      child.get('/child', async ({ db }) => db.get(NAME));
    });
    app.get('/root', async ({ db }) => db.get(NAME));
    expect((await app.inject('/child')).json()).toEqual({ name: 'of the child' });
    expect((await app.inject('/root')).json()).toEqual({ name: 'of the root' });
  });

  it('reach into child scopes', async () => {
    const app = makeApp();
    await app.register(sqlitePool, { filename: await database('main') });
    await app.register(
      async (child) => {
        child.get('/child', async ({ db }) => db.get(NAME));
      },
      { prefix: '/v1' },
    );
    expect((await app.inject('/v1/child')).json()).toEqual({ name: 'main' });
  });

  it('and all other options stay as they are in the object of the user', async () => {
    const options = Object.freeze({
      filename: await database('audit'),
      name: 'audit',
      lease: 'statement',
      disconnectGraceMs: 1,
    } as const);
    const before = { ...options };
    for (const app of [makeApp(), makeApp()]) {
      await app.register(sqlitePool, options);
      expect(app.auditPool).toBeDefined();
    }
    expect(options).toEqual(before);
  });
});
