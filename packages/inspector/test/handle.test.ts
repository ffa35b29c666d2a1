import { createHash } from 'node:crypto';
import { createPool, InvalidArgumentError } from '@sqlite-pool/core';
import { closeChannel, evictChannel, queryChannel } from '@sqlite-pool/core/channels';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  basicAuth,
  createInspector,
  UnprotectedInspectorError,
  type Inspector,
  type InspectorOptions,
  type InspectorResponse,
} from '../src/index.ts';
import type { Plan, State } from '../src/state.ts';
import { FakePool } from './fake-pool.ts';

function inspectorOf(options: InspectorOptions): Inspector {
  const inspector = createInspector(options);
  onTestFinished(() => inspector.close());
  return inspector;
}

async function get(
  inspector: Inspector,
  path: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<InspectorResponse> {
  return await inspector.handle({ method, path, headers });
}

async function stateOf(inspector: Inspector, query = ''): Promise<State> {
  return JSON.parse((await get(inspector, `/state.json${query}`)).body) as State;
}

describe('the responses', () => {
  it('are the page, its data, and nothing else', async () => {
    const inspector = inspectorOf({ pool: new FakePool() });
    for (const path of ['', '/', '/?x=1']) {
      const { status, headers, body } = await get(inspector, path);
      expect(status).toBe(200);
      expect(headers['content-type']).toBe('text/html; charset=utf-8');
      expect(body).toContain('<title>sqlite-pool</title>');
    }
    expect(await get(inspector, '/state.json')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json; charset=utf-8' },
    });
    for (const path of [
      '/state',
      '/sqlite/state.json',
      '/../etc/passwd',
      '/state.json?pool=1',
      '/plan.json?id=1',
      '/plan.json',
    ]) {
      expect(await get(inspector, path)).toMatchObject({ status: 404, body: 'There is nothing here.\n' });
    }
  });

  it('say to no cache, frame, or other site what is in them', async () => {
    const inspector = inspectorOf({ pool: new FakePool() });
    for (const path of ['/', '/state.json', '/nothing']) {
      expect((await get(inspector, path)).headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-resource-policy': 'same-origin',
      });
    }
  });

  it('allow only the style and the script that are in the page', async () => {
    const { headers, body } = await get(inspectorOf({ pool: new FakePool() }), '/');
    const hash = (tag: string): string => {
      const [, text = ''] = new RegExp(`<${tag}[^>]*>(.+)</${tag}>`, 's').exec(body) ?? [];
      return createHash('sha256').update(text).digest('base64');
    };
    const policy = String(headers['content-security-policy']).split('; ');
    expect(policy).toEqual(
      expect.arrayContaining([
        "default-src 'none'",
        "connect-src 'self'",
        `style-src 'sha256-${hash('style')}'`,
        `script-src 'sha256-${hash('script')}'`,
      ]),
    );
    expect(policy.join()).not.toContain('unsafe');
    expect(body).not.toMatch(/(src|href)="(?!data:)/);
  });

  it('of a HEAD have no body', async () => {
    const inspector = inspectorOf({ pool: new FakePool() });
    const { headers } = await get(inspector, '/');
    expect(await get(inspector, '/', { method: 'HEAD' })).toEqual({ status: 200, headers, body: '' });
  });

  it.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])(
    'refuse %s: nothing can be changed',
    async (method) => {
      const response = await get(inspectorOf({ pool: new FakePool() }), '/state.json', { method });
      expect(response).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
    },
  );
});

describe('who may see the page', () => {
  it('is for auth to say, at each request', async () => {
    const auth = vi.fn(({ headers }: { headers: Record<string, unknown> }) => headers['x-admin'] === 'yes');
    const inspector = inspectorOf({ pool: new FakePool(), auth });
    for (const path of ['/', '/state.json', '/plan.json?id=1', '/nothing']) {
      const { status, headers, body } = await get(inspector, path);
      expect({ status, body }).toEqual({ status: 401, body: 'You may not see this page.\n' });
      expect(headers['www-authenticate']).toContain('Basic realm=');
    }
    expect(await get(inspector, '/', { headers: { 'x-admin': 'yes' } })).toMatchObject({ status: 200 });
    expect(auth).toHaveBeenCalledTimes(5);
  });

  it('is no one if auth answers with something else than true', async () => {
    const auth = (() => Promise.resolve('yes')) as unknown;
    const inspector = inspectorOf({ pool: new FakePool(), auth: auth as () => Promise<boolean> });
    expect(await get(inspector, '/')).toMatchObject({ status: 401 });
  });

  it('is no one if auth fails', async () => {
    const auth = (): never => {
      throw new Error('no session store');
    };
    await expect(get(inspectorOf({ pool: new FakePool(), auth }), '/')).rejects.toThrow('no session store');
  });

  it('is who has the name and the password of basicAuth', async () => {
    const inspector = inspectorOf({ pool: new FakePool(), auth: basicAuth('admin', 'geheim:ß') });
    const answer = async (credentials: string): Promise<number> => {
      const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
      return (await get(inspector, '/', { headers: { authorization } })).status;
    };
    expect(await answer('admin:geheim:ß')).toBe(200);
    expect(await answer('admin:geheim')).toBe(401);
    expect(await answer('root:geheim:ß')).toBe(401);
    expect(await answer('')).toBe(401);
    expect(await get(inspector, '/', { headers: { authorization: 'Bearer x' } })).toMatchObject({
      status: 401,
    });
    expect(await get(inspector, '/')).toMatchObject({ status: 401 });
  });

  it('is never decided by an empty password', () => {
    expect(() => basicAuth('admin', undefined)).toThrow(InvalidArgumentError);
    expect(() => basicAuth('admin', '')).toThrow(InvalidArgumentError);
    expect(() => basicAuth('a:b', 'c')).toThrow(InvalidArgumentError);
  });

  it('must be said in production', () => {
    vi.stubEnv('NODE_ENV', 'production');
    const pool = new FakePool();
    expect(() => createInspector({ pool })).toThrow(UnprotectedInspectorError);
    expect(() => createInspector({ pool, auth: undefined, unsafePublic: false })).toThrow(
      UnprotectedInspectorError,
    );
    inspectorOf({ pool, auth: () => false });
    inspectorOf({ pool, unsafePublic: true });
  });
});

describe('the options', () => {
  it.each([
    ['no pool', {}],
    ['no pools', { pools: [] }],
    ['a pool and pools', { pool: new FakePool(), pools: [new FakePool()] }],
    ['something that is not a pool', { pool: { name: 'x' } }],
    ['an auth that is not a function', { pool: new FakePool(), auth: true }],
    ['unsafePublic that is not a boolean', { pool: new FakePool(), unsafePublic: 'yes' }],
    ['an option that does not exist', { pool: new FakePool(), password: 'x' }],
  ])('refuse %s', (_title, options: object) => {
    expect(() => createInspector(options as InspectorOptions)).toThrow(InvalidArgumentError);
  });
});

describe('several pools', () => {
  it('are chosen by their number', async () => {
    const [app, audit] = [new FakePool(), new FakePool()];
    audit.inspection.poolName = 'audit';
    const inspector = inspectorOf({ pools: [app, audit] });
    audit.query();
    expect(await stateOf(inspector)).toMatchObject({
      pools: ['fake', 'audit'],
      pool: { name: 'fake', statements: { total: 0 } },
    });
    expect(await stateOf(inspector, '?pool=1')).toMatchObject({
      pool: { name: 'audit', statements: { total: 1 } },
    });
    expect((await stateOf(inspectorOf({ pool: app }))).pools).toEqual([]);
  });
});

describe('a plan', () => {
  async function idOf(inspector: Inspector): Promise<number> {
    return (await stateOf(inspector)).pool.statements.shown[0]!.id;
  }

  async function planOf(inspector: Inspector, id: number): Promise<Plan> {
    return JSON.parse((await get(inspector, `/plan.json?id=${String(id)}`)).body) as Plan;
  }

  it('is of a statement that the pool has seen, by its id', async () => {
    const pool = new FakePool();
    const inspector = inspectorOf({ pool });
    pool.query({ sql: 'SELECT * FROM users WHERE id = ?' });
    const plan = await planOf(inspector, await idOf(inspector));
    expect(plan).toEqual({ steps: [{ depth: 0, detail: 'SCAN users' }], note: null });
    expect(pool.explained).toEqual(['SELECT * FROM users WHERE id = ?']);
  });

  it('is never of a text of the client', async () => {
    const pool = new FakePool();
    const inspector = inspectorOf({ pool });
    for (const query of ['id=999', 'id=SELECT%201', 'sql=SELECT%201', 'id=1&sql=SELECT%201']) {
      expect(await get(inspector, `/plan.json?${query}`)).toMatchObject({ status: 404 });
    }
    expect(pool.explained).toEqual([]);
  });

  it.each([
    [
      'of several statements',
      { sql: 'SELECT 1;\nSELECT 2', statements: 2, method: 'batch' as const },
      'several',
    ],
    ['that is too long to be kept', { sql: `SELECT '${'x'.repeat(20_000)}'` }, 'too long'],
  ])('does not exist for a text %s', async (_title, fields, note) => {
    const pool = new FakePool();
    const inspector = inspectorOf({ pool });
    pool.query(fields);
    expect((await planOf(inspector, await idOf(inspector))).note).toContain(note);
    expect(pool.explained).toEqual([]);
  });

  it('says by its code why there is none, and not by a message that may quote a value', async () => {
    const pool = new FakePool();
    pool.explain = () => Promise.reject(Object.assign(new Error('near "secret"'), { code: 'SQLITE_ERROR' }));
    const inspector = inspectorOf({ pool });
    pool.query();
    const { note } = await planOf(inspector, await idOf(inspector));
    expect(note).toBe('SQLite has no plan for it now (SQLITE_ERROR).');
  });
});

describe('the facts', () => {
  it('are read from SQLite as soon as a connection is idle, and do not become statements of the page', async () => {
    const pool = createPool({ filename: ':memory:' });
    onTestFinished(() => pool.close());
    const inspector = inspectorOf({ pool });
    expect((await stateOf(inspector)).pool.facts).toMatchObject({ sqlite: null, pragmas: [] });
    expect(pool.stats().opens).toBe(0);
    await pool.get('SELECT 1');
    await stateOf(inspector);
    await vi.waitFor(async () => {
      const { facts } = (await stateOf(inspector)).pool;
      expect(facts.sqlite).toMatch(/^3\./);
      expect(Object.fromEntries(facts.pragmas)).toMatchObject({ foreign_keys: 'on', journal_mode: 'memory' });
    });
    expect((await stateOf(inspector)).pool.statements.shown.map(({ sql }) => sql)).toEqual(['SELECT 1']);
  });

  it('are asked for once in a while, and not again by each poll', async () => {
    const pool = new FakePool();
    pool.stats = { idle: 1 };
    const all = vi.spyOn(pool, 'all');
    let now = 1_000_000;
    const inspector = inspectorOf({ pool, now: () => now });
    for (let polls = 0; polls < 5; polls += 1) await stateOf(inspector);
    expect(all).toHaveBeenCalledTimes(1);
    now += 31_000;
    await stateOf(inspector);
    expect(all).toHaveBeenCalledTimes(2);
  });
});

describe('close', () => {
  const channels = [queryChannel.start, queryChannel.asyncEnd, evictChannel, closeChannel];

  it('ends every subscription', async () => {
    const inspector = createInspector({ pool: new FakePool() });
    expect(channels.every(({ hasSubscribers }) => hasSubscribers)).toBe(true);
    inspector.close();
    inspector.close();
    expect(channels.some(({ hasSubscribers }) => hasSubscribers)).toBe(false);
    expect(await get(inspector, '/state.json')).toMatchObject({ status: 200 });
  });

  it('happens by itself when all pools have closed', async () => {
    const [first, second] = [new FakePool(), new FakePool()];
    const inspector = createInspector({ pools: [first, second] });
    first.close();
    expect(queryChannel.start.hasSubscribers).toBe(true);
    expect((await stateOf(inspector)).pool).toMatchObject({ closed: true });
    second.close();
    expect(channels.some(({ hasSubscribers }) => hasSubscribers)).toBe(false);
  });
});
