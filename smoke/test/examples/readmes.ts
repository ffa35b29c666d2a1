import { packageOf, type Example } from '../../../conformance/page-examples.ts';

const TABLES = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
  CREATE TABLE orders (id INTEGER PRIMARY KEY, user TEXT);
  CREATE TABLE stock (id INTEGER, count INTEGER);
  CREATE TABLE mails (address TEXT);
  INSERT INTO notes VALUES (1, 'a');
  INSERT INTO stock VALUES (1, 5);
`;
const ORDER = `{ user: 'Ada', item: 1 }`;
const MAIL = `{ address: 'ada@example.com' }`;

/** Runs the tests of an example, whatever their runner. */
const TESTS = `
const tests = [];
const test = (title, fn) => tests.push(fn({ after: (done) => after.push(done) }));
const after = [];`;
const TESTED = `await Promise.all(tests);\nfor (const done of after) await done();`;

/** The answer of a server that listens. */
const FETCH = `
const ask = async (path, body) => {
  if (!server.listening) await new Promise((done) => server.once('listening', done));
  const json = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return await fetch(\`http://127.0.0.1:\${server.address().port}\${path}\`, body === undefined ? {} : json);
};`;
/** The first message of a WebSocket, after it has sent the id of a note. */
const LIVE = (server: string): string => `
const socket = new WebSocket(\`ws://127.0.0.1:\${${server}.address().port}/live\`);
const message = await new Promise((done) => {
  socket.addEventListener('open', () => socket.send('1'));
  socket.addEventListener('message', ({ data }) => done(data));
});
assert.deepEqual(JSON.parse(message), { id: 1, body: 'a' });
socket.close();`;

const FASTIFY = `
import { sqlitePool } from '@sqlite-pool/fastify';
import { fastify } from 'fastify';`;
const FASTIFY_APP = `${FASTIFY}
const app = fastify();
await app.register(sqlitePool, { filename: 'notes.db' });
await app.sqlite.script(\`${TABLES}\`);`;

const EXPRESS = `
import { sqlitePool } from '@sqlite-pool/express';
import express from 'express';`;
const EXPRESS_APP = `${EXPRESS}
const db = sqlitePool({ filename: 'notes.db' });
await db.pool.script(\`${TABLES}\`);
const app = express().use(express.json(), db);`;
const LISTEN = `const server = app.listen(0, '127.0.0.1');`;
const EXPRESS_END = `server.closeAllConnections();\nserver.close();\nawait db.close();`;

const HONO = `
import { sqlitePool } from '@sqlite-pool/hono';
import { Hono } from 'hono';`;
const HONO_APP = `${HONO}
const db = sqlitePool({ filename: 'notes.db' });
await db.pool.script(\`${TABLES}\`);
const app = new Hono().use(db);`;
const HONO_POST = (path: string, body: string, status: number): string => `
const init = { method: 'POST', body: JSON.stringify(${body}) };
assert.equal((await app.request('${path}', init)).status, ${status});
await db.close();`;
const SERVE = `
import { serve } from '@hono/node-server';
const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });`;

/** Its module, which an application that installs it imports. */
const WS = new URL('wrapper.mjs', packageOf('packages/hono', 'ws')).href;

const MOUNTS = 'packages/inspector/test/mounts.test.ts';

/** The examples of the README of each package, in its order. */
export const READMES: Readonly<Record<string, readonly Example[]>> = {
  'packages/fastify/README.md': [
    { starts: 'import { sqlitePool }', elsewhere: 'packages/fastify/test/readme.test.ts' },
    {
      starts: "app.post('/orders'",
      given: FASTIFY_APP,
      then: `
const answer = await app.inject({ method: 'POST', url: '/orders', payload: ${ORDER} });
assert.deepEqual([answer.statusCode, answer.json()], [201, { id: 1 }]);
assert.deepEqual(await app.sqlite.get('SELECT count FROM stock'), { count: 4 });
await app.close();`,
    },
    {
      starts: 'const app = fastify({',
      given: FASTIFY,
      then: `await app.listen({ port: 0, host: '127.0.0.1' });\nawait app.close();`,
    },
    {
      starts: 'await app.register(',
      given: `${FASTIFY}\nconst app = fastify();`,
      then: `assert.deepEqual((await app.inject('/')).json(), [{ 1: 1 }, { 2: 2 }]);\nawait app.close();`,
    },
    { starts: 'declare module' },
    {
      starts: 'import { Readable }',
      given: FASTIFY_APP,
      then: `assert.equal((await app.inject('/export')).body, '{"id":1,"body":"a"}\\n');\nawait app.close();`,
    },
    {
      starts: 'const background',
      given: FASTIFY_APP,
      then: `
assert.equal((await app.inject({ method: 'POST', url: '/mails', payload: ${MAIL} })).statusCode, 202);
await app.close();
assert.equal(background.size, 0);`,
    },
    {
      starts: "app.get('/live'",
      given: `${FASTIFY_APP}\nawait app.register((await import('@fastify/websocket')).default);`,
      then: `await app.listen({ port: 0, host: '127.0.0.1' });\n${LIVE('app.server')}\nawait app.close();`,
    },
    {
      starts: "test('a note is found'",
      given: `${FASTIFY}${TESTS}
async function buildApp(options) {
  const app = fastify();
  await app.register(sqlitePool, options);
  await app.sqlite.script(\`${TABLES}; DELETE FROM notes;\`);
  app.get('/notes', (request) => request.db.all('SELECT * FROM notes'));
  return app;
}`,
      then: TESTED,
    },
  ],
  'packages/hono/README.md': [
    { starts: 'import { serve }', elsewhere: 'packages/hono/test/readme.test.ts' },
    { starts: "app.post('/orders'", given: HONO_APP, then: HONO_POST('/orders', ORDER, 201) },
    {
      starts: 'const db = sqlitePool(',
      given: HONO,
      then: `
assert.deepEqual(await (await app.request('/')).json(), [{ 1: 1 }, { 2: 2 }]);
await Promise.all([db.close(), audit.close()]);`,
    },
    {
      starts: 'import type { SqlitePoolVariables }',
      given: `${HONO}
const db = sqlitePool({ filename: 'app.db' });
const audit = sqlitePool({ filename: 'audit.db', name: 'audit' });`,
      then: 'await Promise.all([db.close(), audit.close()]);',
    },
    {
      starts: 'import { stream }',
      given: HONO_APP,
      then: `
assert.equal(await (await app.request('/export')).text(), '{"id":1,"body":"a"}\\n');
await db.close();`,
    },
    {
      starts: 'import { closeWithServer }',
      given: `${HONO_APP}${SERVE}`,
      then: `${HONO_POST('/mails', MAIL, 202)}\nassert.equal(background.size, 0);`,
    },
    {
      starts: 'app.get(\n',
      given: `${HONO_APP}
import { serve, upgradeWebSocket } from '@hono/node-server';
import { WebSocketServer } from 'ws';`,
      then: `
const websocket = { server: new WebSocketServer({ noServer: true }) };
const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1', websocket });
if (!server.listening) await new Promise((done) => server.once('listening', done));
${LIVE('server')}
await db.close();`,
    },
    {
      starts: "test('a note is found'",
      given: `${HONO}${TESTS}
async function buildApp(options) {
  const db = sqlitePool(options);
  await db.pool.script(\`${TABLES}; DELETE FROM notes;\`);
  const app = new Hono().use(db).get('/notes', async (c) => c.json(await c.get('db').all('SELECT * FROM notes')));
  return { app, db };
}`,
      then: TESTED,
    },
    { starts: 'const server = Bun.serve', elsewhere: 'smoke/test/runtimes.test.ts' },
  ],
  'packages/express/README.md': [
    { starts: 'import { sqlitePool }', elsewhere: 'packages/express/test/readme.test.ts' },
    {
      starts: "app.get('/notes'",
      given: EXPRESS_APP,
      then: `${LISTEN}${FETCH}\nassert.equal((await ask('/notes')).status, 200);\n${EXPRESS_END}`,
    },
    {
      starts: 'import { transaction }',
      given: EXPRESS_APP,
      then: `${LISTEN}${FETCH}\nassert.equal((await ask('/orders', ${ORDER})).status, 201);\n${EXPRESS_END}`,
    },
    {
      starts: 'const db = sqlitePool(',
      given: `${EXPRESS}\nconst app = express();`,
      then: `${LISTEN}${FETCH}
assert.deepEqual(await (await ask('/')).json(), [{ 1: 1 }, { 2: 2 }]);
await audit.close();
${EXPRESS_END}`,
    },
    { starts: 'declare module' },
    {
      starts: 'import { pipeline, Readable }',
      given: EXPRESS_APP,
      then: `${LISTEN}${FETCH}
assert.equal(await (await ask('/export')).text(), '{"id":1,"body":"a"}\\n');
${EXPRESS_END}`,
    },
    {
      starts: 'import { closeWithServer }',
      given: `${EXPRESS_APP}\n${LISTEN}`,
      then: `${FETCH}\nassert.equal((await ask('/mails', ${MAIL})).status, 202);\n${EXPRESS_END}`,
    },
    {
      starts: 'import { WebSocketServer }',
      given: `${EXPRESS_APP}\n${LISTEN}\nawait new Promise((done) => server.once('listening', done));`,
      then: `${LIVE('server')}\n${EXPRESS_END}`,
      packages: { ws: WS },
    },
    {
      starts: "test('a note is found'",
      given: `${EXPRESS}${TESTS}
import request from 'supertest';
async function buildApp(options) {
  const db = sqlitePool(options);
  await db.pool.script(\`${TABLES}; DELETE FROM notes;\`);
  const app = express().use(db);
  app.get('/notes', async (req, res) => res.json(await req.db.all('SELECT * FROM notes')));
  return { app, db };
}`,
      then: TESTED,
    },
  ],
  'packages/inspector/README.md': [
    { starts: 'import { createServer }', elsewhere: 'packages/inspector/test/readme.test.ts' },
    { starts: 'import { createInspector }', elsewhere: MOUNTS },
    { starts: 'import { createInspector }', elsewhere: MOUNTS },
    { starts: 'import { createInspector }', elsewhere: MOUNTS },
    {
      starts: "app.use('/sqlite', requireAdmin",
      folder: 'smoke',
      given: `${EXPRESS_APP}
import { createInspector } from '@sqlite-pool/inspector';
const requireAdmin = (_req, res) => res.sendStatus(403);`,
      then: `${LISTEN}${FETCH}\nassert.equal((await ask('/sqlite')).status, 403);\n${EXPRESS_END}`,
    },
  ],
};
