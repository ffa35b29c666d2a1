import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generation, type Generation } from './generation.ts';
import { Random } from './random.ts';

/** A new database so often, in milliseconds: its history is checked when it is over. */
const GENERATION_MS = 6000;

/** Most anomalies of a history that are printed: one is often the cause of many. */
const MOST_PRINTED = 5;

/**
 * Makes histories and checks them for as long as its arguments say, and stops at the first that no serial order explains. The seed decides
 * what the processes do; when it happens, the machine does.
 */
export async function runHistories(forMs: number, onlySeed: number | undefined): Promise<number> {
  const start = performance.now();
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  const totals = { transactions: 0, ok: 0, fail: 0, info: 0, kills: 0 };
  for (let seed = onlySeed ?? Date.now() | 0; ; seed = (seed + 1) | 0) {
    const processes = new Random(seed).from(2, 4);
    const found = await generation({ directory, seed, processes, isEnough: ({ ms }) => ms >= GENERATION_MS });
    for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += found.totals[name];
    const { transactions, ok, fail, info, kills } = totals;
    const seconds = Math.round((performance.now() - start) / 1000);
    console.log(
      `${String(seconds)} s: ${String(transactions)} transactions (${String(ok)} ok, ${String(fail)} failed, ${String(info)} unknown), ${String(kills)} kills (seed ${String(seed)})`,
    );
    if (found.anomalies.length > 0) {
      console.error(reportOf(found, seed));
      return 1;
    }
    await rm(found.directory, { recursive: true });
    if (onlySeed !== undefined || performance.now() - start >= forMs) break;
  }
  await rm(directory, { recursive: true });
  return 0;
}

/** What is wrong with a history, the seed, and where its log is. */
export function reportOf({ anomalies, directory }: Generation, seed: number): string {
  const kinds = [...new Set(anomalies.map(({ kind }) => kind))].map(
    (kind) => `${String(anomalies.filter((one) => one.kind === kind).length)} × ${kind}`,
  );
  const some = anomalies.slice(0, MOST_PRINTED).map(({ kind, words }) => `${kind}: ${words}`);
  return `Seed ${String(seed)}: ${kinds.join(', ')}. The log is in ${directory}\n\n${some.join('\n\n')}`;
}
