import { createContext, runInContext } from 'node:vm';
import { expect, test } from 'vitest';
import { InvalidArgumentError } from '../../src/errors.ts';
import { bind, type Params } from '../../src/query/parameters.ts';
import { parse } from '../../src/query/sql.ts';

/** Binds what JavaScript callers can pass. */
function bound(sql: string, params: unknown): unknown {
  return bind(parse(sql), params as Params | undefined);
}

function refusal(sql: string, params: unknown): InvalidArgumentError {
  try {
    bound(sql, params);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidArgumentError);
    return error as InvalidArgumentError;
  }
  throw new Error('Nothing was refused.');
}

test.for([null, 0, -0, 1.5, -1e308, Infinity, 2 ** 53, '', 'a\0b', '😀', 0n, 2n ** 63n - 1n, -(2n ** 63n)])(
  'the value %o is bound as it is',
  (value) => {
    expect(bound('SELECT ?', [value])).toEqual([value]);
  },
);

test('booleans are bound as 1 and 0', () => {
  expect(bound('SELECT ?, ?', [true, false])).toEqual([1, 0]);
});

test('bytes are copied, so that what happens to the buffer later changes nothing', () => {
  const bytes = Uint8Array.from([1, 2, 3, 4]);
  const values = bound('SELECT ?, ?, ?', [bytes, bytes.subarray(1, 3), Buffer.from('ab')]);
  bytes.fill(9);
  expect(values).toEqual([Uint8Array.from([1, 2, 3, 4]), Uint8Array.from([2, 3]), Uint8Array.from([97, 98])]);
});

test('bytes of another realm and of shared memory are bytes', () => {
  const foreign: unknown = runInContext('Uint8Array.from([1, 2])', createContext());
  expect(foreign).not.toBeInstanceOf(Uint8Array);
  expect(bound('SELECT ?', [foreign])).toEqual([Uint8Array.from([1, 2])]);
  expect(bound('SELECT ?', [new Uint8Array(new SharedArrayBuffer(2))])).toEqual([new Uint8Array(2)]);
});

function detached(): Uint8Array {
  const bytes = new Uint8Array(4);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

const REFUSED: readonly (readonly [value: unknown, message: string])[] = [
  [undefined, 'undefined, which cannot be bound: use null for NULL.'],
  [NaN, 'NaN, which cannot be bound: SQLite would store NULL; use null if that is what you mean.'],
  [2n ** 63n, 'a bigint beyond 64 bits, which cannot be bound: bind it as a string.'],
  [-(2n ** 63n) - 1n, 'a bigint beyond 64 bits, which cannot be bound: bind it as a string.'],
  [
    'a\uD800',
    'a string with half of a surrogate pair, which cannot be bound: UTF-8 cannot hold it; use value.toWellFormed().',
  ],
  [Symbol('x'), 'a symbol, which cannot be bound: SQLite stores null, numbers, strings and bytes.'],
  [() => 1, 'a function, which cannot be bound: SQLite stores null, numbers, strings and bytes.'],
  [new Date(), 'a Date, which cannot be bound: use date.toISOString() or date.getTime().'],
  [new ArrayBuffer(2), 'a buffer of another type, which cannot be bound: use new Uint8Array(…).'],
  [new Uint16Array(2), 'a buffer of another type, which cannot be bound: use new Uint8Array(…).'],
  [
    new DataView(new ArrayBuffer(2)),
    'a buffer of another type, which cannot be bound: use new Uint8Array(…).',
  ],
  [[1], 'an array, which cannot be bound: use JSON.stringify(…) with json_each, or one ? per element.'],
  [{ a: 1 }, 'an object, which cannot be bound: use JSON.stringify(…).'],
  [/x/, 'an object, which cannot be bound: use JSON.stringify(…).'],
  [new Number(1), 'an object, which cannot be bound: use JSON.stringify(…).'],
  [new Proxy(new Uint8Array(1), {}), 'an object, which cannot be bound: use JSON.stringify(…).'],
  [detached(), 'a detached buffer, which cannot be bound: its bytes were transferred to somewhere else.'],
  [
    Object.defineProperty(new Uint16Array(1), Symbol.toStringTag, { value: 'Uint8Array' }),
    'a buffer of another type, which cannot be bound: use new Uint8Array(…).',
  ],
];

test.for(REFUSED)('F61 %o is refused, with what to do instead', ([value, message]) => {
  expect(refusal('SELECT ?, ?', [1, value]).message).toBe(`Parameter 2 is ${message}`);
  expect(refusal('SELECT :name', { name: value }).message).toBe(`Parameter "name" is ${message}`);
});

test.for([
  ['SELECT 1', [1], 'The statement has 0 parameters, but 1 were given.'],
  ['SELECT ?', [], 'The statement has 1 parameter, but 0 were given.'],
  ['SELECT ?, ?', [1], 'The statement has 2 parameters, but 1 were given.'],
  ['SELECT ?, ?', [1, 2, 3], 'The statement has 2 parameters, but 3 were given.'],
  ['SELECT ?3', [1], 'The statement has 3 parameters, but 1 were given.'],
  ['SELECT ?', undefined, 'The statement has 1 parameter, but none were given.'],
] as const)(
  'a wrong number of parameters is refused, not filled with NULL: %s with %o',
  ([sql, params, message]) => {
    expect(refusal(sql, params).message).toContain(message);
  },
);

test('a statement without parameters takes none, an empty list or an object', () => {
  expect(bound('SELECT 1', undefined)).toEqual([]);
  expect(bound('SELECT 1', [])).toEqual([]);
  expect(bound('SELECT 1', { a: 1 })).toEqual([]);
});

test('named parameters are found under every sign, and as often as they stand in the text', () => {
  expect(bound('SELECT :a, @b, $c, :a, @a', { a: 1, b: 2, c: 3 })).toEqual([1, 2, 3, 1]);
  expect(bound('SELECT :a, :b', [1, 2])).toEqual([1, 2]);
  expect(bound('SELECT :a', Object.assign(Object.create(null) as object, { a: 1 }))).toEqual([1]);
});

test('a key that no parameter has is ignored, so that a whole object can be given', () => {
  expect(bound('SELECT :a', { a: 1, b: new Date() })).toEqual([1]);
});

test('a name that is missing is refused, also if the prototype has it', () => {
  const message = 'The parameter "a" is missing. Keys are written without the ":", "@" or "$".';
  expect(refusal('SELECT :a', {}).message).toBe(message);
  expect(refusal('SELECT :a', { ':a': 1 }).message).toBe(message);
  expect(refusal('SELECT :a', Object.create({ a: 1 })).message).toBe(message);
  expect(refusal('SELECT :toString', {}).message).toContain('"toString" is missing');
  expect(refusal('SELECT :__proto__', {}).message).toContain('"__proto__" is missing');
});

test('a "?" cannot be given by name', () => {
  expect(refusal('SELECT :a, ?', { a: 1 }).message).toBe(
    'Parameter 2 is a "?" and has no name: give the parameters as an array.',
  );
});

test.for([
  null,
  1,
  'one',
  true,
  5n,
  Symbol('x'),
  () => [1],
  new Date(),
  new Uint8Array(1),
  new DataView(new ArrayBuffer(1)),
])('F61 parameters that are neither an array nor an object are refused: %o', (params) => {
  expect(refusal('SELECT :a', params).message).toBe(
    'Parameters must be an array or a plain object: [value], not value.',
  );
});

const boom = (): never => {
  throw new RangeError('secret');
};

test.for([
  ['a getter', Object.defineProperty({}, 'a', { get: boom, enumerable: true })],
  ['a trap for the property', new Proxy({ a: 1 }, { get: boom })],
  ['a trap for the keys', new Proxy({ a: 1 }, { getOwnPropertyDescriptor: boom })],
  ['a trap for the length', new Proxy([1], { get: boom })],
  ['a trap of a value', { a: new Proxy({}, { getPrototypeOf: boom }) }],
] as const)('F61 %s that throws is refused, and its error kept out of the message', ([, params]) => {
  const error = refusal('SELECT :a', params);
  expect(error.message).toBe('The parameters could not be read (a getter or a Proxy threw).');
  expect(error.cause).toBeInstanceOf(RangeError);
});

test('F61 a revoked Proxy is refused', () => {
  const { proxy, revoke } = Proxy.revocable([1], {});
  revoke();
  expect(refusal('SELECT ?', proxy).cause).toBeInstanceOf(TypeError);
});

test('F61 a value is read once, so that what was checked is what is bound', () => {
  let reads = 0;
  const params = Object.defineProperty({}, 'a', { get: () => (reads += 1), enumerable: true });
  expect(bound('SELECT :a', params)).toEqual([1]);
  expect(reads).toBe(1);
});

test('F61 an array is what its indexes say, whatever a subclass of it says', () => {
  class Lies extends Array<unknown> {
    override *entries(): ArrayIterator<[number, unknown]> {
      yield [0, 'another'];
    }
    override *[Symbol.iterator](): ArrayIterator<unknown> {
      yield 'another';
    }
    override map(): never[] {
      return [];
    }
  }
  const params = new Lies();
  params.push(5, undefined);
  expect(refusal('SELECT ?, ?', params).message).toContain('Parameter 2 is undefined');
  params[1] = 6;
  expect(bound('SELECT ?, ?', params)).toEqual([5, 6]);
});

test('a message never has a value in it', () => {
  for (const value of [
    'secret\uD800',
    { secret: 'secret' },
    ['secret'],
    Symbol('secret'),
    Object('secret'),
  ]) {
    expect(refusal('SELECT ?', [value]).message).not.toContain('secret');
  }
});
