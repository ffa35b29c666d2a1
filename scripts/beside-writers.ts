/**
 * How long an unrelated `fs.readFile` takes beside 64 writers, who each write again as soon as their write is acknowledged, in that of
 * an idle process: `npx pnpm build && npx pnpm exec node scripts/beside-writers.ts`. Rounds of all ways are interleaved.
 *
 * The pool resolves the callers of a group at once, in one tick. This shows what that costs the rest of the process.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { wakeUpUs } from '../benchmarks/src/wake-up.ts';
import { sqlite3 } from '../packages/core/dist/drivers/sqlite3/sqlite3.js';
import { createPool, type SqlitePool } from '../packages/core/dist/index.js';

const WRITERS = 64;
const WARM_UP_MS = 5000;
const ROUND_MS = 3000;
const ROUNDS = 3;

const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-beside-'));
const file = join(directory, 'file');
await writeFile(file, Buffer.alloc(4096));

const pools: Readonly<Record<string, SqlitePool>> = {
  'node:sqlite, NORMAL': createPool({ filename: join(directory, 'a.db') }),
  'node:sqlite, FULL': createPool({ filename: join(directory, 'b.db'), pragmas: { synchronous: 'FULL' } }),
  'sqlite3, NORMAL': createPool({ driver: sqlite3({ filename: join(directory, 'c.db') }) }),
};

/** Each file read takes so long, in milliseconds, one after the other with a pause, for as long as a round. */
async function reads(): Promise<number[]> {
  const times: number[] = [];
  for (const end = performance.now() + ROUND_MS; performance.now() < end;) {
    const since = performance.now();
    await readFile(file);
    times.push(performance.now() - since);
    await sleep(2);
  }
  return times;
}

/** Has the writers write until the function that it returns is called, which resolves to how many writes there were. */
function write(pool: SqlitePool): () => Promise<number> {
  let writes = 0;
  let state: 'on' | 'off' = 'on';
  const isOn = (): boolean => state === 'on';
  const all = Array.from({ length: WRITERS }, async () => {
    for (; isOn(); writes += 1) await pool.run('INSERT INTO t (v) VALUES (?)', ['a value']);
  });
  return async () => {
    state = 'off';
    await Promise.all(all);
    return writes;
  };
}

const p99 = (times: readonly number[]): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? NaN;

for (const pool of Object.values(pools)) {
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const end = write(pool);
  await sleep(WARM_UP_MS);
  await end();
}
const rows: Record<string, { beside: number[]; writes: number }> = {};
const idle: number[] = [];
for (let round = 1; round <= ROUNDS; round += 1) {
  idle.push(...(await reads()));
  for (const [name, pool] of Object.entries(pools)) {
    const end = write(pool);
    const row = (rows[name] ??= { beside: [], writes: 0 });
    row.beside.push(...(await reads()));
    row.writes += await end();
  }
  console.log(`round ${String(round)} of ${String(ROUNDS)}`);
}
console.log(
  `A wake-up costs ${(await wakeUpUs()).toFixed(1)} µs. readFile idle: p99 ${p99(idle).toFixed(2)} ms.`,
);
console.table(
  Object.fromEntries(
    Object.entries(rows).map(([name, { beside, writes }]) => [
      name,
      {
        'readFile p99, ms': Number(p99(beside).toFixed(2)),
        'in idle ones': Number((p99(beside) / p99(idle)).toFixed(1)),
        'writes a second': Math.round(writes / ((ROUNDS * ROUND_MS) / 1000)),
      },
    ]),
  ),
);
for (const pool of Object.values(pools)) await pool.close();
await rm(directory, { recursive: true });
