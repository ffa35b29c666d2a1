import fc from 'fast-check';

/** Random things to hand to a pool as SQL and as parameters: what JavaScript callers can do, and attackers with JSON. */

/** Pieces that say something to SQL's tokenizer, and pieces that say something to none. */
const PIECES = [
  ...[
    'SELECT',
    'FROM',
    't',
    '*',
    'WHERE',
    'LIMIT',
    'WITH',
    'AS',
    'VALUES',
    'INSERT INTO',
    'RETURNING',
    'UNION',
  ],
  ...[
    'BEGIN',
    'COMMIT',
    'ROLLBACK',
    'TO',
    'SAVEPOINT s',
    'RELEASE s',
    'CREATE',
    'TEMP',
    'TRIGGER',
    'TABLE',
    'END',
  ],
  ...[
    'PRAGMA',
    'user_version',
    'journal_mode',
    'ATTACH',
    'EXPLAIN',
    'QUERY PLAN',
    'CASE',
    'optimize',
    'temp.',
  ],
  ...[
    "'",
    '"',
    '`',
    '[',
    ']',
    '(',
    ')',
    ';',
    '--',
    '/*',
    '*/',
    '\n',
    '.',
    ',',
    '=',
    '?',
    '?1',
    '?99999',
    ':a',
    '@a',
  ],
  ...[
    '$a::b(c)',
    '#a',
    '#1',
    '\0',
    '\uFEFF',
    '\u00A0',
    '\uD800',
    '😀',
    "x'00'",
    '0x1F',
    '1e999',
    '||',
    '->>',
    '_',
  ],
] as const;

const pieces = fc.array(fc.constantFrom(...PIECES), { maxLength: 14 });

/** Texts: real statements, parts of real statements, real statements joined with noise, noise, and huge ones. */
export const sqlText: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: pieces.map((parts) => parts.join(' ')) },
  { weight: 2, arbitrary: pieces.map((parts) => parts.join('')) },
  { weight: 2, arbitrary: pieces.map((parts) => `SELECT ${parts.join(' ')}`) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('SELECT * FROM t', 'SELECT ?, :a', 'DELETE FROM t'), pieces)
      .map(([sql, parts]) => `${sql} ${parts.join(' ')}`),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...PIECES), fc.integer({ min: 1, max: 20_000 }))
      .map(([piece, count]) => `SELECT ${piece.repeat(count)}`),
  },
);

function throwing(): never {
  throw new RangeError('from a trap');
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

const TRAPS = ['get', 'has', 'ownKeys', 'getOwnPropertyDescriptor', 'getPrototypeOf'] as const;
const NAMES = ['a', '0', 'length', 'toString', 'valueOf', 'toJSON', 'then', 'constructor'] as const;

/** Makes something new. The thing itself may throw at the first who looks at it, and fast-check looks. */
type Maker = () => unknown;

/** Things that no pool can bind, from the careless to the hostile. */
const ODDITIES: readonly Maker[] = [
  ...[undefined, NaN, Symbol.iterator, Symbol('x'), 2n ** 63n, -(2n ** 70n), '\uD800x'].map(
    (odd) => () => odd,
  ),
  () => new Date(),
  () => new Date(NaN),
  () => () => 1,
  () => /x/g,
  () => new Map([['a', 1]]),
  () => new WeakSet(),
  () => Promise.resolve(1),
  () => new ArrayBuffer(8),
  () => new Float64Array(2),
  () => new DataView(new ArrayBuffer(4)),
  () => new SharedArrayBuffer(4),
  () => new String('SELECT 1'),
  () => Object(1n) as unknown,
  () => new Error('x'),
  () => globalThis,
  () => Object.create({ a: 1, 0: 1, ':a': 1 }) as unknown,
  detached,
  revoked,
  ...TRAPS.flatMap((trap) => [
    () => new Proxy({ a: 1 }, { [trap]: throwing }),
    () => new Proxy([1], { [trap]: throwing }),
    () => new Proxy(() => 1, { [trap]: throwing }),
  ]),
  ...NAMES.flatMap((name) => [
    () => Object.defineProperty({}, name, { get: throwing, enumerable: true }),
    () => ({ [name]: throwing }),
  ]),
];

export const oddity: fc.Arbitrary<Maker> = fc.oneof(
  fc.constantFrom(...ODDITIES),
  fc
    .anything({
      withBigInt: true,
      withDate: true,
      withTypedArray: true,
      withNullPrototype: true,
      withSparseArray: true,
    })
    .map((anything) => () => anything),
);

/** Values that can be bound. */
export const value: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    null,
    true,
    false,
    '',
    'a\0b',
    '\uFEFF',
    '__proto__',
    "'; DROP TABLE t; --",
    2 ** 53,
    Infinity,
    -0,
  ),
  fc.double({ noNaN: true }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: BigInt(Number.MIN_SAFE_INTEGER), max: BigInt(Number.MAX_SAFE_INTEGER) }),
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('\0', "'", '"', '%', '\uFFFD', '\u0300', '\u{10FFFF}', '\n') }),
  fc.uint8Array(),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.uint8Array({ minLength: 3 }).map((bytes) => bytes.subarray(1, -1)),
);

const makerOfValue: fc.Arbitrary<Maker> = fc.oneof(
  value.map((bindable) => () => bindable),
  oddity,
);

/** Parameters in every shape there is: right, wrong, and hostile. */
export const parameters: fc.Arbitrary<Maker> = fc.oneof(
  fc.constant(() => undefined),
  fc.array(makerOfValue, { maxLength: 4 }).map((makers) => () => makers.map((make) => make())),
  fc
    .dictionary(fc.constantFrom('a', 'b', ':a', '__proto__', '0', 'length'), makerOfValue)
    .map((makers) => () => Object.fromEntries(Object.entries(makers).map(([key, make]) => [key, make()]))),
  makerOfValue,
);
