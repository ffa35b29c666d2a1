import { Dice } from './dice.ts';
import type { Call, Op, Param, Program, ProgramOptions, Single, Statement, Transaction } from './program.ts';
import { KINDS, PLAIN_KINDS } from './schema/kinds.ts';
import type { Line, Part } from './schema/part.ts';

/** What a program is written from: choices, and dice for what they leave open, so that a smaller draft is a simpler program. */
export interface Draft {
  readonly options: ProgramOptions;
  readonly parts: readonly { readonly kind: number; readonly dice: readonly number[] }[];
  readonly callers: readonly (readonly Step[])[];
}

export type Step = Plain | Many | Nesting;

/** One call. `change`: of the schema. `own`: of nothing but the connection. */
export interface Plain {
  readonly do: 'write' | 'read' | 'batch' | 'script' | 'iterate' | 'change' | 'own' | 'chore';
  readonly dice: readonly number[];
  /** When it is cancelled, if it is. */
  readonly cancel: number | undefined;
}

/** Many calls at once, of one text, with others among them. */
export interface Many {
  readonly do: 'many';
  readonly dice: readonly number[];
  readonly rows: readonly (readonly number[])[];
  readonly others: readonly Plain[];
  readonly at: number;
}

/** `hand`: a transaction that is begun by hand. `savepoint`: one by hand, in it. */
export interface Nesting {
  readonly do: 'transaction' | 'lease' | 'hand' | 'savepoint';
  readonly dice: readonly number[];
  readonly cancel: number | undefined;
  readonly steps: readonly Step[];
}

/** What steps are in, from the outside to the inside. */
type Around = readonly (Nesting['do'] | 'deferred' | 'many')[];

const BEGIN_SCRIPT = 'BEGIN IMMEDIATE';

/** Each cancelled write doubles what must be looked at. */
const MOST_CANCELLED = 4;

export function programOf({ options, parts, callers }: Draft): Program {
  const kinds = options.oneConnection ? PLAIN_KINDS : KINDS;
  const made = parts.map(({ kind, dice }, n) =>
    kinds[kind % kinds.length]!(String(n), new Dice(dice), options.oneConnection),
  );
  const writer = new Writer(options, made as [Part, ...Part[]]);
  return {
    options,
    schema: made.map(({ schema }) => schema).join('\n'),
    callers: callers.map((steps) => steps.flatMap((step) => writer.write(step, []))),
  };
}

class Writer {
  readonly #options: ProgramOptions;
  readonly #parts: readonly [Part, ...Part[]];
  #cancelled = 0;

  constructor(options: ProgramOptions, parts: readonly [Part, ...Part[]]) {
    this.#options = options;
    this.#parts = parts;
  }

  write(step: Step, around: Around, near?: Part): Op[] {
    const dice = new Dice(step.dice);
    switch (step.do) {
      case 'many':
        return this.#many(step, dice, around);
      case 'lease': {
        const end = dice.oneIn(6) && !this.#options.oneConnection ? 'discard' : 'release';
        return [{ do: 'lease', steps: this.#all(step, ['lease']), end, ...this.#where(dice, around) }];
      }
      case 'hand':
      case 'savepoint':
        return this.#byHand(step, dice, around);
      case 'transaction':
        return [this.#transaction(step, dice, around)];
      case 'chore':
        if (!isOnPool(around) || this.#options.oneConnection) return [];
        return [{ do: dice.of(['evict', 'checkpoint']), ...this.#where(dice, around) }];
      default: {
        if (!this.#isDefined(step.do, around)) return [];
        const part = near !== undefined && !dice.oneIn(3) ? near : this.#part(dice);
        return [this.#limited(this.#call(step.do, part, dice, around), step, dice, around)];
      }
    }
  }

  /** Whether it is defined what something does. */
  #isDefined(what: Plain['do'], around: Around): boolean {
    // Beside an open cursor others may have written since, and then a write is refused.
    if (what === 'iterate') return isOnPool(around) || around.at(-1) !== 'many';
    // A change that finds nothing to do takes no lock, and then its transaction sees a state of its own.
    if (what === 'change') return !around.includes('deferred');
    // It would be there for everything that comes after it.
    return what !== 'own' || !this.#options.oneConnection;
  }

  #all({ steps }: Nesting, around: Around): Op[] {
    return steps.flatMap((step) => this.write(step, around));
  }

  #many({ rows, others, at }: Many, dice: Dice, around: Around): Op[] {
    const part = this.#part(dice);
    const line = dice.oneIn(2) ? part.writes[0] : dice.of(part.writes);
    const how = this.#method(dice);
    const same = rows.map((row): Single => ({
      do: how,
      ...filled(line, new Dice(row)),
      ...this.#where(dice, around),
    }));
    const ops: Op[] = same;
    ops.splice(
      at % (ops.length + 1),
      0,
      ...others.flatMap((other) => this.write(other, [...around, 'many'], part)),
    );
    return ops.length < 2 ? ops : [{ do: 'together', ops }];
  }

  #transaction(step: Nesting, dice: Dice, around: Around): Transaction {
    const isNested = around.includes('transaction') || around.includes('deferred');
    // In one with a state of its own, or one that changes nothing after all, it may be that nothing takes the lock.
    const mayDefer = isOnPool(around) && !this.#options.oneConnection;
    const modes = [undefined, undefined, 'exclusive', ...(mayDefer ? ['deferred' as const] : [])] as const;
    const mode = isNested ? undefined : dice.of(modes);
    const inside: Around = [...around, mode === 'deferred' ? mode : 'transaction'];
    // It must not go on when it was refused because what it has read is out of date.
    const goesOn = dice.oneIn(2) && !inside.includes('deferred');
    const transaction: Transaction = {
      do: 'transaction',
      ...(mode && { mode }),
      ...(mode === 'deferred' && { retries: dice.below(3) }),
      steps: this.#all(step, inside),
      goesOn,
      end: dice.oneIn(4) ? 'throw' : 'resolve',
      ...this.#where(dice, around),
    };
    return this.#limited(transaction, step, dice, around);
  }

  #byHand(step: Nesting, dice: Dice, around: Around): Op[] {
    const run = (sql: string): Single => ({ do: 'run', sql });
    const [begin, ...ends] =
      step.do === 'hand'
        ? (['BEGIN /*#*/ IMMEDIATE', 'COMMIT /*#*/ TRANSACTION', 'ROLLBACK /*#*/ TRANSACTION', ''] as const)
        : (['SAVEPOINT /*#*/ by_hand', 'RELEASE /*#*/ by_hand', 'ROLLBACK /*#*/ TO by_hand', ''] as const);
    const end = dice.of(ends);
    return [run(begin), ...this.#all(step, [...around, step.do]), ...(end === '' ? [] : [run(end)])];
  }

  #call(what: Exclude<Plain['do'], 'chore'>, part: Part, dice: Dice, around: Around): Call {
    const where = this.#where(dice, around);
    switch (what) {
      case 'write':
        return { do: this.#method(dice), ...filled(dice.of(part.writes), dice), ...where };
      case 'read':
        return {
          do: dice.of(['all', 'get', 'execute', 'arrays', 'run']),
          ...filled(dice.of(part.reads), dice),
          ...where,
        };
      case 'iterate':
        return { do: 'iterate', ...filled(part.reads[0], dice), rows: 1 + dice.below(4), ...where };
      case 'batch':
        return { do: 'batch', statements: this.#batch(part, dice), ...where };
      case 'script':
        return { do: 'script', sql: this.#script(part, dice, around), ...where };
      case 'change':
        return { do: 'run', sql: dice.of(this.#changes(part, dice)), ...where };
      case 'own':
        return { do: 'run', sql: dice.of(ownChanges(part.table, dice)) };
    }
  }

  #batch(part: Part, dice: Dice): Statement[] {
    const same = dice.oneIn(2) ? part.writes[0] : dice.of(part.writes);
    const all: readonly [Line, ...Line[]] = [...part.writes, ...part.reads];
    const onlyReads = dice.oneIn(6);
    return Array.from({ length: 1 + dice.below(6) }, () => {
      if (onlyReads) return filled(dice.of(part.reads), dice);
      return filled(dice.oneIn(2) ? same : dice.of(all), dice);
    });
  }

  #script(part: Part, dice: Dice, around: Around): string {
    const statements = Array.from({ length: 1 + dice.below(3) }, () => {
      const { sql, params = [] } = filled(dice.of(part.writes), dice);
      const values = params.map(literal);
      return sql.replace(/\?/g, () => values.shift() ?? 'NULL');
    });
    const isWhole = isOnPool(around) && dice.oneIn(2);
    return isWhole ? `${BEGIN_SCRIPT}; ${statements.join('; ')}; COMMIT` : statements.join('; ');
  }

  #changes({ table, changes }: Part, dice: Dice): readonly [string, ...string[]] {
    if (changes !== undefined && !dice.oneIn(3)) return changes;
    const k = dice.below(3);
    const { oneConnection: isPlain, poolSize, pools, driver } = this.#options;
    const hasOneHandle = poolSize === 1 && pools === 1 && driver !== 'node:sqlite';
    const raise = dice.of(["ABORT, 'no'", 'IGNORE', "FAIL, 'no'", ...(isPlain ? [] : ["ROLLBACK, 'no'"])]);
    const when = dice.of(['BEFORE', 'AFTER']);
    const trigger = `CREATE /*#*/ TRIGGER IF NOT EXISTS late_${table} ${when} INSERT ON ${table} WHEN new.tag % 3 = ${String(k)} BEGIN SELECT RAISE(${raise}); END`;
    if (!dice.oneIn(3)) return [trigger];
    // Where the table of such a trigger is missing, a group is undone and runs again, and `last_insert_rowid()` shows that. Nor does
    // another handle notice that it is there by now.
    const more: readonly string[] =
      isPlain || !hasOneHandle
        ? []
        : [
            `CREATE /*#*/ TABLE IF NOT EXISTS more (tag INTEGER)`,
            `CREATE /*#*/ TRIGGER IF NOT EXISTS more_${table} AFTER INSERT ON ${table} BEGIN INSERT INTO more (tag) VALUES (new.tag); END`,
            `DROP /*#*/ TABLE IF EXISTS more`,
          ];
    return [
      `DROP /*#*/ TRIGGER IF EXISTS late_${table}`,
      `ALTER /*#*/ TABLE ${table} ADD COLUMN extra${String(k)} DEFAULT ${String(k)}`,
      `ALTER /*#*/ TABLE ${table} ADD COLUMN strict${String(k)} INTEGER NOT NULL DEFAULT 1 CHECK (tag % 7 <> ${String(k)})`,
      `CREATE /*#*/ UNIQUE INDEX IF NOT EXISTS late_${table}_i ON ${table} (tag % 9) WHERE tag > 0`,
      `DROP /*#*/ INDEX IF EXISTS late_${table}_i`,
      ...more,
      `PRAGMA /*#*/ user_version = ${String(k)}`,
    ];
  }

  #part(dice: Dice): Part {
    return dice.of(this.#parts);
  }

  #method(dice: Dice): Single['do'] {
    return dice.of(['run', 'run', 'run', 'run', 'execute', 'all', 'get', 'arrays']);
  }

  #where(dice: Dice, around: Around): { readonly pool?: 1 } {
    return isOnPool(around) && this.#options.pools === 2 && dice.oneIn(2) ? { pool: 1 } : {};
  }

  /** The same call, cancelled. What a script that is no transaction has done by then is not defined. */
  #limited<C extends Call>(call: C, step: Plain | Nesting, dice: Dice, around: Around): C {
    const { cancel } = step;
    const { oneConnection, pace } = this.#options;
    if (cancel === undefined || !isOnPool(around) || oneConnection) return call;
    if (call.do === 'script' && !call.sql.startsWith(BEGIN_SCRIPT)) return call;
    this.#cancelled += 1;
    if (this.#cancelled > MOST_CANCELLED) return call;
    return pace === 'free' && dice.oneIn(3)
      ? { ...call, timeoutMs: 1 + (cancel % 4) }
      : { ...call, abortAfter: cancel };
  }
}

function isOnPool(around: Around): boolean {
  return around.every((each) => each === 'many');
}

/** A statement with values, each decided when it is written. */
function filled({ values, ...line }: Line, dice: Dice): Statement {
  return { ...line, params: values(dice) };
}

function literal(value: Param): string {
  if (value === null) return 'NULL';
  return typeof value === 'number' || value === '#' ? String(value) : `'${value.replaceAll("'", "''")}'`;
}

/**
 * What a lease can do to its connection: the pool closes it afterwards. Not `defer_foreign_keys`: every COMMIT ends it, also that of a
 * transaction without statements, which is not repeated alone.
 */
function ownChanges(table: string, dice: Dice): [string, ...string[]] {
  const k = String(dice.below(3));
  return [
    `CREATE TEMP TRIGGER /*#*/ IF NOT EXISTS own_${table} AFTER INSERT ON main.${table} WHEN new.tag % 3 = ${k} BEGIN DELETE FROM ${table} WHERE tag = new.tag; END`,
    `CREATE TEMP TRIGGER /*#*/ IF NOT EXISTS own_${table} BEFORE INSERT ON main.${table} WHEN new.tag % 3 = ${k} BEGIN SELECT RAISE(IGNORE); END`,
    `CREATE TEMP TABLE /*#*/ IF NOT EXISTS ${table} AS SELECT * FROM main.${table}`,
    'PRAGMA /*#*/ foreign_keys = OFF',
    'PRAGMA /*#*/ recursive_triggers = ON',
    'PRAGMA /*#*/ ignore_check_constraints = ON',
  ];
}
