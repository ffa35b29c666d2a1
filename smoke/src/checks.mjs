import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * @typedef {object} Modules What the caller loaded, with `import` or with `require`.
 * @property {typeof import('@sqlite-pool/core')} core
 * @property {typeof import('@sqlite-pool/core/testing')} testing
 * @property {typeof import('@sqlite-pool/core/channels')} channels
 * @property {typeof import('@sqlite-pool/core/opentelemetry')} opentelemetry
 * @property {typeof import('@sqlite-pool/core/prometheus')} prometheus
 * @property {typeof import('prom-client').Registry} Registry
 * @property {typeof import('@sqlite-pool/express')} expressPlugin
 * @property {typeof import('@sqlite-pool/express/transaction')} expressTransaction
 * @property {typeof import('@sqlite-pool/fastify')} fastifyPlugin
 * @property {typeof import('@sqlite-pool/hono')} honoPlugin
 * @property {typeof import('@sqlite-pool/inspector')} inspector
 * @property {typeof import('express')} express
 * @property {typeof import('fastify').fastify} fastify
 * @property {typeof import('hono').Hono} Hono
 */

const hello = "SELECT 'hello' AS word";

/** @type {Record<string, (modules: Modules, filename: string) => Promise<void>>} */
const checks = {
  async core({ core, testing }, filename) {
    assert.ok(Object.keys(testing).length > 0);
    const pool = core.createPool({ filename });
    await pool.run('CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL)');
    await pool.run('INSERT INTO notes (body) VALUES (?)', ['written']);
    await pool.transaction(async (tx) => {
      await tx.run('INSERT INTO notes (body) VALUES (?)', ['committed']);
    });
    const refused = pool.transaction(async (tx) => {
      await tx.run('INSERT INTO notes (body) VALUES (?)', ['rolled back']);
      throw new Error('refused');
    });
    await assert.rejects(refused, /refused/);
    assert.deepEqual(await pool.all('SELECT body FROM notes ORDER BY id'), [
      { body: 'written' },
      { body: 'committed' },
    ]);
    // On Node.js 22 an AsyncLocalStorage makes each await slower. The pool does not begin that.
    assert.deepEqual(Object.getOwnPropertySymbols(Promise.resolve()), []);
    // Where the program has one, the pool refuses at once what waits for itself.
    const storage = new AsyncLocalStorage();
    await storage.run('mine', async () => {
      await pool.transaction(async (tx) => {
        await tx.run('DELETE FROM notes');
        await assert.rejects(pool.run('DELETE FROM notes'), { code: 'TRANSACTION_ACTIVE' });
      });
    });
    await pool.close();
    await assert.rejects(pool.get(hello));
  },

  async sight({ core, channels, opentelemetry, prometheus, Registry }, filename) {
    /** @type {string[]} */
    const texts = [];
    channels.queryChannel.asyncEnd.subscribe(() => texts.push('ended'));
    const registry = new Registry();
    prometheus.collectPoolMetrics({ registry });
    const instrumentation = opentelemetry.instrument();
    const pool = core.createPool({ filename });
    assert.deepEqual(await pool.get(hello), { word: 'hello' });
    assert.deepEqual(texts, ['ended']);
    assert.match(await registry.metrics(), /db_client_operation_duration_seconds_count\{.*\} 1/);
    instrumentation.disable();
    await pool.close();
  },

  async fastify({ fastify, fastifyPlugin }, filename) {
    const app = fastify();
    await app.register(fastifyPlugin.sqlitePool, { filename });
    app.get('/', (request) => request.db.get(hello));
    const response = await app.inject('/');
    assert.deepEqual(response.json(), { word: 'hello' });
    await app.close();
  },

  async hono({ Hono, honoPlugin }, filename) {
    const db = honoPlugin.sqlitePool({ filename });
    const app = new Hono().use(db).get('/', async (c) => c.json(await c.get('db').get(hello)));
    const response = await app.request('/');
    assert.deepEqual(await response.json(), { word: 'hello' });
    await db.close();
  },

  async express({ express, expressPlugin, expressTransaction }, filename) {
    const db = expressPlugin.sqlitePool({ filename });
    const app = express();
    app.use(db);
    app.get('/', async (req, res) => {
      res.json(await req.db.get(hello));
    });
    app.get('/transaction', expressTransaction.transaction(db), async (req, res) => {
      res.json(await req.db.get(hello));
    });
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    for (const path of ['/', '/transaction']) {
      const response = await fetch(`http://127.0.0.1:${address.port}${path}`);
      assert.deepEqual(await response.json(), { word: 'hello' });
    }
    await new Promise((resolve) => server.close(resolve));
    await db.close();
  },

  async inspector({ core, inspector }, filename) {
    const pool = core.createPool({ filename });
    const { handle } = inspector.createInspector({ pool });
    await pool.get(hello);
    const page = await handle({ method: 'GET', path: '/', headers: {} });
    assert.match(page.body, /<style>.+<\/style>.*<script type="module">.+<\/script>/s);
    const state = await handle({ method: 'GET', path: '/state.json', headers: {} });
    assert.ok(state.body.includes(JSON.stringify(hello)));
    await pool.close();
  },
};

/**
 * Runs the check that the command line names. It then ends by itself only if nothing keeps the process alive.
 *
 * @param {Modules} modules
 */
export async function runCheck(modules) {
  const check = checks[process.argv[2] ?? ''];
  assert.ok(check, `no such check: ${process.argv[2]}`);
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-smoke-'));
  try {
    await check(modules, join(folder, 'smoke.db'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
