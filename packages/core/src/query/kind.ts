import type { Outline } from './outline.ts';

/** How a statement moves its connection between autocommit and a transaction. */
export type TransactionControl =
  'none' | 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollback-to';

/** The kind of a statement: what the pool must know of it, apart from its text and its parameters. */
export interface Kind {
  readonly control: TransactionControl;
  /** Whether the statement takes no write lock of SQLite. Then it does not need the pool's write lock either. */
  readonly readonly: boolean;
  /** Whether it may return rows. `INSERT … RETURNING` does. */
  readonly returnsRows: boolean;
  /** How it changes rows. Unless it is `none`, the counts of a result belong to this statement. */
  readonly effect: 'insert' | 'change' | 'none';
  /** Whether it leaves state on the connection (TEMP, ATTACH, PRAGMA) that the next user must not see. */
  readonly taints: boolean;
}

const READ: Kind = { control: 'none', readonly: true, returnsRows: true, effect: 'none', taints: false };
const WRITE: Kind = {
  control: 'none',
  readonly: false,
  returnsRows: false,
  effect: 'none',
  taints: false,
};
const UNKNOWN: Kind = {
  control: 'none',
  readonly: false,
  returnsRows: true,
  effect: 'insert',
  taints: true,
};

/** The kind of a statement, from its outline. */
export function kindOf(outline: Outline): Kind {
  const { head, has, mainVerb, namesTemporary } = outline;
  switch (head[0]) {
    case 'SELECT':
    case 'VALUES':
      return query(outline);
    case 'EXPLAIN':
      // Some PRAGMAs take effect when they are prepared, even under EXPLAIN: https://www.sqlite.org/pragma.html
      return outline.explained[0] === 'PRAGMA' ? { ...pragma(outline), returnsRows: true } : READ;
    case 'WITH':
      return mainVerb === 'SELECT' || mainVerb === 'VALUES' ? query(outline) : change(mainVerb, outline);
    case 'INSERT':
    case 'UPDATE':
    case 'DELETE':
    case 'REPLACE':
      return change(head[0], outline);
    case 'CREATE':
      return { ...WRITE, taints: head[1] === 'TEMP' || head[1] === 'TEMPORARY' || namesTemporary };
    case 'ANALYZE':
      // Without a name, ANALYZE leaves out the schema "temp".
      return { ...WRITE, taints: head[1] === 'TEMP' || head[1] === '"TEMP"' || namesTemporary };
    case 'DROP':
    case 'ALTER':
    case 'REINDEX':
      return { ...WRITE, taints: namesTemporary };
    case 'VACUUM':
      return WRITE;
    case 'BEGIN': {
      const locks = head[1] === 'IMMEDIATE' || head[1] === 'EXCLUSIVE';
      return { ...READ, control: 'begin', readonly: !locks, returnsRows: false };
    }
    case 'COMMIT':
    case 'END':
      return { ...READ, control: 'commit', returnsRows: false };
    case 'ROLLBACK':
      return { ...READ, control: has.has('TO') ? 'rollback-to' : 'rollback', returnsRows: false };
    case 'SAVEPOINT':
      return { ...READ, control: 'savepoint', returnsRows: false };
    case 'RELEASE':
      return { ...READ, control: 'release', returnsRows: false };
    case 'ATTACH':
    case 'DETACH':
      return { ...READ, returnsRows: false, taints: true };
    case 'PRAGMA':
      return pragma(outline);
    default:
      return UNKNOWN;
  }
}

/** A SELECT reads, unless it calls `PRAGMA optimize` or the `optimize` function of a full-text index. */
function query({ has }: Outline): Kind {
  const writes = [...has].some((token) => token.includes('OPTIMIZE'));
  return { ...READ, readonly: !writes, taints: extendsConnection(has) };
}

/**
 * A change of a temporary table taints: `onConnect` may make that table on every connection, and its rows would then
 * differ.
 */
function change(verb: string | undefined, { has, namesTemporary }: Outline): Kind {
  const effect = verb === 'UPDATE' || verb === 'DELETE' ? 'change' : 'insert';
  const taints = namesTemporary || extendsConnection(has);
  return { ...WRITE, effect, returnsRows: has.has('RETURNING'), taints };
}

function extendsConnection(has: ReadonlySet<string>): boolean {
  return [...has].some((token) => token.includes('LOAD_EXTENSION') || token.includes('FTS3_TOKENIZER'));
}

// https://www.sqlite.org/pragma.html: PRAGMAs whose argument only selects what they show.
const SHOWING = new Set([
  'TABLE_INFO',
  'TABLE_XINFO',
  'TABLE_LIST',
  'INDEX_LIST',
  'INDEX_INFO',
  'INDEX_XINFO',
  'FOREIGN_KEY_LIST',
  'FOREIGN_KEY_CHECK',
  'INTEGRITY_CHECK',
  'QUICK_CHECK',
]);
// PRAGMAs that change the file and not the connection. Some of them take no argument.
const FILE_CHANGING = new Set([
  'USER_VERSION',
  'APPLICATION_ID',
  'WAL_CHECKPOINT',
  'OPTIMIZE',
  'INCREMENTAL_VACUUM',
]);

function pragma({ explained, has, namesTemporary }: Outline): Kind {
  const name = (explained[2] === '.' ? explained[3] : explained[1])?.replaceAll('"', '');
  const hasArgument = has.has('=') || has.has('(');
  if (name === undefined || SHOWING.has(name)) return READ;
  if (FILE_CHANGING.has(name)) return { ...WRITE, returnsRows: true, taints: namesTemporary };
  return hasArgument ? { ...UNKNOWN, effect: 'none' } : READ;
}

/** A SELECT without a LIMIT can take one. VALUES, PRAGMA and EXPLAIN cannot. */
export function takesLimit({ head, mainVerb, limited, lastQuery }: Outline): boolean {
  const selects = head[0] === 'SELECT' || (head[0] === 'WITH' && mainVerb === 'SELECT');
  return selects && !limited && lastQuery === 'SELECT';
}
