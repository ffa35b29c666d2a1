import { describe, expect, it } from 'vitest';
import { sqlite3 } from '../packages/core/dist/drivers/sqlite3/sqlite3.js';
import {
  pluginCases,
  type PluginAbility,
  type PluginApp,
  type StartPlugin,
} from '../packages/core/dist/testing/index.js';
import { column, documentedColumn, SUITE } from './plugin-table.ts';

/** A framework, in one version. */
export interface Framework {
  /** Its name and version, as the table of docs/testing.md has it. */
  readonly name: string;
  readonly can: readonly PluginAbility[];
  readonly start: StartPlugin;
}

/** The same application with the sqlite3 driver instead of the default one. */
function onSqlite3(start: StartPlugin): StartPlugin {
  return (app) => {
    const { filename, ...options } = app.options;
    if (filename === undefined) return start(app);
    // The rest of options that had a filename: what the type cannot say.
    const others = { ...options, driver: sqlite3({ filename }) } as PluginApp['options'];
    return start({ ...app, options: others });
  };
}

/**
 * Runs the cases for plugins as tests, and holds the table of docs/testing.md to them.
 *
 * @param at - The place of this version among those of its framework: the first runs on the sqlite3 driver, too.
 */
export function testPlugin({ name, can, start }: Framework, at: number = 0): void {
  const suites: [string, StartPlugin][] = [[`${SUITE}${name}`, start]];
  if (at === 0) suites.push([`on sqlite3, the cases for ${name}`, onSqlite3(start)]);
  for (const [suite, starts] of suites) {
    describe.concurrent(suite, () => {
      for (const { group, title, needs, run } of pluginCases) {
        const lacks = needs.filter((need) => !can.includes(need));
        it(`${group}: ${title}`, async ({ skip }) => {
          skip(lacks.length > 0, `does not apply: ${lacks.join(', ')}`);
          await expect(run(starts)).resolves.toBeUndefined();
        });
      }
    });
  }

  it(`docs/testing.md says which cases apply to ${name}`, async () => {
    expect(await documentedColumn(name)).toEqual(column(pluginCases, can));
  });
}
