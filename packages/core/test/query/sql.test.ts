import { expect, test } from 'vitest';
import { InvalidArgumentError } from '../../src/errors.ts';
import { parse, parseScript } from '../../src/query/sql.ts';
import { SAMPLES } from './sql-corpus.ts';

/** What the error says that `read` throws. */
function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidArgumentError);
    return (error as InvalidArgumentError).message;
  }
  throw new Error('Nothing was refused.');
}

test.for([null, undefined, 0, 1n, true, Symbol('x'), {}, [], () => 'SELECT 1', new String('SELECT 1')])(
  'F61 SQL that is no string is refused: %o',
  (sql) => {
    // What JavaScript callers can do.
    expect(refusal(() => parse(sql as string))).toMatch(/^SQL must be a string, not \w+\.$/);
    expect(refusal(() => parseScript(sql as string))).toMatch(/^SQL must be a string, not \w+\.$/);
  },
);

test('F61 a NUL, which would end the text, is refused', () => {
  expect(refusal(() => parse("SELECT 'a\0b'"))).toBe('The SQL text has a NUL character in it.');
});

test.for(['', ' ', ';', '-- SELECT 1', '/* SELECT 1 */;', '\uFEFF'])(
  'a text without a statement is refused: %j',
  (sql) => {
    expect(refusal(() => parse(sql))).toBe('The SQL text has no statement in it.');
    expect(parseScript(sql)).toEqual([]);
  },
);

test('a second statement is refused, and the error names what takes several', () => {
  expect(refusal(() => parse('SELECT 1; DROP TABLE users'))).toContain('Use script()');
  expect(parse('SELECT 1; -- done').sql).toBe('SELECT 1');
});

test('a script with a parameter is refused, because SQLite would bind NULL', () => {
  expect(refusal(() => parseScript('DELETE FROM a; DELETE FROM b WHERE c = :d'))).toBe(
    'Statement 2 of the script has a parameter, and a script takes none. Use run() for it, in a transaction().',
  );
});

test('parameters have the numbers that SQLite gives them, and their names without a sign', () => {
  expect(parse('SELECT ?3, :a, ?, @a, ?1, :a, $b::c(d)').parameters).toEqual([
    undefined,
    undefined,
    undefined,
    'a',
    undefined,
    'a',
    'b::c(d)',
  ]);
});

test.for(['SELECT ?0', 'SELECT ?32767', 'SELECT ?99999999999999999999', `SELECT ${'?,'.repeat(32_767)}1`])(
  'a parameter that SQLite cannot have is refused without room being made for it',
  (sql) => {
    expect(refusal(() => parse(sql))).toBe('A statement has at most 32766 parameters, numbered from 1.');
  },
);

test('a statement keeps its parameters and its nature when it is asked for one row', () => {
  const { firstRow, ...statement } = parse('SELECT * FROM t WHERE a > ? -- LIMIT');
  expect(firstRow).toEqual({ ...statement, sql: 'SELECT * FROM t WHERE a > ? LIMIT 1' });
});

test('spaces and comments between tokens make no difference', () => {
  const gaps = ['\n', ' /* ; */ ', ' -- \'";[`\n', ' \uFEFF ', '\t\v\f\r', '/**/', ' /*/ ?1 :a LIMIT */'];
  for (const { sql } of SAMPLES) {
    // Those in which no space stands inside a quoted text or between a name and its string.
    if (/['"[`\-/\v\u00a0\uFEFF]|\( | \)|\(\S* /.test(sql)) continue;
    const expected = natureOf(sql);
    for (const gap of gaps)
      expect(natureOf(sql.replaceAll(' ', gap)), sql.replaceAll(' ', gap)).toEqual(expected);
  }
});

test('small and capital letters make no difference', () => {
  for (const { sql } of SAMPLES) {
    if (/[^ -~]|[:@$#]/.test(sql)) continue;
    expect(natureOf(sql.toLowerCase()), sql).toEqual(natureOf(sql));
    expect(natureOf(sql.toUpperCase()), sql).toEqual(natureOf(sql));
  }
});

function natureOf(sql: string): unknown {
  const { control, readonly, returnsRows, effect, taints, parameters, firstRow } = parse(sql);
  return {
    control,
    readonly,
    returnsRows,
    effect,
    taints,
    parameters,
    limited: firstRow.sql !== parse(sql).sql,
  };
}

const MEGABYTE = 1_000_000;

/** Ten megabytes each, made to be slow to read. */
const LONG: readonly (readonly [what: string, sql: () => string])[] = [
  ['one string', () => `SELECT '${'x'.repeat(10 * MEGABYTE)}'`],
  ['an unterminated string', () => `SELECT '${'x'.repeat(10 * MEGABYTE)}`],
  ['doubled quotes', () => `SELECT '${"''".repeat(5 * MEGABYTE)}'`],
  ['an unterminated comment', () => `SELECT 1 /${'*'.repeat(10 * MEGABYTE)}`],
  ['comments', () => `SELECT 1${' --\n'.repeat(2.5 * MEGABYTE)}`],
  ['open parentheses', () => `SELECT ${'('.repeat(10 * MEGABYTE)}`],
  ['open brackets', () => `SELECT ${'[a'.repeat(5 * MEGABYTE)}`],
  ['rows of values', () => `INSERT INTO t VALUES ${"(1, 'abc'),".repeat(MEGABYTE)}`],
  ['one word', () => 'S'.repeat(10 * MEGABYTE)],
  ['a long parameter', () => `SELECT :${'a'.repeat(10 * MEGABYTE)}`],
  ['colons', () => `SELECT $${'::'.repeat(5 * MEGABYTE)}`],
  ['Tcl names', () => `SELECT ${'$a('.repeat(3 * MEGABYTE)}`],
  [
    'a trigger',
    () => `CREATE TRIGGER g AFTER INSERT ON t BEGIN ${'DELETE FROM a; '.repeat(0.7 * MEGABYTE)} END`,
  ],
];

test.for(LONG)('a text of ten megabytes is read in time and memory that grow with it: %s', ([, sql]) => {
  const text = sql();
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  // Of the processor: other tests may keep it from this one.
  const since = process.cpuUsage();
  expect(text.startsWith(parse(text).sql)).toBe(true);
  const { user, system } = process.cpuUsage(since);
  // A reading that is quadratic takes hours. One that keeps its tokens takes a gigabyte.
  expect((user + system) / 1000).toBeLessThan(8000);
  expect(process.memoryUsage().rss - before).toBeLessThan(300 * MEGABYTE);
});

test('texts that were read once are remembered, and forgotten before they fill the memory', () => {
  const first = parse('SELECT 1 AS first');
  expect(parse('SELECT 1 AS first')).toBe(first);
  for (let at = 0; at < 1001; at += 1) parse(`SELECT ${String(at)} AS other`);
  expect(parse('SELECT 1 AS first')).not.toBe(first);

  const large = `SELECT '${'x'.repeat(60_000)}'`;
  const kept = parse(large);
  expect(parse(large)).toBe(kept);
  for (let at = 0; at < 20; at += 1) parse(`${large} + ${String(at)}`);
  expect(parse(large)).not.toBe(kept);

  const huge = `SELECT '${'x'.repeat(70_000)}'`;
  expect(parse(huge)).not.toBe(parse(huge));
});
