import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { SQLD } from '../../../../../conformance/libsql-server.ts';
import { serverOf, WIRES } from './servers.ts';

describe.skipIf(SQLD === undefined).for(WIRES)(
  'a process with idle connections to a libSQL server, over %s',
  (wire) => {
    test('ends by itself', async () => {
      const server = await serverOf();
      const idle = fileURLToPath(new URL('children/idle.ts', import.meta.url));
      const { stdout } = await promisify(execFile)(process.execPath, [idle, server.urlOf(wire)]);
      // Not after a time-out of the connections.
      expect(Number(stdout)).toBeLessThan(1000);
    });
  },
);
