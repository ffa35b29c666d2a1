import { expect, test } from 'vitest';
import type { Row, Value } from '../../../src/driver.ts';
import { step, type Sqlite3Statement } from '../../../src/drivers/sqlite3/package.ts';

/** The statement of the fork @appthreat/sqlite3 from version 9 on: values, even none, begin it again, and `get` always does. */
function forked(rows: readonly Row[]): Sqlite3Statement {
  let at = 0;
  const give = (callback: (error: Error | null, rows: Row[]) => void): void => {
    callback(null, rows.slice(at, at + 1));
    at += 1;
  };
  const statement: Partial<Sqlite3Statement> = {
    get: (_, callback) => {
      callback.call(undefined, null, rows[0]);
    },
    fetch: (_, ...rest) => {
      if (rest.length > 1) at = 0;
      give(rest.at(-1) as Parameters<typeof give>[0]);
    },
  };
  return statement as Sqlite3Statement;
}

function stepped(statement: Sqlite3Statement, values: readonly Value[]): Row | undefined {
  let row: Row | undefined;
  step(statement, values, (error, next) => {
    expect(error).toBeNull();
    row = next;
  });
  return row;
}

test('a cursor goes on with a statement whose get begins it again', () => {
  const statement = forked([{ n: 1 }, { n: 2 }]);
  expect([stepped(statement, [0]), stepped(statement, []), stepped(statement, [])]).toEqual([
    { n: 1 },
    { n: 2 },
    undefined,
  ]);
});
