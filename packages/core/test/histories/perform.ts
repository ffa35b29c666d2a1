import { SqliteError, type BatchStatement, type Queryable, type QueryOptions } from '../../src/index.ts';
import type { Append, Nested, Op } from './history.ts';
import { FAILS_ALONE, placeOf, refusalPlace, refused, type Statement } from './lists.ts';
import { nextPart } from './plan.ts';
import type { Random } from './random.ts';

/** Thrown by a callback that wants its transaction rolled back. */
export class Undo extends Error {}

/** What operations run on. */
export interface Handle {
  readonly db: Queryable;
  readonly random: Random;
  /** Whether `db` is inside a transaction begun by hand, where `transaction()` is refused. */
  readonly byHand: boolean;
  /** Whether no statement can be refused that has to be done before the next: then they may be made at once. */
  readonly atOnce: boolean;
}

/** Runs one statement. */
export type Run = (
  db: Queryable,
  statement: Statement,
  random: Random,
  options?: QueryOptions,
) => Promise<void>;

/** By one of the methods that can. */
export const run: Run = async (db, statement, random, options) => {
  const { sql, params, take } = statement;
  if (!sql.startsWith('SELECT') || !random.in(20)) {
    await runWhole(db, statement, random, options);
    return;
  }
  const rows: unknown[] = [];
  for await (const row of db.iterate(sql, params, options)) rows.push(row);
  take?.(rows);
};

/** The same, without cursors: beside one, what its own connection writes may be in the rest of its rows. */
export const runWhole: Run = async (db, { sql, params, take, oneRow }, random, options) => {
  const way = random.one('run', 'get', 'all', 'execute');
  const rows: unknown[] = [];
  if (way === 'run' && take === undefined) await db.run(sql, params, options);
  else if (way === 'get' && (take === undefined || oneRow === true)) {
    const row = await db.get(sql, params, options);
    if (row !== undefined) rows.push(row);
  } else if (way === 'execute') rows.push(...(await db.execute(sql, params, options)).rows);
  else rows.push(...(await db.all(sql, params, options)));
  take?.(rows);
};

/** Runs several statements as one batch. */
export async function runBatch(
  db: Queryable,
  statements: readonly Statement[],
  options?: QueryOptions,
): Promise<void> {
  const texts = statements.map(({ sql, params }): BatchStatement => [sql, params]);
  const results = await db.batch(texts, options);
  for (const [at, { take }] of statements.entries()) take?.(results[at]!.rows);
}

/** The statements of operations without savepoints, none of which needs to know what another one has read. */
export function statementsOf(ops: readonly Op[], random: Random): Statement[] {
  const statements: Statement[] = [];
  for (let at = 0; at < ops.length;) {
    const { statement, length } = nextPart(ops, at, random, false);
    statements.push(statement);
    at += length;
  }
  return statements;
}

/** Does operations in a transaction that is open. */
export async function perform(handle: Handle, ops: readonly Op[]): Promise<void> {
  const { db, random } = handle;
  const isFlat = !ops.some((op) => 'nested' in op);
  if (isFlat && random.in(15)) {
    await runBatch(db, statementsOf(ops, random));
  } else if (isFlat && handle.atOnce && random.in(25)) {
    await Promise.all(statementsOf(ops, random).map((statement) => runWhole(db, statement, random)));
  } else {
    for (let at = 0; at < ops.length;) {
      const op = ops[at]!;
      if ('nested' in op) {
        await savepoint(handle, op);
        at += 1;
      } else {
        const { statement, length } = nextPart(ops, at, random, true);
        await run(db, statement, random);
        at += length;
      }
    }
  }
}

async function savepoint(handle: Handle, { nested, kept }: Nested): Promise<void> {
  const { db, random, byHand } = handle;
  const appends = nested.filter((op): op is Append => 'append' in op);
  const [append] = appends;
  const mayFail = !kept && append !== undefined && nested.length === appends.length;
  if (mayFail && nested.length === 1 && placeOf(append.to) === refusalPlace(FAILS_ALONE) && random.in(70)) {
    await refusedBy(run(db, refused(FAILS_ALONE, append), random));
  } else if (mayFail && random.in(30)) {
    const fails = { sql: 'INSERT INTO texts (name, list) VALUES (NULL, NULL)', params: [] };
    await refusedBy(runBatch(db, [...statementsOf(nested, random), fails]));
  } else if (byHand || random.in(30)) {
    await db.run('SAVEPOINT by_hand');
    await perform(handle, nested);
    if (!kept) await db.run('ROLLBACK TO by_hand');
    await db.run('RELEASE by_hand');
  } else {
    const done = db.transaction(async (inner) => {
      await perform({ ...handle, db: inner }, nested);
      if (!kept) throw new Undo();
    });
    await done.catch((error: unknown) => {
      if (!(error instanceof Undo)) throw error;
    });
  }
}

async function refusedBy(work: Promise<unknown>): Promise<void> {
  const wasDone = await work.then(
    () => true,
    (error: unknown) => {
      if (!(error instanceof SqliteError) || !error.sqliteCode.startsWith('SQLITE_CONSTRAINT')) throw error;
      return false;
    },
  );
  if (wasDone) throw new Error('A statement that breaks a constraint was done.');
}
