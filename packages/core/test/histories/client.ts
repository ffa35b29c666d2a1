import type { Lease, Queryable, SqlitePool } from '../../src/index.ts';
import { RequestLease, RequestTransaction } from '../../src/plugin.ts';
import type { Log } from './log.ts';
import { complainUnlessKnown, noteFailure } from './outcome.ts';
import { perform, run, runWhole } from './perform.ts';
import { Plan } from './plan.ts';
import type { Random } from './random.ts';
import { batch, byHand, read, readBesideCursor, script, transaction, write, type Site } from './units.ts';

/** Most single statements made in one moment. */
const MOST_AT_ONCE = 40;

/** How long a request whose client has left may keep its connection, in milliseconds. */
const GRACE_MS = 1000;

/** What a client needs. */
export interface ClientContext {
  readonly log: Log;
  readonly random: Random;
  readonly deferred: boolean;
  /** One of the pools of the process. */
  readonly pool: () => SqlitePool;
}

/** Does one thing with a pool, chosen at random: one or several units of work, by one of the ways in which it leases connections. */
export async function workOnce(context: ClientContext): Promise<void> {
  const use = context.random.weighted(
    [50, onPool],
    [15, onLease],
    [5, onConnection],
    [18, onRequest],
    [12, onRequestTransaction],
  );
  try {
    await use(context, context.pool());
  } catch (error) {
    complainUnlessKnown(context.log, error);
  }
}

function siteOf({ log, random, deferred }: ClientContext, db: Queryable, name: string): Site {
  return { db, name, log, random, deferred, run };
}

/** Any unit that needs no connection of its own. */
function unit(random: Random): (site: Site) => Promise<void> {
  return random.weighted([6, write], [5, read], [2, batch], [1, script], [4, transaction], [3, together]);
}

/** Single statements at once: the writes among them can share a COMMIT. Some are followed by others as soon as they are acknowledged. */
async function together(given: Site): Promise<void> {
  const { random } = given;
  const site = { ...given, run: runWhole };
  const some = async (): Promise<void> => {
    await (random.in(85) ? write : read)(site);
    while (random.in(30)) await (random.in(30) ? write : read)(site);
  };
  await Promise.all(Array.from({ length: random.from(2, MOST_AT_ONCE) }, some));
}

async function onPool(context: ClientContext, pool: SqlitePool): Promise<void> {
  await unit(context.random)(siteOf(context, pool, 'pool'));
}

async function onLease(context: ClientContext, pool: SqlitePool): Promise<void> {
  const { random } = context;
  const lease = await pool.acquire();
  const site = siteOf(context, lease, 'lease');
  let left = random.from(1, 4);
  const leave = async (): Promise<void> => {
    left = 0;
    await (random.in(80) ? lease.release() : lease.discard());
  };
  for (; left > 0; left -= 1) await ownUnit(site, leave);
  await lease.release();
}

async function onConnection(context: ClientContext, pool: SqlitePool): Promise<void> {
  await pool.connection((lease: Lease) =>
    ownUnit(siteOf(context, lease, 'connection'), () => lease.release()),
  );
}

/** Any unit, on a connection of one's own. */
async function ownUnit(site: Site, leave: () => Promise<void>): Promise<void> {
  const { random } = site;
  if (random.in(25)) await byHand(site, leave);
  else if (random.in(15)) await readBesideCursor(site);
  else await unit(random)(site);
}

/** A request, which has one connection for all its statements or one for each, and whose client may leave. */
async function onRequest(context: ClientContext, pool: SqlitePool): Promise<void> {
  const { random } = context;
  const mode = random.one('request', 'statement');
  const request = new RequestLease(pool, { mode, disconnectGraceMs: GRACE_MS, method: 'POST' });
  const site = siteOf(context, request, `request (${mode})`);
  const leaves = random.in(5) ? setTimeout(() => request.revoke(), random.from(0, 10)) : undefined;
  for (let left = random.from(1, 4); left > 0; left -= 1) await unit(random)(site);
  // What comes after the response has a connection for each statement.
  request.respond();
  if (random.in(20)) await unit(random)(site);
  clearTimeout(leaves);
}

/** A request that is one transaction. */
async function onRequestTransaction({ log, random }: ClientContext, pool: SqlitePool): Promise<void> {
  const lease = new RequestLease(pool, {
    mode: random.one('request', 'statement'),
    disconnectGraceMs: GRACE_MS,
    method: 'POST',
  });
  const mode = random.one('immediate', 'deferred');
  const request = new RequestTransaction(lease, { mode });
  const plan = new Plan(log, random);
  const entry = log.begin(plan.id, `a request as a transaction (${mode})`, plan.nested(4), false);
  const status = random.in(85) ? 200 : 500;
  try {
    await perform({ db: request, random, byHand: false, atOnce: mode === 'immediate' }, entry.ops);
    await request.settle(status);
    entry.end(status === 200 ? 'ok' : 'fail');
  } catch (error) {
    await request.settle(500);
    noteFailure(log, entry, { atomic: true, doomed: false }, error);
  } finally {
    lease.respond();
  }
}
