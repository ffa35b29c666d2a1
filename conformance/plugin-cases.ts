import { describe, expect, it } from 'vitest';
import { pluginCases, type PluginAbility, type StartPlugin } from '../packages/core/dist/testing/index.js';

/** A framework, in one version. */
export interface Framework {
  /** Its name and version. */
  readonly name: string;
  readonly can: readonly PluginAbility[];
  readonly start: StartPlugin;
}

/** Runs the cases for plugins as tests, and holds the table of docs/testing.md to them. */
export function testPlugin({ name, can, start }: Framework): void {
  describe.concurrent(`cases for plugins: ${name}`, () => {
    for (const { group, title, needs, run } of pluginCases) {
      const lacks = needs.filter((need) => !can.includes(need));
      it(`${group}: ${title}`, async ({ skip }) => {
        skip(lacks.length > 0, `does not apply: ${lacks.join(', ')}`);
        await expect(run(start)).resolves.toBeUndefined();
      });
    }
  });
}
