import { parseArgs } from 'node:util';
import { extensionPath } from '../../src/index.ts';
import { DRIVERS } from '../database.ts';
import { stress } from './stress.ts';

/**
 * Interrupts random connections of both drivers on four threads, and ends with an error if one of them takes harm:
 *
 *     pnpm --filter @sqlite-pool/interrupt test:stress [--interrupts 10000]
 */
const { values } = parseArgs({ options: { interrupts: { type: 'string', default: '10000' } } });
const path = extensionPath();
if (path === undefined) throw new Error('There is no extension for this platform');

const start = performance.now();
const { found, interrupted } = await stress({
  drivers: [...DRIVERS, ...DRIVERS],
  path,
  interrupts: Number(values.interrupts),
});
const seconds = ((performance.now() - start) / 1000).toFixed(1);
console.log(
  `${values.interrupts} interrupts in ${seconds} s: ${found} of open connections, ${interrupted} of statements that ran`,
);
