/** Fills a database until the system refuses to let its files grow, and reports what became of it. */
import { createPool, SqliteError } from '../../../src/index.ts';

const pool = createPool({ filename: process.argv[2], poolSize: 2, pragmas: { wal_autocheckpoint: 0 } });
await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');

let acknowledged = 0;
const report: Record<string, unknown> = {};
try {
  for (;;) {
    await pool.run('INSERT INTO t (v) VALUES (randomblob(3000))');
    acknowledged += 1;
  }
} catch (error) {
  if (!(error instanceof SqliteError)) throw error;
  Object.assign(report, { name: error.name, sqliteCode: error.sqliteCode });
}
await pool
  .transaction(async (tx) => {
    for (let n = 0; n < 50; n += 1) await tx.run('INSERT INTO t (v) VALUES (randomblob(3000))');
  })
  .catch((error: unknown) => (report['inTransaction'] = (error as SqliteError).sqliteCode));

report['acknowledged'] = acknowledged;
report['kept'] = (await pool.get<{ n: number }>('SELECT count(*) AS n FROM t'))?.n;
report['writerHeld'] = pool.stats().writerHeld;
report['afterwards'] = await pool.all('PRAGMA integrity_check');
await pool.close();
process.send?.(report);
process.disconnect();
