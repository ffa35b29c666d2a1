/** Transfers money between accounts from several writers, some of it in vain, and reports which transfers were made. */
import { createPool } from '../../../src/index.ts';

const [filename = '', name = ''] = process.argv.slice(2);
const WRITERS = 4;
const TRANSFERS_EACH = 40;
const ACCOUNTS = 10;

const pool = createPool({ filename, poolSize: 6, pragmas: { busy_timeout: 20_000 } });
const acknowledged: string[] = [];

async function transfer(id: string, inVain: boolean): Promise<void> {
  const any = (): number => Math.floor(Math.random() * ACCOUNTS);
  await pool.transaction(async (tx) => {
    const cents = 1 + Math.floor(Math.random() * 400);
    await tx.run('UPDATE accounts SET cents = cents + ? WHERE id = ?', [cents, any()]);
    await tx.run('UPDATE accounts SET cents = cents - ? WHERE id = ?', [cents, any()]);
    await tx.run('INSERT INTO transfers VALUES (?)', [id]);
    if (inVain) throw new Error('changed its mind');
  });
  acknowledged.push(id);
}

await Promise.all(
  Array.from({ length: WRITERS }, async (_, writer) => {
    for (let n = 0; n < TRANSFERS_EACH; n += 1) {
      // Refused by the CHECK, or in vain: whatever rejects must have left nothing.
      await transfer(`${name}-${String(writer)}-${String(n)}`, n % 5 === 0).catch(() => undefined);
    }
  }),
);
await pool.close();
process.send?.(acknowledged);
process.disconnect();
