import type { Clock, Limit } from './deadline.ts';
import type { Result } from './driver.ts';
import type { Call } from './queryable.ts';
import { parse, type Nature } from './sql.ts';
import type { TransactionState } from './transaction-state.ts';

/** How long what is known of a schema is taken for known, in milliseconds: another process may change it. */
const KNOWN_FOR_MS = 100;

/**
 * The schema of an attached database is not looked at: where there is one, there may be such constraints. `upper`, because
 * LIKE heeds case on a connection that says so: https://www.sqlite.org/pragma.html#pragma_case_sensitive_like
 */
const DEFERRED = parse(
  "SELECT 1 FROM sqlite_schema WHERE upper(sql) LIKE '%INITIALLY%DEFERRED%' " +
    "UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE upper(sql) LIKE '%INITIALLY%DEFERRED%' " +
    "UNION ALL SELECT 1 FROM pragma_database_list WHERE name NOT IN ('main', 'temp') LIMIT 1",
);

/**
 * Whether a name stands for an ordinary table and nothing else, and one row of it has nothing to do with another: no
 * trigger that could act on it; not references both from it and to it, where the parent of an orphan makes up for another
 * row without a parent, because SQLite counts them per statement (https://www.sqlite.org/src/file/src/fkey.c); no conflict
 * clause, with which a statement that fails may be done in part; nothing that asks what the statement before has changed; and
 * the rowid can be told.
 */
const PLAIN = parse(
  "SELECT 1 WHERE (SELECT group_concat(schema || type || wr) FROM pragma_table_list(?1)) = 'maintable0' " +
    'AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE ' +
    "AND (type = 'trigger' OR instr(upper(sql), 'CONFLICT') OR instr(upper(sql), 'CHANGES'))) " +
    'AND NOT EXISTS (SELECT 1 FROM sqlite_temp_schema) ' +
    'AND NOT (EXISTS (SELECT 1 FROM pragma_foreign_key_list(?1)) ' +
    'AND EXISTS (SELECT 1 FROM sqlite_schema AS s, pragma_foreign_key_list(s.name) AS f ' +
    'WHERE s.type = \'table\' AND f."table" = ?1 COLLATE NOCASE)) ' +
    "AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) WHERE name = '_rowid_' COLLATE NOCASE)",
);

/** A connection that can be asked, by someone who has its turn and the turn to write; `undefined` if it does not answer. */
export interface Asked {
  readonly transaction: TransactionState;
  ask(call: Call, limit?: Limit): Promise<Result | undefined>;
}

/** What has been found out. */
interface Known {
  deferred?: boolean;
  readonly plain: Map<string, boolean>;
}

/** Whether a statement may change the schema, or what a connection takes for it. */
export function mayChangeSchema({ control, readonly, effect, dirties }: Nature): boolean {
  return dirties || (!readonly && effect === 'none' && control === 'none');
}

/** What must be known of a schema before several writes are run together. When in doubt, they are not. */
export class SchemaKnowledge {
  readonly #clock: Clock;
  #known: Known = { plain: new Map() };
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
    const known = this.#knownTo(asked);
    known.deferred ??= (await asked.ask({ statement: DEFERRED, values: [] }))?.rows.length !== 0;
    return known.deferred;
  }

  /** Whether rows that are inserted into a table one after the other may as well be inserted by one statement. */
  async takesRowsTogether(table: string, asked: Asked, limit?: Limit): Promise<boolean> {
    const { plain } = this.#knownTo(asked);
    const known = plain.get(table);
    if (known !== undefined) return known;
    const isPlain = (await asked.ask({ statement: PLAIN, values: [table] }, limit))?.rows.length === 1;
    plain.set(table, isPlain);
    return isPlain;
  }

  /** Whoever asks SQLite keeps the answer here: if that is forgotten meanwhile, nobody sees it. */
  #knownTo({ transaction }: Asked): Known {
    // A transaction that has changed the schema sees one that nobody else sees, and that a rollback undoes.
    if (!transaction.isUntouched) return { plain: new Map() };
    const now = this.#clock.now();
    if (now >= this.#knownUntil) {
      this.#known = { plain: new Map() };
      this.#knownUntil = now + KNOWN_FOR_MS;
    }
    return this.#known;
  }
}
