import type { Result } from '../driver.ts';

/**
 * The first value changes with every change of the schema of the main file. The second one makes every foreign key
 * deferred until the next COMMIT. https://www.sqlite.org/pragma.html#pragma_schema_version and
 * #pragma_defer_foreign_keys
 */
export const SCHEMA_STATE =
  'SELECT schema_version, defer_foreign_keys FROM pragma_schema_version, pragma_defer_foreign_keys';

/**
 * The query does not look into attached databases: if there is one, it may have such constraints. It uses `upper`,
 * because LIKE is case-sensitive on some connections: https://www.sqlite.org/pragma.html#pragma_case_sensitive_like
 */
export const DEFERRED_CONSTRAINTS: string =
  "SELECT 1 FROM sqlite_schema WHERE upper(sql) LIKE '%INITIALLY%DEFERRED%' " +
  "UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE upper(sql) LIKE '%INITIALLY%DEFERRED%' " +
  "UNION ALL SELECT 1 FROM pragma_database_list WHERE name NOT IN ('main', 'temp') LIMIT 1";

/**
 * Whether SQLite checks some constraints of a database only at the COMMIT:
 * https://www.sqlite.org/foreignkeys.html#fk_deferred
 *
 * Each connection keeps the last answer together with the version of the schema. The caller must ask inside a
 * transaction that has the write lock, so that neither can change before its COMMIT.
 */
export class DeferredConstraints {
  #version: unknown;
  #exist = true;

  /**
   * @param ask - Runs a query in the transaction for which the answer is needed.
   */
  async exist(ask: (sql: string) => Promise<Result>): Promise<boolean> {
    const { schema_version: version, defer_foreign_keys: deferred } = (await ask(SCHEMA_STATE)).rows[0] ?? {};
    if (version === undefined || version !== this.#version) {
      this.#exist = (await ask(DEFERRED_CONSTRAINTS)).rows.length !== 0;
      this.#version = version;
    }
    return this.#exist || deferred === 1;
  }
}
