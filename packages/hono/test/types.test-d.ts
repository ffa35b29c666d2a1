/** Checked by `tsc`, never run. */
import type { RequestDb, SqlitePool } from '@sqlite-pool/core';
import { Hono } from 'hono';
import { hc } from 'hono/client';
import { expectTypeOf } from 'vitest';
import sqlitePoolByDefault, {
  sqlitePool,
  type SqlitePoolMiddleware,
  type SqlitePoolVariables,
} from '../src/index.ts';

const db = sqlitePool({ filename: 'app.db', poolSize: 4, lease: 'statement', disconnectGraceMs: 1000 });
expectTypeOf(db).toEqualTypeOf<SqlitePoolMiddleware<'db'>>();
expectTypeOf(db.pool).toEqualTypeOf<SqlitePool>();
expectTypeOf(db.ready).toEqualTypeOf<Promise<void>>();
expectTypeOf(db.close()).toEqualTypeOf<Promise<void>>();
expectTypeOf(sqlitePoolByDefault).toEqualTypeOf(sqlitePool);

const audit = sqlitePool({ pool: db.pool, closePool: true, name: 'audit' });
expectTypeOf(audit).toEqualTypeOf<SqlitePoolMiddleware<'audit'>>();
// @ts-expect-error -- no such option
sqlitePool({ filename: 'app.db', poolsize: 4 });
// @ts-expect-error -- a pool that exists has its options already
sqlitePool({ pool: db.pool, poolSize: 4 });

interface User {
  readonly name: string;
}

// Chained: inferred, for two databases too, and for the client.
const chained = new Hono()
  .use(db)
  .use(audit)
  .get('/users/:id', async (c) => {
    expectTypeOf(c.get('db')).toEqualTypeOf<RequestDb>();
    expectTypeOf(c.var.db).toEqualTypeOf<RequestDb>();
    expectTypeOf(c.get('audit')).toEqualTypeOf<RequestDb>();
    expectTypeOf(c.var.audit).toEqualTypeOf<RequestDb>();
    // @ts-expect-error -- no database has that name
    c.get('audti');
    return c.json(await c.var.db.all<User>('SELECT name FROM users WHERE id = ?', [c.req.param('id')]));
  });
expectTypeOf(chained.request).toBeFunction();
const answer = await hc<typeof chained>('http://127.0.0.1').users[':id'].$get({ param: { id: '1' } });
expectTypeOf(await answer.json()).toEqualTypeOf<{ readonly name: string }[]>();

// On one route.
new Hono().get('/', audit, (c) => {
  expectTypeOf(c.get('audit')).toEqualTypeOf<RequestDb>();
  return c.text('');
});

// Unchained: Hono infers nothing, so the application says what it has.
const unchained = new Hono<{ Variables: SqlitePoolVariables<'db' | 'audit'> }>();
unchained.use(db);
unchained.get('/', (c) => {
  expectTypeOf(c.get('db')).toEqualTypeOf<RequestDb>();
  expectTypeOf(c.var.audit).toEqualTypeOf<RequestDb>();
  // @ts-expect-error -- no database has that name
  c.get('audti');
  return c.text('');
});
