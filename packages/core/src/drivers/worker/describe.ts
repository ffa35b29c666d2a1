import { plainParameters } from '../../query/placeholders.ts';
import { parse } from '../../query/sql.ts';
import type { Text } from './calls.ts';

/**
 * Converts a statement to a form that both bindings run alike. Neither binds `:name` by position, and one of them does
 * not bind `?1`. So every parameter becomes a `?`, and the values are repeated in the order of the text.
 */
export function describe(sql: string): Text {
  const { parameters } = parse(sql);
  if (parameters.length === 0) return { sql, order: [], written: sql };
  const { text, numbers } = plainParameters(sql);
  const plain = text === sql;
  return { sql: text, order: plain ? [] : numbers, written: sql };
}
