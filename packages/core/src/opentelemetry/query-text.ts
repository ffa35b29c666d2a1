import type { QueryEvent } from '../diagnostics/events.ts';
import { textsOf } from '../telemetry/operation.ts';

/** A name or a comment, which stay, or in the group a literal. A digit inside a name is part of the name. */
const LITERAL =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|`(?:[^`]|``)*`|\[[^\]]*\]|("(?:[^"]|"")*"?)|([xX]?'(?:[^']|'')*'?)|[?:@$#\p{L}_][\p{L}\p{N}_$]*|((?:0[xX][\da-fA-F_]+|\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)/gu;

/** In these drivers, SQLite takes what stands in double quotes for a name. In others it may be a string. */
const NAMES_IN_DOUBLE_QUOTES: ReadonlySet<string> = new Set(['node:sqlite', 'better-sqlite3']);

/**
 * `db.query.text` of a call. A text with parameters stays as it is: its values are not in it. In any other text, each
 * literal becomes `?`, and comments go, because they may hold anything.
 */
export function queryText({ sql, statements, parameters, driver }: QueryEvent): string {
  const text = statements < 2 ? sql : textsOf(sql).join(';\n');
  if (parameters > 0) return text;
  const keepsDoubleQuoted = NAMES_IN_DOUBLE_QUOTES.has(driver);
  return text
    .replace(LITERAL, (all, doubleQuoted?: string, quoted?: string, number?: string) => {
      if (all.startsWith('--') || all.startsWith('/*')) return '';
      if (doubleQuoted !== undefined) return keepsDoubleQuoted ? all : '?';
      return quoted === undefined && number === undefined ? all : '?';
    })
    .trim();
}
