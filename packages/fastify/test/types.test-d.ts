/** Checked by `tsc`, never run. */
import type { PoolOptions, RequestDb, SqlitePool } from '@sqlite-pool/core';
import { fastify } from 'fastify';
import { expectTypeOf } from 'vitest';
import sqlitePoolByDefault, { sqlitePool, type SqlitePoolOptions } from '../src/index.ts';

const app = fastify();
await app.register(sqlitePool, {
  filename: 'app.db',
  poolSize: 4,
  lease: 'statement',
  disconnectGraceMs: 1000,
});
await app.register(sqlitePoolByDefault, { pool: app.sqlite, closePool: true });
// @ts-expect-error -- no such option
await app.register(sqlitePool, { filename: 'app.db', poolsize: 4 });
// @ts-expect-error -- a pool that exists has its options already
await app.register(sqlitePool, { pool: app.sqlite, poolSize: 4 });

await app.register(sqlitePool, { filename: 'audit.db', name: 'audit' });
// @ts-expect-error -- nobody has declared that name
await app.register(sqlitePool, { filename: 'audit.db', name: 'audti' });
// As test/databases.d.ts declares it.
expectTypeOf(app.auditPool).toEqualTypeOf<SqlitePool>();
// @ts-expect-error -- nor is there such a pool
expectTypeOf(app.audtiPool).toBeAny();

expectTypeOf(app.sqlite).toEqualTypeOf<SqlitePool>();
expectTypeOf<PoolOptions>().toExtend<SqlitePoolOptions>();

interface User {
  readonly name: string;
}

app.get('/users/:id', async (request) => {
  expectTypeOf(request.db).toEqualTypeOf<RequestDb>();
  expectTypeOf(request.audit).toEqualTypeOf<RequestDb>();
  // @ts-expect-error -- nor such a handle
  expectTypeOf(request.audti).toBeAny();
  // @ts-expect-error -- it is the plugin's
  request.db = app.sqlite;
  return (await request.db.get<User>('SELECT name FROM users'))?.name;
});

app.addHook('onRequest', async (request) => {
  expectTypeOf(request.db.connection((connection) => connection.all<User>('SELECT 1'))).toEqualTypeOf<
    Promise<User[]>
  >();
  expectTypeOf(request.db.iterate<User>('SELECT 1')).toExtend<AsyncIterable<User>>();
  expectTypeOf(
    request.db.transaction(async (tx) => (await tx.run('DELETE FROM users')).changes),
  ).toEqualTypeOf<Promise<number>>();
});
