/** Does its work, leaves its pool open, and reports at its end how long it took to end. */
import { createPool } from '../../../src/index.ts';
import { writeSync } from 'node:fs';

const [filename = '', what = ''] = process.argv.slice(2);
// The parent waits for nothing but the end.
process.disconnect();
const report: Record<string, unknown> = {};
let idleSince = 0;
process.on('exit', () => {
  report['idleMs'] = performance.now() - idleSince;
  writeSync(1, JSON.stringify(report));
});

const pool = createPool({ filename, poolSize: 2, minIdle: 2, leakWarningMs: 60_000, maxLeaseMs: 60_000 });
await pool.script('CREATE TABLE t (v)');
await pool.transaction((tx) => tx.run('INSERT INTO t VALUES (1)'));

if (what === 'waiting') {
  const leases = await Promise.all([pool.acquire(), pool.acquire()]);
  pool.acquire({ timeoutMs: 300 }).catch((error: unknown) => {
    report['waiter'] = (error as { code: string }).code;
    report['held'] = leases.length;
  });
}
if (what === 'running') {
  void pool
    .get(
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) AS c FROM n',
    )
    .then((row) => (report['row'] = row));
}
idleSince = performance.now();
