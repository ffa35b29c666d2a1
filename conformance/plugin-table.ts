import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PluginAbility, PluginCase } from '../packages/core/dist/testing/index.js';

/** How the suite of a framework's cases is called. */
export const SUITE = 'cases for plugins: ';

/** How many cases of each group apply to what can do this: `5`, or `2 of 6`. */
export function column(
  cases: readonly Pick<PluginCase, 'group' | 'needs'>[],
  can: readonly PluginAbility[],
): Readonly<Record<string, string>> {
  const cells = new Map<string, string>();
  for (const group of new Set(cases.map((each) => each.group))) {
    const all = cases.filter((each) => each.group === group);
    const applies = all.filter(({ needs }) => needs.every((need) => can.includes(need)));
    cells.set(group, cell(applies.length, all.length));
  }
  return Object.fromEntries(cells);
}

/** A cell of the table. */
export function cell(passed: number, all: number): string {
  if (passed === 0) return '–';
  return passed === all ? String(all) : `${String(passed)} of ${String(all)}`;
}

/** The column of a framework in the table of docs/testing.md. */
export async function documentedColumn(framework: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(import.meta.dirname, '..', 'docs', 'testing.md'), 'utf8');
  const lines = text.split('\n');
  const head = lines.findIndex((line) => line.startsWith('| cases |'));
  const at = cellsOf(lines[head]).indexOf(framework);
  const end = lines.findIndex((line, index) => index > head && !line.startsWith('|'));
  return Object.fromEntries(
    lines.slice(head + 2, end).map((line) => {
      const cells = cellsOf(line);
      return [cells[0], cells[at]] as [string, string];
    }),
  );
}

function cellsOf(line: string = ''): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((each) => each.trim());
}
