import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createPool } from '../../src/index.ts';

/** Longest time from the first acknowledged transaction to the kill. */
const LONGEST_LIFE_MS = 120;

/** Single statements are numbered from here on, see `children/writer.ts`. */
const FIRST_TOGETHER = 500_000;

/** What a round has found. */
export interface Round {
  /** Those of them that were single statements, made at once with others, so that they shared a COMMIT. */
  readonly together: number;
  /** Transactions whose commit was acknowledged before the kill. */
  readonly acknowledged: number;
  /** What is wrong with the database; empty if nothing is. */
  readonly faults: readonly string[];
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Lets a process commit transactions to a database, kills it at a random moment, and then checks that every one it
 * acknowledged is there, whole, that none is there in part, and that none is there that was rolled back. Rounds on one
 * file go on from what the earlier ones left.
 */
export async function crash(filename: string, round: number, random: () => number): Promise<Round> {
  const first = round * 1_000_000;
  const synchronous = random() < 0.5 ? 'FULL' : 'NORMAL';
  const acknowledged = await killed(filename, synchronous, first, random() * LONGEST_LIFE_MS);
  const together = acknowledged.filter((id) => id >= first + FIRST_TOGETHER).length;
  return {
    acknowledged: acknowledged.length,
    together,
    faults: await faultsOf(filename, first, acknowledged),
  };
}

/** Starts the writer and kills it `lifeMs` after its first line. Resolves to the numbers it has printed. */
async function killed(
  filename: string,
  synchronous: string,
  first: number,
  lifeMs: number,
): Promise<number[]> {
  const script = join(import.meta.dirname, 'children', 'writer.ts');
  const child = spawn(process.execPath, [script, filename, synchronous, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const acknowledged: number[] = [];
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once('close', (_code, signal) => {
      resolve(signal);
    }),
  );
  createInterface(child.stdout).on('line', (line) => {
    if (acknowledged.length === 0) setTimeout(() => child.kill('SIGKILL'), lifeMs);
    acknowledged.push(Number(line));
  });
  const signal = await ended;
  if (signal !== 'SIGKILL') throw new Error('The writer ended by itself; see what it printed.');
  return acknowledged;
}

interface Found {
  readonly id: number;
  readonly found: number;
  readonly parts: number;
}

async function faultsOf(filename: string, first: number, acknowledged: readonly number[]): Promise<string[]> {
  await using pool = createPool({ filename });
  const faults: string[] = [];
  const integrity = await pool.all('PRAGMA integrity_check');
  if (JSON.stringify(integrity) !== '[{"integrity_check":"ok"}]') faults.push(JSON.stringify(integrity));
  const rows = await pool.all<Found>(
    'SELECT id, count(*) AS found, max(parts) AS parts FROM ledger WHERE id >= ? GROUP BY id',
    [first],
  );
  for (const { id, found, parts } of rows) {
    if (found !== parts)
      faults.push(`transaction ${String(id)} is there in part: ${String(found)} of ${String(parts)}`);
    if (id % 7 === 0) faults.push(`transaction ${String(id)} is there, and was rolled back`);
  }
  const there = new Set(rows.map(({ id }) => id));
  for (const id of acknowledged) if (!there.has(id)) faults.push(`transaction ${String(id)} is lost`);
  return faults;
}
