import { describe, expect, it } from 'vitest';
import { pluginCases } from '../../src/testing/index.ts';
import { can, start } from './http.ts';

describe('plain node:http, as a plugin of somebody else', () => {
  for (const { group, title, needs, run } of pluginCases) {
    const lacks = needs.filter((need) => !can.includes(need));
    it.skipIf(lacks.length > 0)(`${group}: ${title}`, async () => {
      await expect(run(start)).resolves.toBeUndefined();
    });
  }
});
