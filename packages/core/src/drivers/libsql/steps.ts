import type { Condition, Step, WireStatement } from './protocol.ts';

/** While a transaction is open: after the server has rolled it back, a statement must not run alone and be kept. */
export const INSIDE: Condition = { type: 'not', cond: { type: 'is_autocommit' } };

/** A step without parameters and rows. */
export function plainStep(sql: string, condition?: Condition): Step {
  const stmt = { sql, args: [], want_rows: false };
  return condition === undefined ? { stmt } : { stmt, condition };
}

/** A read of nothing, for which the server's connection looks whether its schema is still good. */
const LOOK = 'SELECT 1 FROM sqlite_schema LIMIT 0';

/**
 * A statement as steps: with a look at the schema before it if that decides which columns it has. Of a statement that SQLite has
 * to compile again, because another connection has changed the schema, the server sends the columns that it had before.
 *
 * @param at - How many steps come before them.
 */
export function stepsOf(stmt: WireStatement, condition?: Condition, at: number = 0): Step[] {
  if (!stmt.want_rows || !namesAllColumns(stmt.sql))
    return [condition === undefined ? { stmt } : { stmt, condition }];
  const looked: Condition = { type: 'ok', step: at };
  const both: Condition = condition === undefined ? looked : { type: 'and', conds: [looked, condition] };
  return [plainStep(LOOK, condition), { stmt, condition: both }];
}

/** Whether there is a `*` that may stand for columns; also one in a comment, a string or a product. */
function namesAllColumns(sql: string): boolean {
  return sql.includes('*') && sql.replace(/\(\s*\*\s*\)/g, '').includes('*');
}
