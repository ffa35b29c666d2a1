import { describe, expect, test } from 'vitest';
import type { ExecuteHint } from '../../../src/driver.ts';
import { LibsqlConnection } from '../../../src/drivers/libsql/connection.ts';
import { serverError, StreamLostError } from '../../../src/drivers/libsql/errors.ts';
import { Fence } from '../../../src/drivers/libsql/fence.ts';
import type {
  Answer,
  BatchResult,
  CursorChunk,
  StatementResult,
  Stream,
  StreamRequest,
  WireError,
} from '../../../src/drivers/libsql/protocol.ts';
import { ReplicaReader } from '../../../src/drivers/libsql/replica.ts';
import { failureOf } from './servers.ts';

const READ: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
const INSERT: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: false, effect: 'insert' };

const RESULT: StatementResult = { cols: [], rows: [], affected_row_count: 0, last_insert_rowid: null };
const BUSY: WireError = { message: 'database is locked', code: 'SQLITE_BUSY' };
/** An answer to something else. */
const OTHER: Answer = { type: 'ok', response: { type: 'open_stream' } };

const failed = (error: WireError): Answer => ({ type: 'error', error });
const one = (result: StatementResult = RESULT): Answer => ({
  type: 'ok',
  response: { type: 'execute', result },
});
const many = (result: BatchResult): Answer => ({ type: 'ok', response: { type: 'batch', result } });
const standing = (isAutocommit: boolean): Answer => ({
  type: 'ok',
  response: { type: 'get_autocommit', is_autocommit: isAutocommit },
});

/** A stream whose answers are written down before. One of `undefined` never comes: the stream ends. */
class ScriptedStream implements Stream {
  isOpen = true;
  readonly isSticky = true;
  position: number | undefined;
  readonly sent: StreamRequest[] = [];
  readonly #answers: (readonly Answer[] | Error)[];
  chunks: CursorChunk[] = [];

  constructor(...answers: (readonly Answer[] | Error)[]) {
    this.#answers = answers;
  }

  async send(requests: readonly StreamRequest[]): Promise<readonly Answer[]> {
    this.sent.push(...requests);
    const answers = this.#answers.shift() ?? [];
    if (!(answers instanceof Error)) return answers;
    if (answers instanceof StreamLostError) this.isOpen = false;
    throw answers;
  }

  async cursor() {
    return { fetch: async () => this.chunks.shift()!, close: async () => undefined };
  }

  destroy(): void {
    this.isOpen = false;
  }
}

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

const fenceAnswer = (n: number): Answer =>
  one({ ...RESULT, rows: [[{ type: 'integer', value: String(n) }]] });
const raised = (n: number): Answer =>
  many({
    step_results: [RESULT, { ...RESULT, rows: [[{ type: 'integer', value: String(n) }]] }],
    step_errors: [null, null],
  });

/** A fence that was raised to 7, at position 3. */
async function raisedFence(...watch: ConstructorParameters<typeof ScriptedStream>): Promise<Fence> {
  const fence = new Fence(() => {
    const stream = new ScriptedStream([raised(7)], ...watch);
    stream.position = 3;
    return Promise.resolve(stream);
  });
  fence.join();
  await expect.poll(() => fence.demand).toEqual({ epoch: 7, position: 3 });
  return fence;
}

describe('the fence', () => {
  test('is not known while the primary answers something else', async () => {
    let tries = 0;
    const fence = new Fence(() => {
      tries += 1;
      return Promise.resolve(new ScriptedStream([OTHER]));
    });
    fence.join();
    await expect.poll(() => [fence.demand, tries > 1]).toEqual([undefined, true]);
  });

  test('is suspect after another stream was opened, until the watch has answered', async () => {
    const fence = await raisedFence([standing(true)]);
    fence.opened();
    expect(fence.demand).toBeUndefined();
    await expect.poll(() => fence.demand).toEqual({ epoch: 7, position: 3 });
  });

  test('is lost where the watch has ended', async () => {
    const fence = await raisedFence(new StreamLostError(true, new Error('gone')));
    fence.note(9);
    fence.opened();
    await expect.poll(() => fence.demand).toEqual({ epoch: 7, position: 3 });
  });
});

describe('a replica', () => {
  const read = async (...answers: ConstructorParameters<typeof ScriptedStream>): Promise<unknown> => {
    const fence = await raisedFence();
    const open = () => Promise.resolve(new ScriptedStream(...answers));
    const reader = new ReplicaReader({ fence, replicas: [open], waitMs: 1000 }, 0);
    return await reader.read([{ stmt: { sql: 'SELECT 1', args: [], want_rows: true } }]);
  };

  test('is read where it has the fence, and not where it has an older one or none', async () => {
    expect(await read([fenceAnswer(7), one()])).toEqual(RESULT);
    expect(await read([fenceAnswer(6), one()])).toBeUndefined();
    expect(await read([failed({ message: 'no such table' }), one()])).toBeUndefined();
  });

  test('is not read where it says an error, or something else', async () => {
    expect(await read([fenceAnswer(7), failed(BUSY)])).toBeUndefined();
    expect(await read([fenceAnswer(7), OTHER])).toBeUndefined();
    expect(await read([fenceAnswer(7), many({ step_results: [null], step_errors: [BUSY] })])).toBeUndefined();
    expect(await read(new StreamLostError(true, new Error('gone')))).toBeUndefined();
  });
});
