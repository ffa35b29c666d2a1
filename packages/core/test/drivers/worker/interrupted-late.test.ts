import { describe, expect, onTestFinished, test } from 'vitest';
import { CHANGES, INSERTS } from '../../../src/drivers/worker/calls.ts';
import { loadBinding, type BoundDatabase } from '../../../src/drivers/worker/inside/bindings.ts';
import { Database } from '../../../src/drivers/worker/inside/database.ts';
import { BINDING_SOURCES } from './helpers.ts';

const INTERRUPTED = Object.assign(new Error('interrupted'), { code: 'ERR_SQLITE_ERROR', errcode: 9 });

/** What the driver asks about a statement that was done. */
const QUESTION = /changes\(\)|schema_version/;

describe.for(BINDING_SOURCES.map((source) => [source.name, source] as const))('%s', ([, source]) => {
  /** A database whose driver is interrupted so many times when it asks about a statement. */
  function opened(interrupts: number): { database: Database; bound: BoundDatabase } {
    let left = interrupts;
    const bound = loadBinding(source).open(':memory:', 'create');
    onTestFinished(() => {
      bound.close();
    });
    bound.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)');
    const late: BoundDatabase = {
      ...bound,
      get inTransaction() {
        return bound.inTransaction;
      },
      prepare: (sql) => {
        const statement = bound.prepare(sql);
        if (!QUESTION.test(sql)) return statement;
        const all: typeof statement.all = (...args) => {
          left -= 1;
          if (left >= 0) throw INTERRUPTED;
          return statement.all(...args);
        };
        return {
          returnsRows: true,
          columns: () => statement.columns(),
          run: () => statement.run([]),
          all,
        } as never;
      },
    };
    return { database: new Database(late, { statementCacheSize: 10, keepsWidth: false }), bound };
  }
  const run = (database: Database, sql: string) =>
    database.execute({ text: { sql, order: [], written: sql }, values: [], flags: INSERTS | CHANGES });

  test('a write whose RETURNING was read is done, though an interrupt came after it', () => {
    const { database } = opened(7);
    const { rows, changes } = run(database, 'DELETE FROM t RETURNING *');
    expect(rows.map(([a]) => Number(a))).toEqual([1, 2]);
    expect(Number(changes)).toBe(2);
  });

  test('where an interrupt does not go away, the error does not say that nothing was done', () => {
    const { database, bound } = opened(Infinity);
    expect(() => run(database, 'DELETE FROM t RETURNING a')).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('could not be read') as unknown,
        cause: INTERRUPTED,
      }),
    );
    expect(bound.prepare('SELECT count(*) FROM t').all([], true)).toEqual([[0n]]);
  });
});
