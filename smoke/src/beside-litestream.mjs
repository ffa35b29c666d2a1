// An application whose file Litestream copies, with the options of docs/beyond-one-machine.md. It says how many rows were acknowledged.
import { createPool } from '@sqlite-pool/core';

const [, , filename = ''] = process.argv;
const pool = createPool({ filename, walLimitBytes: null, pragmas: { wal_autocheckpoint: 0 } });
process.on('warning', (warning) => process.send?.({ warning: String(warning) }));

let acknowledged = 0;
await Promise.all(
  [1, 2, 3, 4].map(async () => {
    for (;;) {
      await pool.run('INSERT INTO t (v) VALUES (zeroblob(8000))');
      acknowledged += 1;
      process.send?.({ acknowledged });
    }
  }),
);
