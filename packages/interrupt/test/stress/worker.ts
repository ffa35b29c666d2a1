import { workerData } from 'node:worker_threads';
import { isInterrupt, keyOf, open, type Database } from '../database.ts';
import { CONNECTIONS, INTERRUPTED, ROWS, STOP, type Setup } from './setup.ts';

const { driver, path, filename, keys, control } = workerData as Setup;

const numbers = (limit: string) =>
  `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n ${limit})`;
const ENDLESS = `${numbers('')} SELECT count(*) FROM n`;
const SORT = `${numbers('LIMIT 5000')} SELECT i FROM n ORDER BY random()`;
const WRITE = `INSERT INTO t ${numbers(`LIMIT ${ROWS}`)} SELECT i FROM n`;

const WORK: readonly ((database: Database) => void)[] = [
  (database) => void database.prepare('SELECT count(*) FROM t').all(),
  (database) => void database.prepare(SORT).all(),
  (database) => void database.prepare(ENDLESS).all(),
  (database) => {
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  },
  (database) => {
    try {
      for (const sql of ['BEGIN IMMEDIATE', WRITE, 'COMMIT']) database.exec(sql);
    } finally {
      rollback(database);
    }
  },
];

const connections: (Database | undefined)[] = Array.from({ length: CONNECTIONS });
const database = open(driver, path, filename);
database.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (i INTEGER)');
while (Atomics.load(control, STOP) === 0) step(Math.floor(Math.random() * CONNECTIONS));
for (const connection of [...connections, database]) connection?.close();

/** Opens a connection, or closes it, or works on it. */
function step(i: number): void {
  const connection = connections[i];
  if (connection === undefined) {
    const opened = (connections[i] = open(driver, path, filename));
    Atomics.store(keys, i, BigInt(keyOf(opened)));
  } else if (Math.random() < 0.2) {
    connection.close();
    connections[i] = undefined;
  } else {
    const work = WORK[Math.floor(Math.random() * WORK.length)];
    unlessInterrupted(() => work?.(connection));
  }
}

/** Whether it was not interrupted. */
function unlessInterrupted(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (!isInterrupt(error)) throw error;
    Atomics.add(control, INTERRUPTED, 1);
    return false;
  }
}

/** A transaction is over when SQLite says that there is none, which an interrupted write may have brought about. */
function rollback(database: Database): void {
  try {
    while (!unlessInterrupted(() => database.exec('ROLLBACK')));
  } catch (error) {
    if (!String(error).includes('no transaction is active')) throw error;
  }
}
