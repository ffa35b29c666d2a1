import type { Result } from '../driver.ts';

/**
 * The first changes with every change of the schema of the main file. The second makes every foreign key deferred until the next
 * COMMIT. https://www.sqlite.org/pragma.html#pragma_schema_version and #pragma_defer_foreign_keys
 */
export const SCHEMA_STATE =
  'SELECT schema_version, defer_foreign_keys FROM pragma_schema_version, pragma_defer_foreign_keys';

/**
 * Nobody looks into an attached database: where there is one, it may have such constraints. `upper`, because LIKE heeds case on a
 * connection that says so: https://www.sqlite.org/pragma.html#pragma_case_sensitive_like
 */
export const DEFERRED_CONSTRAINTS: string =
  "SELECT 1 FROM sqlite_schema WHERE upper(sql) LIKE '%INITIALLY%DEFERRED%' " +
  "UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE upper(sql) LIKE '%INITIALLY%DEFERRED%' " +
  "UNION ALL SELECT 1 FROM pragma_database_list WHERE name NOT IN ('main', 'temp') LIMIT 1";

/**
 * Whether constraints of a database are checked at the COMMIT only: https://www.sqlite.org/foreignkeys.html#fk_deferred
 *
 * One connection keeps the last answer with the schema's version. The question is asked inside a transaction that has the write
 * lock, so neither can change before its COMMIT.
 */
export class DeferredConstraints {
  #version: unknown;
  #exist = true;

  /** @param ask - Runs a query in the transaction in which the answer is needed. */
  async exist(ask: (sql: string) => Promise<Result>): Promise<boolean> {
    const { schema_version: version, defer_foreign_keys: deferred } = (await ask(SCHEMA_STATE)).rows[0] ?? {};
    if (version === undefined || version !== this.#version) {
      this.#exist = (await ask(DEFERRED_CONSTRAINTS)).rows.length !== 0;
      this.#version = version;
    }
    return this.#exist || deferred === 1;
  }
}
