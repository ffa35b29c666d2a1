import { createPool } from '../../../../src/index.ts';
import { libsql } from '../../../../src/drivers/libsql/libsql.ts';

const pool = createPool({ driver: libsql({ url: process.argv[2] ?? '' }) });
await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2')]);
const idleSince = performance.now();
process.on('exit', () => {
  process.stdout.write(String(Math.round(performance.now() - idleSince)));
});
