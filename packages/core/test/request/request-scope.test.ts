import { expect, it, onTestFinished } from 'vitest';
import { createPool } from '../../src/pool.ts';
import type { PluginSettings } from '../../src/request/plugin-options.ts';
import { beginTransaction, leaseRequest } from '../../src/request/request-scope.ts';
import { RequestLease } from '../../src/request/request-lease.ts';
import { RequestTransaction } from '../../src/request/request-transaction.ts';
import { fakeDriver } from '../../src/testing/fake-driver.ts';

const ARRIVAL = { handle: 'req.db', method: 'GET', response: undefined };

function makeSettings(mode: PluginSettings['mode'] = 'request'): Omit<PluginSettings, 'name'> {
  const pool = createPool({ driver: fakeDriver() });
  onTestFinished(() => pool.close());
  return { pool, mode, closesPool: true, disconnectGraceMs: 1000 };
}

it('a request that arrives gets a lease, and only one', () => {
  const settings = makeSettings();
  const lease = leaseRequest(settings, { ...ARRIVAL, found: undefined });
  expect(lease).toBeInstanceOf(RequestLease);
  expect(leaseRequest(settings, { ...ARRIVAL, found: lease })).toBeUndefined();
});

it('a request that is a transaction gets no other lease of the same pool', () => {
  const settings = makeSettings();
  const lease = leaseRequest(settings, { ...ARRIVAL, found: undefined });
  const found = beginTransaction(lease, {});
  expect(found).toBeInstanceOf(RequestTransaction);
  expect(leaseRequest(settings, { ...ARRIVAL, found })).toBeUndefined();
});

it('a name that another pool, another mode or anything else has is an error that says which', () => {
  const settings = makeSettings();
  const taken = expect.objectContaining({ code: 'NAME_TAKEN', handle: 'req.db' }) as Error;
  const others = [makeSettings(), { ...settings, mode: 'statement' as const }].map((other) =>
    leaseRequest(other, { ...ARRIVAL, found: undefined }),
  );
  for (const found of [...others, { a: 1 }, null, 'db'])
    expect(() => leaseRequest(settings, { ...ARRIVAL, found })).toThrow(taken);
});

it('a request becomes one transaction once', () => {
  const transaction = beginTransaction(leaseRequest(makeSettings(), { ...ARRIVAL, found: undefined }), {});
  expect(beginTransaction(transaction, {})).toBeUndefined();
});
