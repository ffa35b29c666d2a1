import { describe, expect, it } from 'vitest';
import { transactionOf } from '../../src/request/route-transaction.ts';

describe('the configuration of a route', () => {
  it.each([
    [undefined, undefined],
    [{}, undefined],
    [{ transaction: false }, undefined],
    [{ transaction: 'audit' }, undefined],
    [{ transaction: true }, {}],
    [{ transaction: 'db', timeoutMs: 5 }, { timeoutMs: 5 }],
    [{ transaction: ['audit', 'db'], mode: 'deferred' }, { mode: 'deferred' }],
  ])('%j makes its requests a transaction of db: %j', (config, options) => {
    expect(transactionOf(config, 'db', 'config.sqlite')).toEqual(options);
  });

  it.each([true, null, { transaction: 1 }, { transaction: ['db', 2] }, { transaction: true, retries: 1 }])(
    '%j cannot work, and is refused',
    (config) => {
      expect(() => transactionOf(config, 'db', 'config.sqlite')).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error,
      );
    },
  );

  it('is named in the error as the application writes it', () => {
    expect(() => transactionOf({ transaction: 1 }, 'db', 'config.sqlite')).toThrow(
      'config.sqlite.transaction of a route must be true, the name of a database or an array of names.',
    );
  });
});
