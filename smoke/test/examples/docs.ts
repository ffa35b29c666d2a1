import type { Example } from '../../../conformance/page-examples.ts';

/** A pool, for an example that has none of its own. */
const poolWith = (options: string): string => `
import { createPool } from '@sqlite-pool/core';
const pool = createPool({ filename: 'app.db', ${options} });
await pool.script(\`
  CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT UNIQUE);
  INSERT INTO users VALUES (1, 'old', 'ada@example.com');
  CREATE TABLE posts (id INTEGER PRIMARY KEY, body TEXT);
  CREATE TABLE orders (id TEXT PRIMARY KEY, item TEXT);
  CREATE TABLE log (line TEXT);
  CREATE TABLE queue (line TEXT);
  CREATE TABLE drafts (line TEXT);
  CREATE TABLE a (b);
\`);`;
const POOL = poolWith('');
const CREATE_POOL = `import { createPool } from '@sqlite-pool/core';`;
const LIBSQL = `import { libsql } from '@sqlite-pool/core/libsql';`;
const LEASE = `${POOL}\nconst lease = await pool.acquire();`;
const CLOSE = `await pool.close();`;
const USED = `assert.deepEqual(await pool.get('SELECT 1 AS one'), { one: 1 });\n${CLOSE}`;

/** A driver that opens nothing. */
const NO_DRIVER = `
const nothing = async () => ({ rows: [], columns: [], changes: 0, lastInsertRowid: 0 });
const open = async () => ({ execute: nothing, rollback: nothing, close: nothing, inTransaction: () => false });
const mine = { name: 'mine', open };`;

/** A package without a pool, for the example of a driver. */
const OPEN_SOMEHOW = `
import { DatabaseSync } from 'node:sqlite';
async function openSomehow(path) {
  const database = new DatabaseSync(path);
  return {
    query: async (sql, params) => {
      const rows = database.prepare(sql).all(...params).map((row) => ({ ...row }));
      return { rows, columns: Object.keys(rows[0] ?? {}), changes: 0, lastInsertRowid: 0 };
    },
    get inTransaction() { return database.isTransaction; },
    interrupt: () => undefined,
    close: async () => database.close(),
  };
}`;

const EXPRESS = `
import express from 'express';
const app = express();`;

/** The answer of a server to a GET. */
const ASK = `
const ask = async (server, path) => {
  if (!server.listening) await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return await fetch(\`http://127.0.0.1:\${server.address().port}\${path}\`);
};`;
const HEALTHY = (server: string): string => `${ASK}
const server = ${server};
assert.deepEqual((await (await ask(server, '/health')).json()).status, 'ok');
server.closeAllConnections?.();
server.close();
${CLOSE}`;

/** The examples of each page, in its order. */
export const DOCS: Readonly<Record<string, readonly Example[]>> = {
  'docs/beyond-one-machine.md': [
    { starts: 'import { createPool }', given: `const readToken = () => 'token';`, then: CLOSE },
    { starts: 'const driver = libsql({', given: LIBSQL },
    { starts: 'const pool = createPool({', given: CREATE_POOL, then: USED },
  ],
  'docs/concurrency.md': [{ starts: 'await pool.transaction(', given: POOL, then: CLOSE }],
  'docs/drivers.md': [
    {
      starts: 'import { createPool }',
      given: NO_DRIVER,
      then: 'for (const pool of [a, b, c, d, s, e, f]) await pool.close();',
    },
    {
      starts: 'import type { Driver }',
      given: `${CREATE_POOL}${OPEN_SOMEHOW}`,
      then: `const pool = createPool({ driver: mine });\n${USED}`,
    },
    { starts: 'import { createPool }', then: `await same.close();\n${USED}` },
  ],
  'docs/errors.md': [
    { starts: 'import { SqliteError }', given: `${POOL}\nconst email = 'ada@example.com';`, then: CLOSE },
    { starts: 'await pool.get(', given: `${POOL}\nconst request = { params: { id: '1' } };`, then: CLOSE },
    {
      starts: 'await pool.transaction(',
      given: `${POOL}\nconst rows = [['a'], ['b']];\nconst insert = 'INSERT INTO log (line) VALUES (?)';`,
      then: CLOSE,
    },
    { starts: 'const lease = await', given: poolWith('acquireTimeoutMs: 1500'), rejects: 'ACQUIRE_TIMEOUT' },
    { starts: 'await pool.all(', given: POOL, then: CLOSE },
    {
      starts: 'const id = crypto',
      given: `import { OutcomeUnknownError } from '@sqlite-pool/core';${POOL}\nconst item = 'tea';`,
      then: CLOSE,
    },
    {
      starts: 'await pool.transaction(',
      given: `${POOL}\nconst line = 'a';`,
      then: CLOSE,
      rejects: 'LEASE_ENDED',
    },
    { starts: 'await lease.transaction(', given: LEASE, rejects: 'TRANSACTION_ACTIVE' },
    { starts: 'await pool.transaction(', given: POOL, rejects: 'TRANSACTION_LOST' },
    {
      starts: 'await pool.transaction(transfer',
      given: `${POOL}\nconst transfer = (tx) => tx.run('INSERT INTO a VALUES (1)');`,
      then: CLOSE,
    },
  ],
  'docs/lifecycle.md': [
    { starts: 'const connection = await', given: POOL, then: CLOSE },
    {
      starts: 'db.closeWith(server',
      given: `${POOL}
import { createServer } from 'node:http';
import { closeWithServer } from '@sqlite-pool/core/plugin';
import { sqlitePool } from '@sqlite-pool/express';
const db = sqlitePool({ filename: 'other.db' });
const server = createServer();
await new Promise((done) => server.listen(0, '127.0.0.1', done));`,
      then: 'server.close();\nawait Promise.all([pool.close(), db.pool.close()]);',
    },
  ],
  'docs/options.md': [{ starts: 'const pool = createPool', given: CREATE_POOL, then: USED }],
  'docs/sight.md': [
    {
      starts: 'const pool = createPool',
      given: `${CREATE_POOL}\nconst pino = () => console;`,
      then: USED,
    },
    { starts: 'import { queryChannel }', given: POOL, then: USED },
    {
      starts: '// @fastify/under-pressure',
      folder: 'examples',
      given: `${POOL}
import underPressure from '@fastify/under-pressure';
import { fastify } from 'fastify';
const app = fastify();`,
      then: `assert.equal((await app.inject('/health')).statusCode, 200);\nawait app.close();\n${CLOSE}`,
    },
    {
      starts: '// @godaddy/terminus',
      folder: 'examples',
      given: `${POOL}
import { createServer } from 'node:http';
import { createTerminus } from '@godaddy/terminus';
const server = createServer((_request, response) => response.end());`,
      then: `${ASK}\nassert.equal((await ask(server, '/health')).status, 200);\n${CLOSE}`,
    },
    {
      starts: '// Fastify',
      given: `${POOL}\nimport { fastify } from 'fastify';\nconst app = fastify();`,
      then: `assert.equal((await app.inject('/health')).statusCode, 200);\nawait app.close();\n${CLOSE}`,
    },
    { starts: '// Express 5', given: `${POOL}${EXPRESS}`, then: HEALTHY(`app.listen(0, '127.0.0.1')`) },
    {
      starts: '// Hono',
      given: `${POOL}\nimport { Hono } from 'hono';\nconst app = new Hono();`,
      then: `assert.equal((await app.request('/health')).status, 200);\n${CLOSE}`,
    },
    { starts: 'import { instrument }', given: POOL, then: USED },
    {
      starts: 'instrument({ omitMetrics',
      given: `import { instrument } from '@sqlite-pool/core/opentelemetry';${POOL}`,
      then: USED,
    },
    {
      starts: 'import { collectPoolMetrics }',
      given: `${POOL}\nimport { fastify } from 'fastify';\nconst app = fastify();`,
      then: `
await pool.get('SELECT 1');
assert.match((await app.inject('/metrics')).body, /db_client_operation_duration_seconds/);
await app.close();
${CLOSE}`,
    },
  ],
  'docs/testing.md': [
    { starts: 'import { test }', elsewhere: 'packages/core/test/testing/plugin/cases.test.ts' },
    { starts: 'import { once }', elsewhere: 'packages/core/test/testing/plugin/cases.test.ts' },
    { starts: 'import assert', then: CLOSE },
    {
      starts: 'const driver = fakeDriver',
      goesOn: true,
      then: `await Promise.all([pool, other].map((one) => one.close()));`,
    },
    { starts: 'import { test }', elsewhere: 'packages/core/test/pool/driver-cases.test.ts' },
  ],
};
