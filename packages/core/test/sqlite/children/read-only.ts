/** Makes databases, or tries to use them, and reports how each attempt ends. */
import { copyFile } from 'node:fs/promises';
import { createPool, OpenError } from '../../../src/index.ts';

const [what, wal = '', rollback = '', open = '', ...others] = process.argv.slice(2);
if (what === 'make') {
  const made = createPool({ filename: rollback, pragmas: { journal_mode: 'DELETE' } });
  await made.script('CREATE TABLE t (v)');
  await made.close();
  const pool = createPool({ filename: wal });
  await pool.script('CREATE TABLE t (v)');
  // With a WAL that is not written back.
  for (const suffix of ['', '-wal']) await copyFile(wal + suffix, open + suffix);
  await pool.close();
} else {
  for (const filename of [wal, rollback, open, ...others]) {
    const pool = createPool({ filename });
    try {
      await pool.open();
      process.send?.('opened');
    } catch (error) {
      if (!(error instanceof OpenError)) throw error;
      process.send?.({ name: error.name, reason: error.reason });
    }
    await pool.close();
  }
}
process.disconnect();
