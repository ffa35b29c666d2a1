import { describe, expect, test } from 'vitest';
import type { ExecuteHint } from '../../../src/driver.ts';
import { OpenError } from '../../../src/errors.ts';
import { LibsqlConnection } from '../../../src/drivers/libsql/connection.ts';
import { serverError, StreamLostError } from '../../../src/drivers/libsql/errors.ts';
import type { Answer, OpenStream, Stream, WireError } from '../../../src/drivers/libsql/protocol.ts';
import { BUSY, failed, later, many, one, OTHER, RESULT, ScriptedStream, standing } from './scripted.ts';
import { failureOf } from './servers.ts';

const READ: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
const INSERT: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: false, effect: 'insert' };

function connectionOn(stream: Stream, next: Stream = new ScriptedStream()): LibsqlConnection {
  return new LibsqlConnection(stream, { open: () => Promise.resolve(next), bufferBytes: 1000 });
}

describe('a server that sends something else than was asked for', () => {
  test.for<[string, (connection: LibsqlConnection) => Promise<unknown>]>([
    ['a statement', (connection) => connection.execute('INSERT INTO t VALUES (1)', [], INSERT)],
    [
      'a batch',
      (connection) => connection.batch([{ sql: 'DELETE FROM t', params: [], hint: INSERT }], 'abort'),
    ],
    ['a script', (connection) => connection.script('DELETE FROM t')],
  ])('ends the stream of %s, whose outcome is not known', async ([, call]) => {
    for (const answers of [[OTHER, standing(true)], [OTHER, OTHER], []]) {
      const stream = new ScriptedStream(answers);
      expect(await failureOf(call(connectionOn(stream)))).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
      expect(stream.isOpen).toBe(false);
    }
  });

  test('is asked once more for what only reads', async () => {
    const connection = connectionOn(new ScriptedStream([OTHER]), new ScriptedStream([one()]));
    expect(await connection.execute('SELECT 1', [], READ)).toMatchObject({ rows: [] });
    const unlucky = connectionOn(new ScriptedStream([OTHER]), new ScriptedStream([OTHER]));
    expect(await failureOf(unlucky.execute('SELECT 1', [], READ))).toMatchObject({ code: 'CONNECTION_LOST' });
  });
});

describe('what a server refuses', () => {
  test('a BEGIN: nothing of the batch was run', async () => {
    const refused = { step_results: [null, null, null, null], step_errors: [BUSY, null, null, null] };
    const connection = connectionOn(new ScriptedStream([many(refused), standing(true)]));
    const batch = connection.batch([{ sql: 'DELETE FROM t', params: [], hint: INSERT }], 'abort');
    expect(await failureOf(batch)).toMatchObject({ code: 'SQLITE_BUSY' });
  });

  test('a whole batch: an answer that is too large leaves no transaction open', async () => {
    const tooLarge = failed({ message: 'Response is too large', code: 'RESPONSE_TOO_LARGE' });
    const done = many({ step_results: [RESULT], step_errors: [null] });
    const stream = new ScriptedStream([tooLarge, standing(false)], [done, standing(true)]);
    const connection = connectionOn(stream);
    const batch = connection.batch([{ sql: 'SELECT 1', params: [], hint: READ }], 'abort');
    expect(await failureOf(batch)).toMatchObject({
      code: 'SQLITE_TOOBIG',
      message: expect.stringContaining('iterate()') as unknown,
    });
    expect(connection.inTransaction()).toBe(false);
    expect(stream.sent).toHaveLength(4);
  });

  test('a ROLLBACK: the caller learns why', async () => {
    const begun = many({ step_results: [RESULT, RESULT], step_errors: [null, null] });
    const refused = many({
      step_results: [null],
      step_errors: [{ message: 'disk I/O error', code: 'SQLITE_IOERR' }],
    });
    const stream = new ScriptedStream([begun, standing(false)], [refused, standing(false)]);
    const connection = connectionOn(stream);
    await connection.execute('BEGIN', [], { ...READ, urgency: 'control' });
    await connection.execute('SELECT 1', [], READ);
    expect(await failureOf(connection.rollback())).toMatchObject({ code: 'SQLITE_IOERR' });
  });

  test('a COMMIT of writes that share one: each of them is undone for that reason', async () => {
    const results = {
      step_results: [RESULT, RESULT, null, RESULT],
      step_errors: [
        null,
        null,
        { message: 'FOREIGN KEY constraint failed', code: 'SQLITE_CONSTRAINT' },
        null,
      ],
    };
    const connection = connectionOn(new ScriptedStream([many(results), standing(true)]));
    const outcomes = await connection.batch([{ sql: 'DELETE FROM t', params: [], hint: INSERT }], 'abort');
    expect(outcomes).toMatchObject([{ status: 'undone', error: { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' } }]);
  });
});

describe('an error of a server', () => {
  test.for<[WireError, string]>([
    [{ message: 'no such table: t', code: 'SQL_INPUT_ERROR' }, 'SQLITE_ERROR'],
    [{ message: 'something new', code: 'SOMETHING_NEW' }, 'SQLITE_ERROR'],
    [{ message: 'something without a code' }, 'SQLITE_ERROR'],
    [{ message: 'something without a code', code: null }, 'SQLITE_ERROR'],
    [{ message: 'SQLite error: string or blob too big', code: 'SQL_INPUT_ERROR' }, 'SQLITE_TOOBIG'],
    [{ message: 'Operation was blocked', code: 'BLOCKED' }, 'SQLITE_AUTH'],
    [{ message: 'out of range', code: 'ARGS_INVALID' }, 'SQLITE_RANGE'],
    [{ message: 'the transaction is too old', code: 'TRANSACTION_TIMEOUT' }, 'TRANSACTION_LOST'],
    [{ message: 'unknown', code: 'SQLITE_UNKNOWN' }, 'SQLITE_ERROR'],
    [
      { message: 'cannot store TEXT value in INTEGER column', code: 'SQLITE_CONSTRAINT' },
      'SQLITE_CONSTRAINT_DATATYPE',
    ],
    [{ message: 'raised by a trigger', code: 'SQLITE_CONSTRAINT' }, 'SQLITE_CONSTRAINT'],
  ])('%o has the code %s', ([error, code]) => {
    expect(serverError(error)).toMatchObject({ code });
  });
});

/** A connection in a transaction that the server has begun. */
async function connectionInside(stream: ScriptedStream): Promise<LibsqlConnection> {
  const connection = connectionOn(stream);
  await connection.execute('BEGIN', [], { ...READ, urgency: 'control' });
  await connection.execute('SELECT 1', [], READ);
  return connection;
}

const BEGUN: readonly Answer[] = [
  many({ step_results: [RESULT, RESULT], step_errors: [null, null] }),
  standing(false),
];
/** As many steps as are needed, none of which was run. */
const SKIPPED: readonly Answer[] = [
  many({ step_results: [null, null, null, null, null], step_errors: [null, null, null, null, null] }),
  standing(true),
];

describe('a transaction that the server has rolled back by itself', () => {
  test.for<[string, (connection: LibsqlConnection) => Promise<unknown>]>([
    ['a statement', (connection) => connection.execute('DELETE FROM t', [], INSERT)],
    ['a script', (connection) => connection.script('DELETE FROM t')],
    [
      'a batch',
      (connection) => connection.batch([{ sql: 'DELETE FROM t', params: [], hint: INSERT }], 'abort'),
    ],
    ['a cursor', (connection) => connection.iterate('SELECT 1', []).next()],
  ])('is lost for %s, which was not run', async ([what, call]) => {
    const stream = new ScriptedStream(BEGUN, what === 'a cursor' ? [standing(true)] : SKIPPED);
    stream.chunks = [{ entries: [], bytes: 0, done: true }];
    const connection = await connectionInside(stream);
    expect(await failureOf(call(connection))).toMatchObject({ code: 'TRANSACTION_LOST' });
  });

  test('is over for a batch whose end was skipped, too', async () => {
    const results = { step_results: [RESULT, RESULT, null, null], step_errors: [null, null, null, null] };
    const connection = connectionOn(new ScriptedStream([many(results), standing(true)]));
    const outcomes = await connection.batch([{ sql: 'DELETE FROM t', params: [], hint: INSERT }], 'abort');
    expect(outcomes).toMatchObject([{ status: 'undone', error: { code: 'TRANSACTION_LOST' } }]);
  });

  test('ends with its stream', async () => {
    const stream = new ScriptedStream(BEGUN);
    const connection = await connectionInside(stream);
    expect(connection.inTransaction()).toBe(true);
    expect(await failureOf(connection.iterate('SELECT 1', []).next())).toMatchObject({
      code: 'CONNECTION_LOST',
      outcome: 'undone',
    });
    expect(connection.inTransaction()).toBe(false);
    const other = new ScriptedStream(BEGUN);
    const idle = await connectionInside(other);
    other.destroy();
    expect(idle.inTransaction()).toBe(false);
  });
});

describe('reads of a batch that stand alone', () => {
  test('go on after one that failed', async () => {
    const read = { sql: 'SELECT 1', params: [], hint: READ };
    const results = {
      step_results: [RESULT, null, RESULT, RESULT, null],
      step_errors: [null, { message: 'overflow', code: 'SQLITE_ERROR' }, null, null, null],
    };
    const connection = connectionOn(new ScriptedStream([many(results), standing(true)]));
    const outcomes = await connection.batch([read, read], 'continue');
    expect(outcomes.map(({ status }) => status)).toEqual(['failed', 'done']);
  });
});

describe('a stream that was changed', () => {
  test.for<[string, (connection: LibsqlConnection) => Promise<unknown>]>([
    ['a script', (connection) => connection.script('PRAGMA foreign_keys = OFF')],
    [
      'a batch',
      (connection) =>
        connection.batch([{ sql: 'PRAGMA foreign_keys = OFF', params: [], hint: INSERT }], 'abort'),
    ],
  ])('by %s is not replaced in silence', async ([, change]) => {
    const done = { step_results: [RESULT, RESULT, RESULT], step_errors: [null, null, null] };
    const stream = new ScriptedStream([many(done), standing(true)]);
    const connection = connectionOn(stream);
    await change(connection);
    expect(connection.broken).toBe(false);
    stream.destroy();
    expect(connection.broken).toBe(true);
    expect(await failureOf(connection.execute('SELECT 1', [], READ))).toMatchObject({
      code: 'CONNECTION_LOST',
    });
  });

  test('after it has ended is another one, which is kept from then on', async () => {
    const stream = new ScriptedStream();
    stream.destroy();
    const connection = connectionOn(stream, new ScriptedStream([one()]));
    await connection.execute('PRAGMA foreign_keys = OFF', [], INSERT);
    expect(connection.broken).toBe(false);
  });
});

describe('a connection whose stream has ended', () => {
  const ended = (): ScriptedStream => {
    const stream = new ScriptedStream();
    stream.destroy();
    return stream;
  };
  const reconnecting = (open: OpenStream): LibsqlConnection =>
    new LibsqlConnection(ended(), { open, bufferBytes: 1000 });

  test('says why the server refuses another one', async () => {
    const refused = new OpenError('not-permitted', 'no');
    const connection = reconnecting(() => Promise.reject(refused));
    expect(await failureOf(connection.execute('SELECT 1', [], READ))).toBe(refused);
    expect(await failureOf(connection.iterate('SELECT 1', []).next())).toBe(refused);
  });

  test('gives up when it is interrupted meanwhile', async () => {
    const connection = reconnecting(
      (signal) =>
        new Promise((_, fail) => signal?.addEventListener('abort', () => fail(new Error('aborted')))),
    );
    const reading = failureOf(connection.execute('SELECT 1', [], READ));
    connection.interrupt();
    expect(await reading).toMatchObject({ code: 'SQLITE_INTERRUPT' });
  });

  test('does not keep a stream that comes after it was closed', async () => {
    const { promise, resolve } = later<Stream>();
    const connection = reconnecting(() => promise);
    const reading = failureOf(connection.execute('SELECT 1', [], READ));
    await connection.close();
    const late = new ScriptedStream(new StreamLostError(false, new Error('gone')));
    resolve(late);
    expect(await reading).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(late.isOpen).toBe(false);
  });
});

describe('values', () => {
  test('without a name, or beyond the columns, have an empty one', async () => {
    const row = [{ type: 'integer', value: '1' } as const];
    const results = [
      { ...RESULT, cols: [{ name: null }], rows: [row] },
      { ...RESULT, rows: [row] },
    ];
    for (const result of results) {
      const connection = connectionOn(new ScriptedStream([one(result)]));
      expect((await connection.execute('SELECT 1', [], READ)).rows).toEqual([{ '': 1 }]);
    }
  });

  test('that JSON does not have are computed beside others', async () => {
    const stream = new ScriptedStream([one()]);
    await connectionOn(stream).execute('SELECT ?, ?, ?3', [Infinity, 1], READ);
    expect(JSON.stringify(stream.sent)).toContain('SELECT (?1*9e999), ?2, ?3');
  });
});
