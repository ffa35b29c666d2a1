import { createRequire } from 'node:module';
import { createPool } from '../../../../src/index.ts';
import { interruptibleDriver } from '../interrupts.ts';

// Runs a statement without end, and prints for how many milliseconds the process lived after the call to end it.
const [name, how] = process.argv.slice(2);
const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';
const driver = interruptibleDriver(
  name === 'better-sqlite3'
    ? { name, path: createRequire(import.meta.url).resolve(name) }
    : { name: 'node:sqlite' },
)({ filename: ':memory:' });
const pool = createPool({ driver });
await pool.get('SELECT 1');
let told = 0;
process.on('exit', () => {
  console.log(performance.now() - told);
});
if (how === 'exit') {
  void pool.get(ENDLESS).catch(() => undefined);
  setTimeout(() => {
    told = performance.now();
    process.exit(4);
  }, 100);
} else {
  await pool.get(ENDLESS, [], { timeoutMs: 100 }).catch(() => undefined);
  told = performance.now();
}
