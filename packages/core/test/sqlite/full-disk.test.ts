import { expect, test } from 'vitest';
import type { BatchStatement } from '../../src/index.ts';
import { Child, failure, fileWithTable, temporaryFile, valuesOf } from './helpers.ts';

test('F57 a full database ends the transaction with a typed error, and the connection works again', async () => {
  const { pool } = await fileWithTable({ poolSize: 1, pragmas: { max_page_count: 20 } });
  await pool.run("INSERT INTO t (v) VALUES ('before')");
  const codes: unknown[] = [];
  const error = await failure(
    pool.transaction(async (tx) => {
      await tx.run("INSERT INTO t (v) VALUES ('in it')");
      codes.push((await failure(tx.run('INSERT INTO t (v) VALUES (zeroblob(200000))')))['sqliteCode']);
      await tx.run("INSERT INTO t (v) VALUES ('after')");
    }),
  );
  expect(codes).toEqual(['SQLITE_FULL']);
  expect(error).toMatchObject({ code: 'TRANSACTION_LOST' });
  expect(error.cause).toMatchObject({ errno: 13 });
  expect(await failure(pool.run('INSERT INTO t (v) VALUES (zeroblob(200000))'))).toMatchObject({
    sqliteCode: 'SQLITE_FULL',
    errno: 13,
  });
  await pool.run("INSERT INTO t (v) VALUES ('later')");
  expect(await valuesOf(pool)).toEqual(['before', 'later']);
  expect(pool.stats()).toMatchObject({ writerHeld: false, leased: 0 });
});

test('F57 a batch whose rows fill the disk rejects with that error, and nothing of it is kept', async () => {
  const { pool } = await fileWithTable({ poolSize: 1, pragmas: { max_page_count: 20 } });
  // More than the file may hold, in statements of several rows each. SQLite rolls the whole transaction back by itself then.
  const rows = Array.from({ length: 200 }, (_, v) => [
    'INSERT INTO t (v) VALUES (?)',
    [`${String(v)} ${'x'.repeat(4000)}`],
  ]) satisfies BatchStatement[];
  expect(await failure(pool.batch(rows))).toMatchObject({ sqliteCode: 'SQLITE_FULL', errno: 13 });
  const codes: unknown[] = [];
  const error = await failure(
    pool.transaction(async (tx) => {
      await tx.run("INSERT INTO t (v) VALUES ('before')");
      codes.push((await failure(tx.batch(rows)))['sqliteCode']);
      await tx.run("INSERT INTO t (v) VALUES ('after')");
    }),
  );
  expect(codes).toEqual(['SQLITE_FULL']);
  expect(error).toMatchObject({ code: 'TRANSACTION_LOST' });
  await pool.run("INSERT INTO t (v) VALUES ('later')");
  expect(await valuesOf(pool)).toEqual(['later']);
  expect(pool.stats()).toMatchObject({ writerHeld: false, leased: 0, opens: 1 });
});

test('F57 a file that may not grow is a typed I/O error; what was acknowledged stays, and there is a way back', async () => {
  const child = new Child('full.ts', [await temporaryFile()], { command: limitedTo(400) });
  const report = (await child.next()) as Record<string, unknown>;
  expect(await child.exit).toBe(0);
  expect(report['name']).toBe('SqliteError');
  expect(report['sqliteCode']).toMatch(/^SQLITE_(IOERR|FULL)$/);
  expect(report['inTransaction']).toBe(report['sqliteCode']);
  expect(report['acknowledged']).toBeGreaterThan(0);
  expect(report['kept']).toBe(report['acknowledged']);
  expect(report['afterwards']).toEqual([{ integrity_check: 'ok' }]);
  expect(report['writerHeld']).toBe(false);
});

/** A command that runs the rest of its line with files of at most that many KiB. */
function limitedTo(kibibytes: number): string[] {
  return ['bash', '-c', `ulimit -f ${String(kibibytes)}; exec "$0" "$@"`];
}
