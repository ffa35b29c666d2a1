import { expect, test } from 'vitest';
import { createPool, InvalidArgumentError, type PoolOptions } from '../src/index.ts';
import { sqlite3 } from '../src/drivers/sqlite3/sqlite3.ts';
import { checkOptions, POOL_OPTIONS } from '../src/options.ts';

const FILE = { filename: 'app.db' };

const nothing = (): undefined => undefined;

function refusal(options: unknown): string {
  try {
    // What JavaScript callers can pass.
    createPool(options as PoolOptions);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidArgumentError);
    return (error as InvalidArgumentError).message;
  }
  throw new Error('Nothing was refused.');
}

test.for([undefined, null, 1, 'app.db', () => FILE])('options must be an object, not %o', (options) => {
  expect(refusal(options)).toBe('The options of a pool must be an object.');
});

test('exactly one source is required', () => {
  const driver = sqlite3(FILE);
  const open = 'Exactly one of filename, driver and connectionFactory is required, not';
  expect(refusal({})).toBe(`${open} none.`);
  expect(refusal({ ...FILE, driver })).toBe(`${open} filename and driver.`);
  expect(refusal({ ...FILE, driver, connectionFactory: () => undefined })).toBe(
    `${open} filename and driver and connectionFactory.`,
  );
});

test('an unknown option is refused by name, with the known ones', () => {
  const message = refusal({ ...FILE, poolsize: 3 });
  expect(message).toMatch(/^Unknown option "poolsize"\. Known are: /);
  for (const name of POOL_OPTIONS) expect(message).toContain(name);
});

test('maxValueBytes, which the pool itself once took, is refused with where it belongs', () => {
  expect(refusal({ ...FILE, maxValueBytes: 1_000_000 })).toBe(
    'Option maxValueBytes belongs to the sqlite3 driver: driver: sqlite3({ filename, maxValueBytes }).',
  );
});

test('a filename means node:sqlite, and takes the options of its driver', () => {
  expect(checkOptions(FILE).driver.name).toBe('node:sqlite');
  const options = {
    threads: 1,
    extensions: ['a.so'],
    setup: '/setup.js',
    readonly: true,
    statementCacheSize: 0,
  };
  expect(checkOptions({ ...FILE, ...options, pragmas: false }).driver.name).toBe('node:sqlite');
  expect(refusal({ ...FILE, threads: 0 })).toContain('Option threads');
  expect(refusal({ ...FILE, extensions: 'a.so' })).toContain('Option extensions');
  expect(refusal({ ...FILE, setup: 'setup.js' })).toContain('Option setup');
  for (const [name, value] of Object.entries(options))
    expect(refusal({ driver: sqlite3(FILE), [name]: value })).toContain(
      `Option ${name} belongs to the default driver`,
    );
});

/** Per numeric option: the smallest and largest value, and what one step beyond each bound is refused with. */
const BOUNDS: readonly (readonly [name: string, kind: string, min: number, max: number])[] = [
  ['poolSize', 'whole number', 1, 1024],
  ['acquireTimeoutMs', 'number', 1, Infinity],
  ['idleTimeoutMs', 'number', 1, Infinity],
  ['operationTimeoutMs', 'number', 1, 2_147_483_647],
  ['statementTimeoutMs', 'number', 1, Infinity],
  ['closeTimeoutMs', 'number', 0, Infinity],
  ['minIdle', 'whole number', 0, 1024],
  ['maxWaiting', 'whole number', 0, Infinity],
  ['maxLeaseMs', 'number', 1, Infinity],
  ['leakWarningMs', 'number', 1, Infinity],
  ['validateAfterIdleMs', 'number', 0, Infinity],
  ['walLimitBytes', 'number', 1, Infinity],
];

/** `minIdle` is bounded by `poolSize` too. */
function withOption(name: string, value: unknown): Record<string, unknown> {
  return name === 'minIdle' ? { ...FILE, poolSize: 1024, [name]: value } : { ...FILE, [name]: value };
}

function settingsOf(options: Record<string, unknown>): Record<string, unknown> {
  return { ...checkOptions(options) };
}

test.for(BOUNDS)('%s takes its smallest and its largest value', ([name, , min, max]) => {
  expect(settingsOf(withOption(name, min))[name]).toBe(min);
  expect(settingsOf(withOption(name, max))[name]).toBe(max);
});

test.for(BOUNDS)(
  '%s outside its bounds is refused with its value and the bounds',
  ([name, kind, min, max]) => {
    const shown: readonly (readonly [value: unknown, text: string])[] = [
      [min - 1, String(min - 1)],
      [-Infinity, '-Infinity'],
      [NaN, 'NaN'],
      ['5', '"5"'],
      ['x'.repeat(99), JSON.stringify('x'.repeat(40))],
      [true, 'true'],
      [5n, '5'],
      [{ secret: 1 }, 'an object'],
      [[5], 'an object'],
      [() => 'secret', 'a function'],
      [Symbol('secret'), 'a symbol'],
      ...(max === Infinity ? [] : [[max + 1, String(max + 1)] as const]),
      ...(kind === 'number' ? [] : [[1.5, '1.5'] as const]),
    ];
    for (const [value, text] of shown) {
      const bounds = `from ${String(min)} to ${String(max)}`;
      expect(refusal(withOption(name, value))).toBe(
        `Option ${name} is ${text}: it must be a ${kind} ${bounds}.`,
      );
    }
  },
);

test('null means no limit where there can be none, and is refused elsewhere', () => {
  for (const [name, , , max] of BOUNDS) {
    if (max === Infinity && name !== 'maxWaiting')
      expect(settingsOf(withOption(name, null))[name]).toBe(Infinity);
    else expect(refusal(withOption(name, null))).toContain(`Option ${name} is null: it must be`);
  }
});

test('minIdle above poolSize is refused', () => {
  expect(refusal({ ...FILE, poolSize: 2, minIdle: 3 })).toBe(
    'Option minIdle is 3: it must be at most poolSize (2).',
  );
});

test('F39 an in-memory database takes one connection, which no idle time closes', () => {
  expect(checkOptions({ filename: ':memory:', idleTimeoutMs: 5 })).toMatchObject({
    poolSize: 1,
    idleTimeoutMs: Infinity,
  });
  expect(checkOptions({ filename: ':memory:', poolSize: 1 }).poolSize).toBe(1);
  expect(refusal({ filename: ':memory:', poolSize: 2 })).toContain(
    'Option poolSize is 2: an in-memory database takes 1',
  );
  expect(refusal({ filename: ':memory:', minIdle: 2 })).toContain('at most poolSize (1)');
  expect(refusal({ filename: ':memory:', idleTimeoutMs: 0 })).toContain('Option idleTimeoutMs is 0');
});

test.for([
  [{ filename: '' }, 'Option filename'],
  [{ filename: 7 }, 'Option filename'],
  [{ filename: 'a\0b' }, 'Option filename has a NUL'],
  [{ filename: 'file:app.db?mode=ro' }, 'Option filename is a URI'],
  [{ ...FILE, pragmas: { 'journal_mode = OFF; --': 1 } }, 'Option pragmas has a name that is none'],
  [{ ...FILE, pragmas: { journal_mode: 'OFF; DROP TABLE users' } }, 'Option pragmas.journal_mode must be'],
  [{ ...FILE, pragmas: { cache_size: 1.5 } }, 'Option pragmas.cache_size must be'],
  [{ ...FILE, statementCacheSize: -1 }, 'Option statementCacheSize must be'],
  [{ ...FILE, onConnect: 1 }, 'Option onConnect must be a function.'],
  [{ ...FILE, clock: {} }, 'Option clock must be an object with now() and schedule().'],
  [{ ...FILE, clock: null }, 'Option clock must be an object with now() and schedule().'],
  [{ connectionFactory: {} }, 'Option connectionFactory must be a function.'],
  [{ driver: 'sqlite3' }, 'Option driver must be an object with a name and an open() method.'],
  [{ driver: null }, 'Option driver must be an object with a name and an open() method.'],
  [{ driver: { open: nothing } }, 'Option driver must be an object with a name and an open() method.'],
  [
    { driver: { name: 'mine', open: nothing, databaseId: 1 } },
    'Option driver has a databaseId that is no function.',
  ],
  [
    { driver: { name: 'mine', open: nothing, walBytes: 1 } },
    'Option driver has a walBytes that is no function.',
  ],
  [{ driver: { name: 'mine', open: nothing }, pragmas: {} }, 'Option pragmas belongs to the default driver'],
  [
    { connectionFactory: nothing, statementCacheSize: 1 },
    'Option statementCacheSize belongs to the default driver',
  ],
] as const)('the wrong option is named: %j', ([options, message]) => {
  expect(refusal(options)).toContain(message);
});

test('a connectionFactory may return a connection or a promise of one, and a throw becomes a rejection', async () => {
  const connection = {
    execute: () => Promise.reject(new Error('unused')),
    rollback: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  expect(await checkOptions({ connectionFactory: () => connection }).driver.open()).toBe(connection);
  expect(await checkOptions({ connectionFactory: () => Promise.resolve(connection) }).driver.open()).toBe(
    connection,
  );
  const { driver } = checkOptions({
    connectionFactory: () => {
      throw new RangeError('no');
    },
  });
  await expect(driver.open()).rejects.toThrow(RangeError);
});

test('an option that is undefined has its default', () => {
  const undefinedOptions = Object.fromEntries([...POOL_OPTIONS].map((name) => [name, undefined]));
  const { driver: _a, ...expected } = checkOptions(FILE);
  const { driver: _b, ...actual } = checkOptions({ ...undefinedOptions, ...FILE });
  expect(actual).toEqual(expected);
});

test.for([0, 'yes', null, {}])('groupCommit: %o is refused', (groupCommit) => {
  // What JavaScript can pass.
  expect(refusal({ ...FILE, groupCommit })).toMatch(/^Option groupCommit is .*: it must be true or false\.$/);
});
