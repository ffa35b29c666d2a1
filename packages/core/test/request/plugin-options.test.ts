import { describe, expect, it, onTestFinished } from 'vitest';
import { pluginSettings, type PluginOptions } from '../../src/request/plugin-options.ts';
import { createPool, type SqlitePool } from '../../src/pool.ts';
import { fakeDriver } from '../../src/testing/fake-driver.ts';

function makePool(): SqlitePool {
  const pool = createPool({ driver: fakeDriver() });
  onTestFinished(() => pool.close());
  return pool;
}

/** What JavaScript would let pass. */
function wrong(options: unknown): PluginOptions {
  return options as PluginOptions;
}

describe('the options of a plugin', () => {
  it('have defaults', () => {
    const { pool, ...settings } = pluginSettings({ driver: fakeDriver() });
    onTestFinished(() => pool.close());
    expect(settings).toEqual({ closesPool: true, mode: 'request', name: 'db', disconnectGraceMs: 30_000 });
  });

  it('go to the pool, all but its own', () => {
    const driver = fakeDriver();
    const { pool, ...settings } = pluginSettings({
      driver,
      poolSize: 3,
      lease: 'statement',
      name: 'audit',
      disconnectGraceMs: 0,
    });
    onTestFinished(() => pool.close());
    expect(settings).toEqual({ closesPool: true, mode: 'statement', name: 'audit', disconnectGraceMs: 0 });
    expect(() => pluginSettings(wrong({ driver, poolsize: 3 }))).toThrow('poolsize');
  });

  it.each([
    [undefined, false],
    [false, false],
    [true, true],
  ])('take a pool that exists, and close it with closePool %s: %s', (closePool, closesPool) => {
    const pool = makePool();
    expect(pluginSettings({ pool, closePool })).toMatchObject({ pool, closesPool });
  });

  it('take a pool of another copy of this package, as an application of ESM and CommonJS parts has it', () => {
    // Nothing of it is used here but that it leases connections.
    const pool = { acquire: () => Promise.reject(new Error('unused')) } as Partial<SqlitePool> as SqlitePool;
    expect(pluginSettings({ pool }).pool).toBe(pool);
  });

  it('open nothing, and stay as they are', () => {
    const driver = fakeDriver();
    const options = Object.freeze({ driver, name: 'audit', lease: 'statement' as const });
    onTestFinished(() => pluginSettings(options).pool.close());
    expect(driver.calls).toEqual([]);
    expect(options).toEqual({ driver, name: 'audit', lease: 'statement' });
  });

  it.each(['db', 'audit', '_db', '$db2', 'DB'])('take the name %s', (name) => {
    expect(pluginSettings({ pool: makePool(), name }).name).toBe(name);
  });

  it.each<[string, object]>([
    ['lease', { lease: 'forever' }],
    ['lease', { lease: null }],
    ['name', { name: '' }],
    ['name', { name: 'a b' }],
    ['name', { name: '2nd' }],
    ['name', { name: 2 }],
    ['disconnectGraceMs', { disconnectGraceMs: -1 }],
    ['disconnectGraceMs', { disconnectGraceMs: Number.NaN }],
    ['disconnectGraceMs', { disconnectGraceMs: '1' }],
    ['closePool', { closePool: 'yes' }],
    ['poolSize', { poolSize: 2 }],
    ['filename', { filename: 'app.db' }],
    ['leese', { leese: 'statement' }],
  ])('are refused with the name of the one that is wrong: %s in %o', (name, option) => {
    const refused = () => pluginSettings(wrong({ pool: makePool(), ...option }));
    expect(refused).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(name) as string }),
    );
  });

  it.each([null, 'app.db', {}, Promise.resolve(createPool)])(
    'are refused with a pool that is none: %o',
    (pool) => {
      expect(() => pluginSettings(wrong({ pool }))).toThrow('createPool()');
    },
  );

  it('are refused with closePool when there is no pool, which would be closed anyway', () => {
    expect(() => pluginSettings(wrong({ driver: fakeDriver(), closePool: false }))).toThrow('closePool');
  });

  it.each([undefined, null, 'app.db'])('are refused when they are no object: %s', (options) => {
    expect(() => pluginSettings(wrong(options))).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});
