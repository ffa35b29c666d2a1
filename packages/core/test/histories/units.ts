import type { Queryable, QueryOptions, TransactionMode, TransactionOptions } from '../../src/index.ts';
import type { Op } from './history.ts';
import {
  appending,
  appendingAndReading,
  appendsIn,
  asScript,
  reading,
  refusalPlace,
  refusals,
  refused,
  REPAIRS,
  type Place,
  type Statement,
} from './lists.ts';
import type { Entry, Log } from './log.ts';
import { complainUnlessKnown, GivenUp, noteFailure, settle } from './outcome.ts';
import { perform, runBatch, statementsOf, Undo, type Run } from './perform.ts';
import { Plan } from './plan.ts';
import type { Random } from './random.ts';

/** Where units of work are done, and what they are called there. */
export interface Site {
  readonly db: Queryable;
  /** `pool`, `lease`, … */
  readonly name: string;
  readonly log: Log;
  readonly random: Random;
  /** Whether the database has a constraint that is checked at the COMMIT. */
  readonly deferred: boolean;
  /** How its single statements run. */
  readonly run: Run;
}

/** Cancels one call in a few. */
function limits(random: Random): QueryOptions | undefined {
  if (!random.in(5)) return undefined;
  const ms = random.from(1, 15);
  if (random.in(50)) return { timeoutMs: ms };
  const controller = new AbortController();
  setTimeout(() => controller.abort(new GivenUp('given up')), ms).unref();
  return { signal: controller.signal };
}

/** A single statement that appends: once, several times, or in vain. */
export async function write(site: Site): Promise<void> {
  const { db, name, log, random, run } = site;
  const plan = new Plan(log, random);
  if (random.in(10)) {
    await writeInVain(site, plan);
    return;
  }
  const place = random.one<Place>('t', 'r', 's');
  const ops: Op[] = Array.from({ length: random.weighted([4, 1], [1, 2], [1, 3]) }, () =>
    plan.append(plan.list(place)),
  );
  const [append] = appendsIn(ops);
  let statement = appending(appendsIn(ops), site.deferred && random.in(30) ? REPAIRS : 0);
  if (place === 't' && ops.length === 1 && random.in(40)) {
    const read = plan.read(append!.to);
    ops.push(read);
    statement = appendingAndReading(append!, read);
  }
  const entry = log.begin(plan.id, `a write on the ${name}`, ops, false);
  await settle(log, entry, { atomic: false, doomed: false }, () =>
    run(db, statement, random, limits(random)),
  );
}

async function writeInVain({ db, name, log, random, run, deferred }: Site, plan: Plan): Promise<void> {
  const refusal = random.one(...refusals(deferred));
  const append = plan.append(plan.list(refusalPlace(refusal)));
  const entry = log.begin(plan.id, `a refused write on the ${name}: ${refusal}`, [append], true);
  const work = (): Promise<void> => run(db, refused(refusal, append), random, limits(random));
  await settle(log, entry, { atomic: false, doomed: true }, work);
}

/** A single statement that reads. */
export async function read({ db, name, log, random, run }: Site): Promise<void> {
  const plan = new Plan(log, random);
  const reads = plan.reads(3);
  const entry = log.begin(plan.id, `a read on the ${name}`, reads, false);
  const work = (): Promise<void> => run(db, reading(reads), random, limits(random));
  await settle(log, entry, { atomic: true, doomed: false }, work);
}

/** Reads on one connection while a cursor is open on it: all of them see the state in which that began. */
export async function readBesideCursor({ db, name, log, random, run }: Site): Promise<void> {
  const plan = new Plan(log, random);
  const [first, ...others] = [plan.read(), plan.read(), plan.read()] as const;
  const entry = log.begin(plan.id, `reads beside a cursor on the ${name}`, [first, ...others], false);
  await settle(log, entry, { atomic: true, doomed: false }, async () => {
    const { sql, params, take } = reading([first]);
    const rows: unknown[] = [];
    for await (const row of db.iterate(sql, params)) {
      rows.push(row);
      if (rows.length > 1) continue;
      for (const other of others) await run(db, reading([other]), random);
    }
    take?.(rows);
  });
}

/** All or nothing, in one call. */
export async function batch(site: Site): Promise<void> {
  const { db, name, log, random } = site;
  const plan = new Plan(log, random);
  const ops = random.in(15) ? plan.reads(3) : plan.flat(6);
  const statements = statementsOf(ops, random);
  const doomed = random.in(10);
  if (doomed) spoil(statements, ops, plan, site);
  const entry = log.begin(plan.id, `a batch on the ${name}`, ops, doomed);
  const work = (): Promise<void> => runBatch(db, statements, limits(random));
  await settle(log, entry, { atomic: true, doomed }, work);
}

/** Puts a statement that is refused among others. */
function spoil(statements: Statement[], ops: Op[], plan: Plan, { random, deferred }: Site): void {
  const refusal = random.one(...refusals(deferred));
  const append = plan.append(plan.list(refusalPlace(refusal)));
  ops.push(append);
  statements.splice(random.from(0, statements.length), 0, refused(refusal, append));
}

/** A transaction in one text. */
export async function script(site: Site): Promise<void> {
  const { db, name, log, random } = site;
  const plan = new Plan(log, random);
  const ops: Op[] = Array.from({ length: random.from(1, 4) }, () => plan.append());
  const statements = appendsIn(ops).map((append) => appending([append]));
  const doomed = random.in(10);
  if (doomed) spoil(statements, ops, plan, site);
  const entry = log.begin(plan.id, `a script on the ${name}`, ops, doomed);
  const work = (): Promise<void> => db.script(asScript(statements), limits(random));
  // Its COMMIT is a part of its text, and can be interrupted like all of it.
  await settle(log, entry, { atomic: false, doomed }, work);
}

/** How a transaction is to end. */
type Ending = 'commit' | 'undo' | 'refused';

function endingOf(random: Random): Ending {
  return random.weighted([80, 'commit'], [12, 'undo'], [8, 'refused']);
}

/** Breaks a constraint that SQLite checks at the COMMIT only. */
async function breakAtCommit({ deferred, random }: Site, db: Queryable): Promise<void> {
  if (deferred && random.in(50)) {
    await db.run('INSERT INTO orphans (parent) VALUES (0)');
    return;
  }
  await db.run('PRAGMA defer_foreign_keys = ON');
  await db.run('INSERT INTO children (parent) VALUES (0)');
}

/** `transaction(fn)`. */
export async function transaction(site: Site): Promise<void> {
  const { db, name, log, random } = site;
  const mode = random.weighted<TransactionMode>([6, 'immediate'], [4, 'deferred'], [1, 'exclusive']);
  const retries = mode === 'deferred' ? random.from(0, 3) : 0;
  const ending = endingOf(random);
  const doomed = ending === 'refused';
  const onlyReads = mode === 'deferred' && !doomed && random.in(40);
  const options: TransactionOptions = { ...limits(random), mode, retries };
  let entry: Entry | undefined;
  try {
    await db.transaction(async (tx) => {
      // A callback that is run again has other values, and what it did before is undone.
      entry?.end('fail', 'run again');
      const plan = new Plan(log, random);
      const ops = onlyReads ? [...plan.reads(2), ...plan.reads(2)] : plan.nested(5);
      entry = log.begin(plan.id, `a transaction (${mode}) on the ${name}`, ops, doomed);
      await perform({ db: tx, random, byHand: false, atOnce: mode !== 'deferred' }, ops);
      if (ending === 'undo') throw new Undo();
      if (doomed) await breakAtCommit(site, tx);
    }, options);
    entry?.end('ok');
  } catch (error) {
    if (entry === undefined) complainUnlessKnown(log, error);
    else noteFailure(log, entry, { atomic: true, doomed }, error);
  }
}

/** BEGIN and COMMIT by hand, on a connection of one's own; `leave` ends its use, which rolls back what is open. */
export async function byHand(site: Site, leave: () => Promise<void>): Promise<void> {
  const { db, name, log, random } = site;
  const begin = random.one('BEGIN IMMEDIATE', 'BEGIN', 'BEGIN EXCLUSIVE');
  const ending = endingOf(random);
  const plan = new Plan(log, random);
  const doomed = ending === 'refused';
  const entry = log.begin(plan.id, `${begin} on the ${name}`, plan.nested(5), doomed);
  try {
    await db.run(begin);
    await perform({ db, random, byHand: true, atOnce: begin !== 'BEGIN' }, entry.ops);
    if (doomed) await breakAtCommit(site, db);
    if (ending === 'undo') throw new Undo();
    await db.run('COMMIT');
  } catch (error) {
    if (random.in(50)) await leave();
    else await db.run('ROLLBACK').catch(leave);
    noteFailure(log, entry, { atomic: true, doomed }, error);
    return;
  }
  entry.end('ok');
}
