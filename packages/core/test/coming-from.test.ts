import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { POOL_OPTIONS } from '../src/options.ts';

const ROOT = new URL('../../../', import.meta.url);

/** What the root of @sqlite-pool/core exported in 0.1.0. */
const EXPORTS = [
  ...[
    'AcquireCounts',
    'AcquireOptions',
    'AcquirePhase',
    'AcquireTimeoutError',
    'BatchStatement',
    'BindValue',
  ],
  ...['BusyError', 'CheckpointMode', 'CheckpointOptions', 'CheckpointResult', 'ClosableServer', 'Clock'],
  ...['Connection', 'Driver', 'DriverConflictError', 'DriverMissingError', 'ErrorCode', 'EvictionReason'],
  ...['ExecuteHint', 'ExecuteOptions', 'ExistingPool', 'InvalidArgumentError', 'Lease', 'LeaseEndedError'],
  ...['LeaseMode', 'NameTakenError', 'OpenError', 'OpenFailure', 'OperationTimeoutError', 'Params'],
  ...[
    'PluginOptions',
    'PluginSettings',
    'PoolClosedError',
    'PoolOptions',
    'PoolOverloadedError',
    'PoolSource',
  ],
  ...[
    'PoolStats',
    'Pragmas',
    'QueryOptions',
    'Queryable',
    'RECOMMENDED_PRAGMAS',
    'RequestDb',
    'RequestLease',
  ],
  ...['RequestLeaseOptions', 'RequestOptions', 'RequestTransaction', 'RequestTransactionOptions'],
  ...['ResponseEvents', 'Result', 'RetryableError', 'Row', 'RunResult', 'ShutdownOptions', 'Sqlite3Options'],
  ...['SqliteError', 'SqlitePool', 'SqlitePoolError', 'StatementTimeoutError', 'TransactionActiveError'],
  ...[
    'TransactionLostError',
    'TransactionMode',
    'TransactionOptions',
    'UnsupportedError',
    'Value',
    'WaitStats',
  ],
  ...['checkRequestTransaction', 'closeWithServer', 'createPool', 'pluginSettings', 'sqlite3'],
];

/** The options of a pool, and of a plugin, in 0.1.0. */
const OPTIONS = [
  ...['filename', 'driver', 'connectionFactory', 'poolSize', 'acquisitionTimeoutMs', 'idleTimeoutMs'],
  ...['groupCommit', 'operationTimeoutMs', 'statementTimeoutMs', 'closeTimeoutMs', 'minIdle', 'maxWaiting'],
  ...['maxLeaseMs', 'leakWarningMs', 'validateAfterIdleMs', 'walLimitBytes', 'pragmas', 'statementCacheSize'],
  ...['onConnect', 'clock'],
];

async function read(path: string): Promise<string> {
  return await readFile(new URL(path, ROOT), 'utf8');
}

test('docs/coming-from-0.1.md names each export of 0.1.0 that the root does not have any more', async () => {
  const [page, root] = await Promise.all([
    read('docs/coming-from-0.1.md'),
    read('packages/core/src/index.ts'),
  ]);
  const has = (text: string, name: string): boolean => new RegExp(`\\b${name}\\b`).test(text);
  const gone = EXPORTS.filter((name) => !has(root, name));
  expect(gone.length).toBeGreaterThan(15);
  expect(gone.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

test('a pool still takes every option of 0.1.0', () => {
  expect(OPTIONS.filter((name) => !POOL_OPTIONS.has(name))).toEqual([]);
});
