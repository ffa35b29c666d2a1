import { describe, expect, it } from 'vitest';
import { pluginCases, type PluginAbility, type StartPlugin } from '../packages/core/dist/testing/index.js';
import { column, documentedColumn, SUITE } from './plugin-table.ts';

/** A framework, in one version. */
export interface Framework {
  /** Its name and version, as the table of docs/testing.md has it. */
  readonly name: string;
  readonly can: readonly PluginAbility[];
  readonly start: StartPlugin;
}

/** Runs the cases for plugins as tests, and holds the table of docs/testing.md to them. */
export function testPlugin({ name, can, start }: Framework): void {
  describe.concurrent(`${SUITE}${name}`, () => {
    for (const { group, title, needs, run } of pluginCases) {
      const lacks = needs.filter((need) => !can.includes(need));
      it(`${group}: ${title}`, async ({ skip }) => {
        skip(lacks.length > 0, `does not apply: ${lacks.join(', ')}`);
        await expect(run(start)).resolves.toBeUndefined();
      });
    }
  });

  it(`docs/testing.md says which cases apply to ${name}`, async () => {
    expect(await documentedColumn(name)).toEqual(column(pluginCases, can));
  });
}
