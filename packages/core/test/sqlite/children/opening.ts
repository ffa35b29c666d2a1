/** Uses a database that another process has locked, closes its pool or does not, and reports how long it took to end. */
import { writeSync } from 'node:fs';
import { createPool } from '../../../src/index.ts';
import { sqlite3 } from '../../../src/drivers/sqlite3/sqlite3.ts';

const [filename = '', what = ''] = process.argv.slice(2);
// The parent waits for nothing but the end.
process.disconnect();
const pool = createPool({ driver: sqlite3({ filename }), acquireTimeoutMs: 100 });
const uses = await Promise.allSettled(Array.from({ length: 10 }, () => pool.get('SELECT 1')));
const codes = uses.map((use) => (use.status === 'rejected' ? (use.reason as { code: string }).code : ''));
const since = performance.now();
if (what === 'close') await pool.close();
process.on('exit', () => {
  const { quarantined } = pool.stats();
  writeSync(1, JSON.stringify({ codes: [...new Set(codes)], quarantined, ms: performance.now() - since }));
});
