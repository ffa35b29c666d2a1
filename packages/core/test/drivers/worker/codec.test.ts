import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import type { Value } from '../../../src/driver.ts';
import { Reader, Writer } from '../../../src/drivers/worker/codec.ts';
import { AnswerReader, AnswerWriter, RESULT, type Executed } from '../../../src/drivers/worker/answers.ts';
import {
  KnownTexts,
  readCall,
  SentTexts,
  writeCall,
  writeStatement,
} from '../../../src/drivers/worker/calls.ts';

// A Buffer is a Uint8Array.
expect.addEqualityTesters([
  (one: unknown, other: unknown) =>
    one instanceof Uint8Array && other instanceof Uint8Array ? Buffer.compare(one, other) === 0 : undefined,
]);

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const value: fc.Arbitrary<Value> = fc.oneof(
  fc.constant(null),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }),
  int64,
  fc.string({ unit: 'binary' }),
  fc.uint8Array(),
);
const values = fc.array(value, { maxLength: 200 });

/** What the main thread gets: integers that a number holds are numbers. */
function asRead(given: Value): Value {
  if (typeof given === 'bigint' && Number.isSafeInteger(Number(given))) return Number(given);
  return given;
}

/** What the worker binds: whole numbers are bigints. */
function asBound(given: Value): Value {
  if (typeof given === 'number' && Number.isSafeInteger(given) && !Object.is(given, -0)) return BigInt(given);
  return given;
}

test('values come back as they were written, whole numbers as numbers or as bigints', () => {
  fc.assert(
    fc.property(fc.array(values, { maxLength: 5 }), (blocks) => {
      const writer = new Writer();
      for (const block of blocks) writer.block([block]);
      const { message } = writer.pack();
      const numbers = new Reader(false);
      const bigints = new Reader(true);
      for (const reader of [numbers, bigints]) reader.open(message);
      expect(blocks.map(({ length }) => numbers.values(length))).toEqual(
        blocks.map((block) => block.map(asRead)),
      );
      expect(blocks.map(({ length }) => bigints.values(length))).toEqual(
        blocks.map((block) => block.map(asBound)),
      );
      expect([numbers.done, bigints.done]).toEqual([true, true]);
    }),
  );
});

test.for([0, 10, 20_000, 300_000])(
  'a message with a text of %i characters has its size, and the next one too',
  (length) => {
    const writer = new Writer();
    const reader = new Reader(false);
    for (const text of ['x'.repeat(length), '日'.repeat(length), 'short']) {
      writer.block([[text, new Uint8Array(3)]]);
      writer.uint(7);
      const { message, moved } = writer.pack();
      expect(moved).toHaveLength(typeof message === 'string' ? 0 : 1);
      reader.open(message);
      expect(reader.values(2)).toEqual([text, new Uint8Array(3)]);
      expect([reader.uint(), reader.done]).toEqual([7, true]);
      reader.close();
    }
  },
);

test('the texts of a block share a string only while they are short and few: V8 cannot hold a string of them all', () => {
  const rows = Array.from({ length: 64 }, (_, at) => [String(at).repeat(2 ** 15), 'x'.repeat(2 ** 14)]);
  const writer = new Writer();
  const reader = new Reader(false);
  for (const columns of [rows, rows.map(([, short = '']) => Array<string>(30).fill(short))]) {
    writer.block(columns);
    const toString = vi.spyOn(Buffer.prototype, 'toString');
    const { message } = writer.pack();
    reader.open(message);
    expect(reader.values(columns.flat().length)).toEqual(columns.flat());
    const lengths = toString.mock.results.map(({ value }) => String(value).length);
    expect(Math.max(...lengths)).toBeLessThan(2 ** 24 + 2 ** 15);
    toString.mockRestore();
  }
});

test('a text of more bytes than a string of V8 may have is refused before it is sent', () => {
  expect(() => {
    new Writer().text('é'.repeat(2 ** 28));
  }).toThrow(expect.objectContaining({ code: 'SQLITE_TOOBIG' }));
});

test('a blob that was read does not share its memory with the message', () => {
  const writer = new Writer();
  writer.block([[Uint8Array.of(1, 2, 3)]]);
  const reader = new Reader(false);
  reader.open(writer.pack().message);
  const [blob] = reader.values(1) as [Uint8Array];
  writer.block([[Uint8Array.of(9, 9, 9)]]);
  reader.open(writer.pack().message);
  expect([blob, blob.buffer.byteLength]).toEqual([Uint8Array.of(1, 2, 3), 3]);
});

test('what was written last can be taken back', () => {
  const writer = new Writer();
  writer.uint(300);
  const { length } = writer;
  writer.text('too much');
  writer.rewind(length);
  const reader = new Reader(false);
  reader.open(writer.pack().message);
  expect([reader.uint(), reader.done]).toEqual([300, true]);
});

test('rows come back, whatever their number, names and values, as objects and as arrays', () => {
  const row = fc.integer({ min: 1, max: 4 }).chain((width) =>
    fc.record({
      columns: fc.array(fc.oneof(fc.string(), fc.constantFrom('__proto__', '1', 'id')), {
        minLength: width,
        maxLength: width,
      }),
      rows: fc.array(fc.array(value, { minLength: width, maxLength: width }), { maxLength: 200 }),
      changes: fc.nat(),
      lastInsertRowid: int64,
    }),
  );
  fc.assert(
    fc.property(fc.array(row, { maxLength: 4 }), (results: Executed[]) => {
      const answers = new AnswerWriter(new Writer());
      // Twice, so that columns are known by their number too.
      const all = [...results, ...results];
      for (const [at, result] of all.entries()) {
        answers.begin(
          { connection: at, number: at, kind: 0, statements: [], detail: 0 },
          RESULT,
          at % 2 === 0,
          at % 3 === 0,
        );
        answers.result(result);
      }
      const reader = new AnswerReader(new Reader(false));
      reader.reader.open(answers.writer.pack().message);
      for (const [at, { columns, rows, changes, lastInsertRowid }] of all.entries()) {
        expect(reader.head()).toEqual({
          connection: at,
          number: at,
          kind: RESULT,
          inTransaction: at % 2 === 0,
          long: at % 3 === 0,
        });
        const read = reader.result(at % 3 === 0 ? 'array' : 'object');
        const arrays = rows.map((each) => each.map((one) => asRead(one as Value)));
        const objects = arrays.map((each) =>
          Object.fromEntries(columns.map((name, column) => [name, each[column]])),
        );
        expect(read.columns).toEqual(columns);
        expect(read.rows).toEqual(at % 3 === 0 ? arrays : objects);
        expect(read.changes).toBe(changes);
        expect(read.lastInsertRowid).toBe(asRead(lastInsertRowid));
      }
      expect(reader.reader.done).toBe(true);
    }),
  );
});

test('texts are sent once, and again when too many are known', () => {
  const writer = new Writer();
  const sent = new SentTexts((sql) => ({ sql, order: sql.includes('2') ? [2, 1] : [], written: sql }));
  const known = new KnownTexts();
  const reader = new Reader(true);
  const roundTrip = (sql: string): number => {
    writeCall(writer, 1, 2, 3, 4, 1);
    writeStatement(writer, sent, sql, ['a', 'b'], 5);
    const { length } = writer;
    reader.open(writer.pack().message);
    const call = readCall(reader, known);
    expect(call).toMatchObject({ connection: 1, number: 2, kind: 3, detail: 4 });
    const [statement] = call.statements;
    expect([statement?.text.sql, statement?.flags]).toEqual([sql, 5]);
    expect(statement?.values).toEqual(sql.includes('2') ? ['b', 'a'] : ['a', 'b']);
    return length;
  };
  const first = roundTrip('SELECT ?, ?');
  expect(roundTrip('SELECT ?, ?')).toBeLessThan(first);
  for (let n = 0; n < 2500; n += 1) roundTrip(`SELECT ?, ? -- ${String(n)}`);
  expect(roundTrip('SELECT ?, ?')).toBeGreaterThanOrEqual(first);
  const long = `SELECT ?, ? -- ${'x'.repeat(70_000)}`;
  expect(roundTrip(long)).toBe(roundTrip(long));
});
