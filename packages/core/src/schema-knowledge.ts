import type { Clock } from './deadline.ts';
import type { Result } from './driver.ts';
import type { Call } from './queryable.ts';
import { parse } from './sql.ts';
import type { TransactionState } from './transaction-state.ts';

/** How long what is known of a schema is taken for known, in milliseconds: another process may change it. */
const KNOWN_FOR_MS = 100;

/** The schema of an attached database is not looked at: where there is one, there may be such constraints. */
const DEFERRED = parse(
  "SELECT 1 FROM sqlite_schema WHERE sql LIKE '%INITIALLY%DEFERRED%' " +
    "UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE sql LIKE '%INITIALLY%DEFERRED%' " +
    "UNION ALL SELECT 1 FROM pragma_database_list WHERE name NOT IN ('main', 'temp') LIMIT 1",
);

/**
 * Whether a name stands for an ordinary table and nothing else, and one row of it has nothing to do with another: no
 * trigger that could act on it; no reference to the table itself, which the row behind could satisfy; no conflict clause, with
 * which a statement that fails may be done in part; and the rowid can be told.
 */
const PLAIN = parse(
  "SELECT 1 WHERE (SELECT group_concat(schema || type || wr) FROM pragma_table_list(?1)) = 'maintable0' " +
    'AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE ' +
    "AND (type = 'trigger' OR sql LIKE '%CONFLICT%' OR sql LIKE '%changes()%')) " +
    'AND NOT EXISTS (SELECT 1 FROM sqlite_temp_schema) ' +
    'AND NOT EXISTS (SELECT 1 FROM pragma_foreign_key_list(?1) WHERE "table" = ?1 COLLATE NOCASE) ' +
    "AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) WHERE name = '_rowid_' COLLATE NOCASE)",
);

/** A connection that can be asked, by someone who has its turn and the turn to write; `undefined` if it does not answer. */
export interface Asked {
  readonly transaction: TransactionState;
  ask(call: Call): Promise<Result | undefined>;
}

/** What must be known of a schema before several writes are run together. When in doubt, they are not. */
export class SchemaKnowledge {
  readonly #clock: Clock;
  readonly #plain = new Map<string, boolean>();
  #deferred: boolean | undefined;
  #knownUntil = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The schema may have changed. */
  forget(): void {
    this.#knownUntil = -Infinity;
  }

  /** Whether it has constraints that are checked at the COMMIT: https://www.sqlite.org/foreignkeys.html#fk_deferred */
  async hasDeferredConstraints(asked: Asked): Promise<boolean> {
    this.#forgetWhatIsOld(asked);
    return (this.#deferred ??= (await asked.ask({ statement: DEFERRED, values: [] }))?.rows.length !== 0);
  }

  /** Whether rows that are inserted into a table one after the other may as well be inserted by one statement. */
  async takesRowsTogether(table: string, asked: Asked): Promise<boolean> {
    this.#forgetWhatIsOld(asked);
    const known = this.#plain.get(table);
    if (known !== undefined) return known;
    const isPlain = (await asked.ask({ statement: PLAIN, values: [table] }))?.rows.length === 1;
    this.#plain.set(table, isPlain);
    return isPlain;
  }

  #forgetWhatIsOld({ transaction }: Asked): void {
    const now = this.#clock.now();
    // In a transaction that has changed the schema, it is the one that nobody else sees, and that a rollback undoes.
    if (transaction.isUntouched && now < this.#knownUntil) return;
    this.#knownUntil = transaction.isUntouched ? now + KNOWN_FOR_MS : -Infinity;
    this.#deferred = undefined;
    this.#plain.clear();
  }
}
