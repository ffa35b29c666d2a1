import { createRequire } from 'node:module';
import { betterSqlite3 } from '../../../../src/drivers/worker/better-sqlite3.ts';
import { nodeSqlite } from '../../../../src/drivers/worker/node-sqlite.ts';
import { interruptibleDriver } from '../interrupts.ts';

// Leaves connections open, and has nothing else to do.
const [name, how] = process.argv.slice(2);
const endless = interruptibleDriver(
  name === 'better-sqlite3'
    ? { name, path: createRequire(import.meta.url).resolve(name) }
    : { name: 'node:sqlite' },
);
const make = how === 'endless' ? endless : name === 'node:sqlite' ? nodeSqlite : betterSqlite3;
const driver = make({ filename: ':memory:' });
const connections = [await driver.open(), await driver.open()];
for (const connection of connections) await connection.execute('SELECT 1');
if (how === 'closed') for (const connection of connections) await connection.close();
if (how === 'exit') process.exit(3);
if (how === 'endless') {
  const sql = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';
  for (const connection of connections) void connection.execute(sql).catch(() => undefined);
  setTimeout(() => process.exit(4), 200);
}
// An answer that is awaited keeps the process alive.
if (how === 'busy')
  void connections[0]?.execute('SELECT 7 AS n').then(({ rows }) => console.log(JSON.stringify(rows)));
