import { describe, expect, it } from 'vitest';
import { pluginCases, type PluginAbility, type StartPlugin } from '../../src/testing/index.ts';
import { everything, starter } from './every-ability.ts';
import { can, start } from './http.ts';

function runAll(start: StartPlugin, can: readonly PluginAbility[]): void {
  for (const { group, title, needs, run } of pluginCases) {
    const lacks = needs.filter((need) => !can.includes(need));
    it(`${group}: ${title}`, async ({ skip }) => {
      skip(lacks.length > 0, `does not apply: ${lacks.join(', ')}`);
      await expect(run(start)).resolves.toBeUndefined();
    });
  }
}

describe.concurrent('a plugin of somebody else, for plain node:http', () => {
  runAll(start, can);
});

describe.concurrent('a server that can do whatever a framework can do', () => {
  runAll(starter(), everything);
});
