import { expect, it } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { poolOf, temporaryFile } from './helpers.ts';

const DDL = 'CREATE TABLE child (p INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)';

/** A pool that has found out a moment ago that nothing in its schema is deferred. */
async function pool(): Promise<SqlitePool> {
  const made = poolOf({ filename: await temporaryFile(), pragmas: { synchronous: 'FULL' } });
  await made.script('CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE t (x)');
  await Promise.all([1, 2, 3, 4].map((x) => made.run('INSERT INTO t VALUES (?)', [x])));
  return made;
}

it.each<[string, (db: SqlitePool) => Promise<unknown>, 'beside' | 'before']>([
  ['a write on the pool', (db) => db.run(DDL), 'beside'],
  ['a script', (db) => db.script(DDL), 'beside'],
  ['a transaction', (db) => db.transaction((tx) => tx.run(DDL)), 'beside'],
  ['a deferred transaction', (db) => db.transaction((tx) => tx.run(DDL), { mode: 'deferred' }), 'before'],
  ['a lease', (db) => db.connection((lease) => lease.run(DDL)), 'before'],
])('a constraint that is deferred since %s is known to the next group', async (_, change, when) => {
  const db = await pool();
  const changed = change(db);
  if (when === 'before') await changed;
  const writes = await Promise.allSettled([
    db.run('INSERT INTO t VALUES (5)'),
    db.run('INSERT INTO child VALUES (7)'),
    db.run('INSERT INTO parent VALUES (7)'),
  ]);
  await changed;
  expect(writes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});
