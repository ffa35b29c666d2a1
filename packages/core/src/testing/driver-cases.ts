import { BATCH_CASES } from './driver/batches.ts';
import type { DriverCase } from './driver/bench.ts';
import { CURSOR_CASES } from './driver/cursors.ts';
import { CLOSE_CASES, INTERRUPT_CASES } from './driver/endings.ts';
import { ERROR_CASES, FILE_ERROR_CASES } from './driver/errors.ts';
import { FILE_CASES } from './driver/files.ts';
import { FILE_LOCK_CASES, SERVER_LOCK_CASES } from './driver/locks.ts';
import { COUNT_CASES, VALUE_CASES } from './driver/results.ts';
import { TRANSACTION_CASES } from './driver/transactions.ts';

/**
 * The cases for everything that the pool relies on in a driver. Any test runner can loop over them. They make files in
 * the temporary directory of the machine, and remove them.
 *
 * @example
 * import { driverCases } from '@sqlite-pool/core/testing';
 *
 * for (const { title, run } of driverCases) {
 *   test(title, () => run((filename) => myDriver({ filename })));
 * }
 */
export const driverCases: readonly DriverCase[] = [
  ...VALUE_CASES,
  ...COUNT_CASES,
  ...ERROR_CASES,
  ...FILE_ERROR_CASES,
  ...FILE_LOCK_CASES,
  ...SERVER_LOCK_CASES,
  ...TRANSACTION_CASES,
  ...BATCH_CASES,
  ...CURSOR_CASES,
  ...INTERRUPT_CASES,
  ...CLOSE_CASES,
  ...FILE_CASES,
];
