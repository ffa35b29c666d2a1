/** Reads a database while another program truncates its file, and reports what happens. */
import { truncateSync } from 'node:fs';
import { createPool, SqliteError } from '../../../src/index.ts';

const filename = process.argv[2] ?? '';
// A small cache, so that the file is read at all.
const pool = createPool({ filename, poolSize: 1, pragmas: { cache_size: -100 } });
// A lease has one database handle. Another one would find an empty database, and that is not corrupt.
const lease = await pool.acquire();
await lease.script(`CREATE TABLE t (v);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT randomblob(1000) FROM n`);
await lease.all('PRAGMA wal_checkpoint(TRUNCATE)');
await lease.get('SELECT sum(length(v)) FROM t');
truncateSync(filename, 0);
try {
  await lease.get('SELECT sum(length(v)) FROM t');
} catch (error) {
  if (!(error instanceof SqliteError)) throw error;
  process.send?.({ name: error.name, sqliteCode: error.sqliteCode });
}
await lease.discard();
await pool.close();
process.disconnect();
