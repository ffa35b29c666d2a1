import type { PoolRecord } from '../recording/pool-record.ts';
import type { Plan, PlanRow } from '../state.ts';

interface Step {
  readonly id: number;
  readonly parent: number;
  readonly detail: string;
}

/**
 * The plan of a statement that the pool has seen, which SQLite does not run for that. The text never comes from the
 * client. `undefined` if there is no statement with this id.
 */
export async function planOf(
  { pool, statements, isClosed }: PoolRecord,
  id: number,
): Promise<Plan | undefined> {
  const statement = statements.find(id);
  if (statement === undefined) return undefined;
  if (isClosed) return without('The pool has closed.');
  if (!statement.isWhole) return without('The text is too long: the inspector has kept only its beginning.');
  if (statement.isSeveral) return without('These are several statements. Only a single one has a plan.');
  try {
    return { steps: asTree(await pool.explain(statement.sql)), note: null };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    return without(`SQLite has no plan for it now${code}.`);
  }
}

function without(note: string): Plan {
  return { steps: [], note };
}

/** The steps in their order, each with its depth. */
function asTree(steps: readonly Step[]): PlanRow[] {
  const depths = new Map<number, number>([[0, -1]]);
  return steps.map(({ id, parent, detail }) => {
    const depth = (depths.get(parent) ?? -1) + 1;
    depths.set(id, depth);
    return { depth, detail };
  });
}
