import type { QueryEvent } from '../diagnostics/events.ts';
import { querySummary } from '../query/summary.ts';

/** What the texts of a batch have between them, in an event. */
const BETWEEN_TEXTS = ';\n';

/** `db.query.summary` of a call. A batch has `BATCH` before the summary that all its statements share. */
export function summaryOf({ sql, statements }: Pick<QueryEvent, 'sql' | 'statements'>): string {
  if (statements < 2) return querySummary(sql);
  const [summary, ...others] = new Set(textsOf(sql).map(querySummary));
  return others.length === 0 ? `BATCH ${String(summary)}`.slice(0, 255) : 'BATCH';
}

/** The different texts of a batch. */
export function textsOf(sql: string): string[] {
  return [...new Set(sql.split(BETWEEN_TEXTS))];
}

/** `db.response.status_code`: only what SQLite itself answered. The pool's errors have names of their own. */
export function statusCodeOf(errorCode: string | undefined): string | undefined {
  return errorCode?.startsWith('SQLITE_') === true ? errorCode : undefined;
}
