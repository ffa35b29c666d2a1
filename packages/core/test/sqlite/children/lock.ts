/** Holds the write lock of a database for a time, or until it gets a message to release it. */
import { createPool } from '../../../src/index.ts';

const [filename = '', milliseconds = ''] = process.argv.slice(2);
const pool = createPool({ filename });
await pool.transaction(async (tx) => {
  await tx.run("INSERT INTO t (v) VALUES ('child')");
  process.send?.('locked');
  await new Promise<void>((done) => {
    if (milliseconds === '')
      process.once('message', () => {
        done();
      });
    else setTimeout(done, Number(milliseconds));
  });
});
await pool.close();
process.send?.('released');
process.disconnect();
