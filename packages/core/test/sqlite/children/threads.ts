/** Runs endless queries on however many threads there are, and says what else goes on meanwhile. */
import { readFile } from 'node:fs/promises';
import { createPool } from '../../../src/index.ts';
import { sqlite3 } from '../../../src/drivers/sqlite3/sqlite3.ts';

/** Counts for ever. */
const ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n';

const [filename = '', endless = ''] = process.argv.slice(2);
const warnings: unknown[] = [];
process.on('warning', (warning) => warnings.push((warning as { code?: unknown }).code));

const pools = [
  createPool({ driver: sqlite3({ filename }) }),
  createPool({ driver: sqlite3({ filename }) }),
] as const;
await pools[0].script('CREATE TABLE t (v)');
const write = 'INSERT INTO t VALUES (1)';
const known = 'SELECT count(*) AS known FROM t';
for (const pool of pools) {
  await pool.run(write);
  await pool.get(known);
}
await pools[0].run('DELETE FROM t');

// Each is cancelled after half a second, so that even with one thread the program comes to its end.
const cancelled = AbortSignal.timeout(500);
const queries = Array.from({ length: Number(endless) }, (_, n) =>
  pools[n % 2 === 0 ? 0 : 1].get(ENDLESS, [], { signal: cancelled }).catch(() => undefined),
);
const since = performance.now();
await readFile(import.meta.filename);
const fileMs = performance.now() - since;
const { changes: written } = await pools[0].run(write);
const answer = await pools[1].get(known);
await Promise.all(queries);
for (const pool of pools) await pool.close();
process.send?.({ fileMs, written, known: answer, warnings: warnings.filter(Boolean) }, () =>
  process.disconnect(),
);
