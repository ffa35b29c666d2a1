/** Checked by `tsc`, never run. */
import type { RequestDb, SqlitePool } from '@sqlite-pool/core';
import express, { Router } from 'express';
import { expectTypeOf } from 'vitest';
import sqlitePoolByDefault, { sqlitePool, type SqlitePoolHandler } from '../src/index.ts';

const db = sqlitePool({ filename: 'app.db', poolSize: 4, lease: 'statement', disconnectGraceMs: 1000 });
expectTypeOf(db).toEqualTypeOf<SqlitePoolHandler>();
expectTypeOf(db.pool).toEqualTypeOf<SqlitePool>();
expectTypeOf(db.ready).toEqualTypeOf<Promise<void>>();
expectTypeOf(db.close()).toEqualTypeOf<Promise<void>>();
expectTypeOf(sqlitePoolByDefault).toEqualTypeOf(sqlitePool);

sqlitePool({ pool: db.pool, closePool: true, name: 'audit' });
// @ts-expect-error -- nobody has declared that name
sqlitePool({ filename: 'audit.db', name: 'audti' });
// @ts-expect-error -- no such option
sqlitePool({ filename: 'app.db', poolsize: 4 });
// @ts-expect-error -- a pool that exists has its options already
sqlitePool({ pool: db.pool, poolSize: 4 });

interface User {
  readonly name: string;
}

const app = express();
app.use(db);
app.use('/v1', db, Router().use(db));
app.get('/users/:id', async (req, res) => {
  expectTypeOf(req.db).toEqualTypeOf<RequestDb>();
  // As test/databases.d.ts declares it.
  expectTypeOf(req.audit).toEqualTypeOf<RequestDb>();
  // @ts-expect-error -- nobody has declared that name
  expectTypeOf(req.audti).toBeAny();
  expectTypeOf(req.params.id).toEqualTypeOf<string>();
  // @ts-expect-error -- it is the plugin's
  req.db = db.pool;
  res.json(await req.db.get<User>('SELECT name FROM users WHERE id = ?', [req.params.id]));
});
