/** Tries to use databases as a user who may not, and reports how each attempt ends. */
import { createPool, OpenError, SqlitePoolError } from '../../../src/index.ts';

const files = process.argv.slice(2);
// Loaded while the process may still read everything.
const first = createPool({ filename: ':memory:' });
await first.open();
await first.close();
if (process.getuid?.() === 0) {
  process.setgid?.(65_534);
  process.setuid?.(65_534);
}
for (const filename of files) {
  const pool = createPool({ filename });
  try {
    const read = await pool.get('SELECT count(*) AS n FROM sqlite_schema');
    await pool.run('INSERT INTO t (v) VALUES (1)');
    process.send?.({ read, wrote: true });
  } catch (error) {
    if (!(error instanceof SqlitePoolError)) throw error;
    process.send?.({ name: error.name, reason: error instanceof OpenError ? error.reason : error.message });
  }
  await pool.close();
}
process.disconnect();
