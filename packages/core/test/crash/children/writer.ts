/**
 * Commits transactions until it is killed, and prints the number of each one as soon as it is acknowledged. Every
 * transaction writes `parts` rows, so that one of which only some are there can be told.
 */
import { writeSync } from 'node:fs';
import { createPool } from '../../../src/index.ts';

const [filename = '', synchronous = '', first = ''] = process.argv.slice(2);
const WRITERS = 4;
/** Statements that are made at once, so that most of them share a COMMIT; numbered from here on. */
const TOGETHER = 16;
const FIRST_TOGETHER = 500_000;
const CHECKPOINT_EVERY = 50;

const pool = createPool({ filename, pragmas: { synchronous } });
await pool.script(
  'CREATE TABLE IF NOT EXISTS ledger (id INTEGER, part INTEGER, parts INTEGER, filler, PRIMARY KEY (id, part))',
);

let next = Number(first);

async function write(): Promise<never> {
  for (;;) {
    const id = next;
    next += 1;
    await writeOne(id, (id % 5) + 1);
    // One system call, done when it returns: what is printed here survives the kill.
    if (id % 7 !== 0) writeSync(1, `${String(id)}\n`);
    if (id % CHECKPOINT_EVERY === 0) await pool.all('PRAGMA wal_checkpoint(PASSIVE)');
  }
}

/** One in seven is rolled back, one in seven a single statement without a transaction. */
async function writeOne(id: number, parts: number): Promise<void> {
  const insert = 'INSERT INTO ledger VALUES (?, ?, ?, randomblob(500))';
  if (id % 7 === 1) {
    await pool.get(`${insert} RETURNING id`, [id, 1, 1]);
    return;
  }
  const transaction = pool.transaction(async (tx) => {
    for (let part = 1; part <= parts; part += 1) await tx.run(insert, [id, part, parts]);
    if (id % 7 === 0) throw new RolledBack();
  });
  await transaction.catch((error: unknown) => {
    if (!(error instanceof RolledBack)) throw error;
  });
}

class RolledBack extends Error {}

let nextTogether = Number(first) + FIRST_TOGETHER;

/** Single statements; every ninth of them fails, on a row that is there already, and takes nothing of the others with it. */
async function writeTogether(): Promise<never> {
  for (;;) {
    const id = nextTogether;
    nextTogether += 1;
    const insert = 'INSERT INTO ledger VALUES (?, 1, 1, randomblob(100))';
    if (id % 7 === 0) continue;
    await pool.run(insert, [id]);
    writeSync(1, `${String(id)}\n`);
    if (id % 9 === 0) await pool.run(insert, [id]).catch(() => undefined);
  }
}

await Promise.all([
  ...Array.from({ length: WRITERS }, write),
  ...Array.from({ length: TOGETHER }, writeTogether),
]);
