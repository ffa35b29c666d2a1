import { describe, expect, it } from 'vitest';
import { driverCases } from '../../../src/testing/index.ts';
import { SQLD } from '../../../../../conformance/libsql-server.ts';
import { openerOf, WIRES } from './servers.ts';

describe.skipIf(SQLD === undefined).for(WIRES)('the driver for a libSQL server, over %s', (wire) => {
  it.for(driverCases.map(({ title, run }) => ({ title, run })))('$title', async ({ run }) => {
    await expect(run(openerOf(wire))).resolves.toBeUndefined();
  });
});
