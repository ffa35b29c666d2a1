/**
 * One process of a history: several pools on one file, and clients that do random things with them and note each in the log, until
 * it gets a message to end, or is killed.
 */
import { flushCompileCache } from 'node:module';
import { createPool, type PoolOptions, type SqlitePool } from '../../../src/index.ts';
import { workOnce, type ClientContext } from '../client.ts';
import { Log } from '../log.ts';
import { complainUnlessKnown, describe } from '../outcome.ts';
import { Random } from '../random.ts';
import type { WorkerSettings } from '../workers.ts';

const settings = JSON.parse(process.argv[2] ?? '{}') as WorkerSettings;
const random = new Random(settings.seed);
const log = new Log(settings.log, settings.process);
const MOST_POOLS = 3;
const CLIENTS = 6;
/** How often something is done that belongs to no client, in milliseconds. */
const CHORE_EVERY_MS = 150;

process.on('unhandledRejection', (error) => {
  log.complain(`process ${String(settings.process)}: nobody handles the rejection of ${describe(error)}`);
});

const pools = Array.from({ length: random.from(1, MOST_POOLS) }, newPool);
let isEnding = false;

function newPool(): SqlitePool {
  const options: PoolOptions = {
    filename: settings.filename,
    poolSize: random.one(1, 2, 4, 10),
    groupCommit: random.in(85),
    // Without an end: a call that waits for what nobody releases keeps its process from ending, which is noticed.
    acquireTimeoutMs: random.one(Infinity, Infinity, 300),
    closeTimeoutMs: random.one(20, 2000),
    validateAfterIdleMs: random.one(0, 500),
    statementCacheSize: random.one(256, 4, 0),
    walLimitBytes: random.one(16_777_216, 100_000),
    pragmas: { synchronous: random.one('FULL', 'NORMAL', 'NORMAL') },
  };
  return createPool(options);
}

const context: ClientContext = {
  log,
  random,
  deferred: settings.deferred,
  pool: () => pools[random.from(0, pools.length - 1)]!,
};

async function client(): Promise<void> {
  while (!isEnding) await workOnce(context);
}

/** What must not change anything: checkpoints, new connections, new pools, another schema. */
async function chores(): Promise<void> {
  while (!isEnding) {
    await new Promise((done) => setTimeout(done, random.next() * 2 * CHORE_EVERY_MS));
    const at = random.from(0, pools.length - 1);
    const pool = pools[at]!;
    const chore = random.one('checkpoint', 'evict', 'schema', 'pool');
    try {
      if (chore === 'checkpoint')
        await pool.checkpoint({ mode: random.one('passive', 'full', 'restart', 'truncate') });
      else if (chore === 'evict') pool.evict();
      else if (chore === 'schema') {
        await pool.script('CREATE TABLE IF NOT EXISTS other (x)');
        await pool.run('DROP TABLE IF EXISTS other');
      } else {
        pools[at] = newPool();
        await pool.close();
      }
    } catch (error) {
      complainUnlessKnown(log, error);
    }
  }
}

process.on('message', () => {
  isEnding = true;
});
// Nobody is left who would kill it.
process.on('disconnect', () => {
  process.exit();
});

const work = [...Array.from({ length: CLIENTS }, client), chores()];
// The next process begins sooner; this one may be killed before it would do so by itself.
flushCompileCache();
process.send?.('ready');
await Promise.all(work);
await Promise.all(pools.map((pool) => pool.close()));
process.removeAllListeners('disconnect');
process.disconnect();
