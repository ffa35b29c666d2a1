import { betterSqlite3 } from '../../../../src/drivers/worker/better-sqlite3.ts';
import { nodeSqlite } from '../../../../src/drivers/worker/node-sqlite.ts';
import { createPool } from '../../../../src/index.ts';

// Loses its thread in each call, and has nothing else to wait for than what becomes of the calls.
const [name, ends = ''] = process.argv.slice(2);
const make = name === 'node:sqlite' ? nodeSqlite : betterSqlite3;
const setup = new URL('./setup.ts', import.meta.url);
const pool = createPool({ driver: make({ filename: ':memory:', setup }), poolSize: 1 });
const codes: unknown[] = [];
for (const sql of [`SELECT ${ends}`, `CREATE TABLE t AS SELECT ${ends}`, 'SELECT 1 AS n'])
  codes.push(await pool.get(sql).catch((error: unknown) => (error as { code: unknown }).code));
await pool.close();
console.log(JSON.stringify(codes));
