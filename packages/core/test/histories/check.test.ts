import { expect, test } from 'vitest';
import { check } from './check.ts';
import { idOf, parseLog, valueOf, type Event, type Op, type Outcome } from './history.ts';

/** Transactions of process 1, and the first two values of each. */
const [A, B, C, D] = [1, 2, 3, 4].map((n) => idOf(1, n)) as [number, number, number, number];
const FINAL = idOf(0, 1);
const a1 = valueOf(A, 0);
const a2 = valueOf(A, 1);
const b1 = valueOf(B, 0);
const c1 = valueOf(C, 0);
const d1 = valueOf(D, 0);

const append = (to: string, value: number): Op => ({ append: value, to });
const read = (list: string): Op => ({ read: list });
const undone = (...nested: Op[]): Op => ({ nested, kept: false });
const begin = (id: number, ...ops: Op[]): Event => ['begin', id, 'by hand', ops, false];
const ends =
  (outcome: Outcome) =>
  (id: number, ...saw: number[][]): Event => [outcome, id, saw, ''];
const ok = ends('ok');
const fail = ends('fail');
const info = ends('info');

/** The kinds of what is found in a log. */
function found(...events: Event[]): string[] {
  return check(parseLog(events.map((event) => JSON.stringify(event)).join('\n'))).map(({ kind }) => kind);
}

/** A read of the whole at the end, when everything has ended. */
function finally_(lists: Record<string, number[]>): Event[] {
  return [begin(FINAL, ...Object.keys(lists).map(read)), ok(FINAL, ...Object.values(lists))];
}

test('A history in which each sees what was acknowledged before it has nothing wrong', () => {
  const events = [
    begin(A, append('x', a1), read('x'), append('x', a2)),
    begin(B, read('x'), append('y', b1), read('y')),
    ok(A, [a1]),
    ok(B, [], [b1]),
    begin(C, read('x'), read('y'), undone(append('x', c1), read('x')), read('x')),
    ok(C, [a1, a2], [b1], [a1, a2, c1], [a1, a2]),
    begin(D, append('y', d1)),
    fail(D),
  ];
  expect(found(...events, ...finally_({ x: [a1, a2], y: [b1] }))).toEqual([]);
});

test('Transactions that overlap may come in any one order', () => {
  const events = [
    begin(A, append('x', a1)),
    begin(B, read('x')),
    begin(C, read('x')),
    ok(B, []),
    ok(C, [a1]),
    ok(A),
  ];
  expect(found(...events, ...finally_({ x: [a1] }))).toEqual([]);
});

test('What nobody knows the outcome of may be there or not', () => {
  const events = [begin(A, append('x', a1)), begin(B, append('x', b1)), info(A), info(B)];
  expect(found(...events, ...finally_({ x: [b1] }))).toEqual([]);
});

test('G0: two transactions append to two lists in opposite orders', () => {
  const events = [
    begin(A, append('x', a1), append('y', a2)),
    begin(B, append('x', b1), append('y', b1 + 1)),
    ok(A),
    ok(B),
  ];
  expect(found(...events, ...finally_({ x: [a1, b1], y: [b1 + 1, a2] }))).toEqual(['G0 (dirty write)']);
});

test('G1a: what a transaction that failed has appended is read', () => {
  const events = [begin(A, append('x', a1)), begin(B, read('x')), ok(B, [a1]), fail(A)];
  expect(found(...events, ...finally_({ x: [] }))).toEqual(['G1a (aborted read)']);
});

test('G1a: what a savepoint has appended is read, and then rolled back', () => {
  const events = [begin(A, undone(append('x', a1))), begin(B, read('x')), ok(B, [a1]), ok(A)];
  expect(found(...events, ...finally_({ x: [] }))).toEqual(['G1a (aborted read)']);
});

test('G1b: a read sees half of the appends of a transaction', () => {
  const events = [begin(A, append('x', a1), append('x', a2)), begin(B, read('x')), ok(B, [a1]), ok(A)];
  expect(found(...events, ...finally_({ x: [a1, a2] }))).toContain('G1b (intermediate read)');
});

test('G1c: two transactions read what the other one has appended', () => {
  const events = [begin(A, append('x', a1), read('y')), begin(B, append('y', b1), read('x'))];
  const outcome = [ok(A, [b1]), ok(B, [a1])];
  expect(found(...events, ...outcome, ...finally_({ x: [a1], y: [b1] }))).toEqual([
    'G1c (circular information flow)',
  ]);
});

test('G-single: a transaction reads one list before and another one after the same transaction', () => {
  const events = [
    begin(A, append('x', a1), append('y', a2)),
    begin(B, read('x'), read('y')),
    ok(A),
    ok(B, [], [a2]),
  ];
  expect(found(...events, ...finally_({ x: [a1], y: [a2] }))).toEqual(['G-single (read skew)']);
});

test('G-single: a transaction reads a list twice and sees it change', () => {
  const events = [begin(A, append('x', a1)), begin(B, read('x'), read('x')), ok(A), ok(B, [], [a1])];
  expect(found(...events, ...finally_({ x: [a1] }))).toEqual(['G-single (read skew)']);
});

test('A failed transaction must have read one state too', () => {
  const events = [
    begin(A, append('x', a1), append('y', a2)),
    begin(B, read('x'), read('y')),
    ok(A),
    fail(B, [], [a2]),
  ];
  expect(found(...events, ...finally_({ x: [a1], y: [a2] }))).toEqual(['G-single (read skew)']);
});

test('Lost update: two transactions read the same list, and both append to it', () => {
  const events = [
    begin(A, read('x'), append('x', a1)),
    begin(B, read('x'), append('x', b1)),
    ok(A, []),
    ok(B, []),
  ];
  expect(found(...events, ...finally_({ x: [a1, b1] }))).toEqual(['lost update (G-single)']);
});

test('G2: two transactions read what the other one appends to (write skew)', () => {
  const events = [
    begin(A, read('x'), append('y', a1)),
    begin(B, read('y'), append('x', b1)),
    ok(A, []),
    ok(B, []),
  ];
  expect(found(...events, ...finally_({ x: [b1], y: [a1] }))).toEqual(['G2 (anti-dependency cycle)']);
});

test('G2: a cycle through three transactions', () => {
  const events = [
    begin(A, read('x'), append('y', a1)),
    begin(B, read('y'), append('z', b1)),
    begin(C, read('z'), append('x', c1)),
    ok(A, []),
    ok(B, []),
    ok(C, []),
  ];
  expect(found(...events, ...finally_({ x: [c1], y: [a1], z: [b1] }))).toEqual([
    'G2 (anti-dependency cycle)',
  ]);
});

test('Real time: a read misses what was acknowledged before it began', () => {
  const events = [begin(A, append('x', a1)), ok(A), begin(B, read('x')), ok(B, [])];
  expect(found(...events, ...finally_({ x: [a1] }))).toEqual(['G-single (read skew), in real time']);
});

test('Real time: two reads, one after the other, see a list grow shorter', () => {
  const events = [
    begin(A, append('x', a1)),
    begin(B, read('x')),
    ok(B, [a1]),
    begin(C, read('x')),
    ok(C, []),
    ok(A),
  ];
  expect(found(...events, ...finally_({ x: [a1] }))).toEqual(['G-single (read skew), in real time']);
});

test('Real time: an append comes before one that was acknowledged before it began', () => {
  const events = [begin(A, append('x', a1)), ok(A), begin(B, append('x', b1)), ok(B)];
  expect(found(...events, ...finally_({ x: [b1, a1] }))).toEqual(['G0 (dirty write), in real time']);
});

test('Real time: a process that is dead appends nothing any more', () => {
  const dies: Event[] = [begin(A, append('x', a1)), ['dead', 1]];
  const other = idOf(2, 1);
  const events = [...dies, begin(other, read('x')), ok(other, [])];
  expect(found(...events, ...finally_({ x: [a1] }))).toEqual(['G-single (read skew), in real time']);
  expect(found(...events, ...finally_({ x: [] }))).toEqual([]);
});

test('Real time: what has no known end may come after everything', () => {
  const events = [begin(A, append('x', a1)), info(A), begin(B, read('x')), ok(B, [])];
  expect(found(...events, ...finally_({ x: [a1] }))).toEqual([]);
});

test('A value twice in a list is a duplicate append', () => {
  const events = [begin(A, append('x', a1)), ok(A), begin(B, append('x', b1)), ok(B)];
  expect(found(...events, ...finally_({ x: [a1, b1, a1] }))).toEqual(['duplicate append']);
});

test('An acknowledged append that is not there is lost', () => {
  const events = [begin(A, append('x', a1)), ok(A), begin(B, append('x', b1)), ok(B)];
  expect(found(...events, ...finally_({ x: [b1] }))).toEqual(['lost append']);
});

test('An acknowledged append that was there once is lost', () => {
  const events = [begin(A, append('x', a1)), ok(A), begin(B, read('x')), ok(B, [a1])];
  expect(found(...events, ...finally_({ x: [] }))).toEqual(['G-single (read skew), in real time']);
});

test('An append of a transaction that failed is a phantom', () => {
  const events = [begin(A, append('x', a1)), fail(A)];
  expect(found(...events, ...finally_({ x: [a1] }))).toEqual(['phantom append']);
});

test('An append of a savepoint that was rolled back is a phantom', () => {
  const events = [begin(A, append('x', a1), undone(append('x', a2))), ok(A)];
  expect(found(...events, ...finally_({ x: [a1, a2] }))).toEqual(['phantom append']);
});

test('A transaction of unknown outcome must not be there in part', () => {
  const dies: Event[] = [begin(A, append('x', a1), append('y', a2)), ['dead', 1]];
  expect(found(...dies, ...finally_({ x: [a1], y: [] }))).toEqual(['partial transaction']);
  expect(found(...dies, ...finally_({ x: [a1], y: [a2] }))).toEqual([]);
});

test('A value that nobody has appended, or to another list, comes from nowhere', () => {
  expect(found(...finally_({ x: [a1] }))).toEqual(['append from nowhere']);
  const events = [begin(A, append('y', a1)), ok(A)];
  expect(found(...events, ...finally_({ x: [a1], y: [] }))).toEqual(['append from nowhere']);
});

test('Two reads that cannot be one after the other have no common order', () => {
  const events = [
    begin(A, append('x', a1)),
    begin(B, append('x', b1)),
    ok(A),
    ok(B),
    begin(C, read('x')),
    ok(C, [b1, a1]),
  ];
  expect(found(...events, ...finally_({ x: [a1, b1] }))).toEqual(['incompatible order']);
});

test('A transaction must see its own appends, and not those of a savepoint it has rolled back', () => {
  const unseen = [begin(A, append('x', a1), read('x')), ok(A, [])];
  expect(found(...unseen, ...finally_({ x: [a1] }))).toEqual(['own append not seen']);
  const seen = [begin(A, undone(append('x', a1)), read('x')), ok(A, [a1])];
  expect(found(...seen, ...finally_({ x: [] }))).toEqual(['own append not seen']);
});

test('A write that SQLite must refuse must not be acknowledged', () => {
  expect(found(['begin', A, 'by hand', [], true], ok(A))).toEqual(['acknowledged refusal']);
});

test('A complaint of a process, and a line that a kill has torn', () => {
  const events: Event[] = [['complaint', 'an unhandled rejection']];
  const text = `${JSON.stringify(events[0])}\n["begin",10000`;
  expect(check(parseLog(text))).toEqual([{ kind: 'complaint', words: 'an unhandled rejection' }]);
});

test('A cycle is described in words: which transactions, and why each comes before the next', () => {
  const events = [begin(A, append('x', a1)), ok(A), begin(B, read('x')), ok(B, []), ...finally_({ x: [a1] })];
  const [anomaly] = check(parseLog(events.map((event) => JSON.stringify(event)).join('\n')));
  expect(anomaly!.words).toBe(`Each of these must come before the next, and the last before the first:
  T1.2 (by hand) comes before T1.1 (by hand): T1.2 read list x without 1.1/0, which T1.1 appended next (rw)
  T1.1 (by hand) comes before T1.2 (by hand): T1.1 had ended before T1.2 began (time)`);
});

test('One violation in a long history is found as a short cycle', () => {
  const events: Event[] = [];
  for (let n = 1; n <= 5000; n += 1) {
    const [id, reader] = [idOf(1, n), idOf(2, n)];
    const list = `list ${String(Math.floor(n / 20))}`;
    const first = Math.max(1, n - (n % 20));
    const order = Array.from({ length: n - first + 1 }, (_, at) => valueOf(idOf(1, first + at), 0));
    events.push(begin(id, append(list, valueOf(id, 0))), ok(id), begin(reader, read(list)));
    // One read in the middle is older than it may be.
    events.push(ok(reader, n === 2510 ? order.slice(0, -2) : order));
  }
  const anomalies = check(parseLog(events.map((event) => JSON.stringify(event)).join('\n')));
  expect(anomalies.map(({ kind }) => kind)).toEqual(['G-single (read skew), in real time']);
  expect(anomalies[0]!.words.split('\n')).toHaveLength(3);
});
