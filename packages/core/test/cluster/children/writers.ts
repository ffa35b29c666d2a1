import { createPool } from '../../../src/index.ts';
import { libsql } from '../../../src/drivers/libsql/libsql.ts';

/** What a process that writes has to say. */
export interface Report {
  readonly writes: number;
  readonly failures: readonly string[];
  readonly longestMs: number;
}

const [url = '', writingMs = '0'] = process.argv.slice(2);
const pool = createPool({ driver: libsql({ url }), poolSize: 3 });
const end = performance.now() + Number(writingMs);
const failures: string[] = [];
let writes = 0;
let longestMs = 0;

await Promise.all(
  Array.from({ length: 4 }, async () => {
    while (performance.now() < end) {
      const began = performance.now();
      await pool.run('INSERT INTO t VALUES (1)').then(
        () => (writes += 1),
        (error: unknown) => failures.push(String(error)),
      );
      longestMs = Math.max(longestMs, performance.now() - began);
    }
  }),
);
await pool.close();
process.send?.({ writes, failures, longestMs: Math.round(longestMs) } satisfies Report);
