import { describe, expect, test } from 'vitest';
import { LibsqlConnection } from '../../../src/drivers/libsql/connection.ts';
import { StreamLostError } from '../../../src/drivers/libsql/errors.ts';
import { Fence } from '../../../src/drivers/libsql/replica-fence.ts';
import type { Answer, Stream } from '../../../src/drivers/libsql/protocol.ts';
import { ReplicaReader } from '../../../src/drivers/libsql/replica.ts';
import { BUSY, failed, later, many, one, OTHER, RESULT, ScriptedStream, standing } from './scripted.ts';
import { failureOf } from './servers.ts';

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

  test('stays suspect until the watch has answered after the last stream that was opened', async () => {
    const fence = await raisedFence([standing(true)], [standing(true)]);
    fence.opened();
    fence.opened();
    expect(fence.demand).toBeUndefined();
    await expect.poll(() => fence.demand).toEqual({ epoch: 7, position: 3 });
  });

  test('is asked for again where a stream was opened while it was raised', async () => {
    const { promise, resolve } = later<Stream>();
    const fence = new Fence(() => promise);
    fence.join();
    expect(fence.demand).toBeUndefined();
    fence.opened();
    const stream = new ScriptedStream([raised(7)], [standing(true)]);
    resolve(stream);
    // Without a position in an answer it is the beginning.
    await expect.poll(() => fence.demand).toEqual({ epoch: 7, position: 0 });
    expect(stream.sent).toHaveLength(2);
  });

  test('is raised again where no replica has answered for long', async () => {
    let tries = 0;
    const fence = new Fence(() => {
      tries += 1;
      return Promise.resolve(new ScriptedStream([raised(7)]));
    }, 1);
    fence.join();
    await expect.poll(() => fence.demand).toBeDefined();
    fence.answered(true);
    await expect
      .poll(() => {
        fence.answered(false);
        return fence.demand === undefined;
      })
      .toBe(true);
    await expect.poll(() => [fence.demand?.epoch, tries]).toEqual([7, 2]);
  });

  test('has no answer left of a watch that it does not have any more', async () => {
    const fence = await raisedFence(new StreamLostError(true, new Error('gone')));
    fence.opened();
    fence.lost();
    await expect.poll(() => fence.demand).toEqual({ epoch: 7, position: 3 });
  });

  test('has another mark each time it is raised', async () => {
    const streams: ScriptedStream[] = [];
    const fence = new Fence(() => {
      const stream = new ScriptedStream([raised(7)]);
      streams.push(stream);
      return Promise.resolve(stream);
    });
    fence.join();
    await expect.poll(() => fence.demand).toBeDefined();
    fence.lost();
    await expect.poll(() => fence.demand).toBeDefined();
    const marks = streams.map(({ sent }) => {
      const [request] = sent;
      return request?.type === 'batch' ? request.batch.steps[1]?.stmt.args : undefined;
    });
    expect(marks).toHaveLength(2);
    expect(marks[0]).toEqual([{ type: 'integer', value: expect.stringMatching(/^[1-9]\d*$/) as string }]);
    expect(marks[1]).not.toEqual(marks[0]);
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

  test('is read where it has the mark of the fence, and not where it has another or none', async () => {
    expect(await read([fenceAnswer(7), one()])).toEqual(RESULT);
    expect(await read([fenceAnswer(6), one()])).toBeUndefined();
    expect(await read([fenceAnswer(8), one()])).toBeUndefined();
    expect(await read([one(), one()])).toBeUndefined();
    expect(await read([failed({ message: 'no such table' }), one()])).toBeUndefined();
  });

  test('is not read where it says an error, or something else', async () => {
    expect(await read([fenceAnswer(7), failed(BUSY)])).toBeUndefined();
    expect(await read([fenceAnswer(7), OTHER])).toBeUndefined();
    expect(await read([fenceAnswer(7), many({ step_results: [null], step_errors: [BUSY] })])).toBeUndefined();
    expect(await read(new StreamLostError(true, new Error('gone')))).toBeUndefined();
  });

  const STEP = { stmt: { sql: 'SELECT 1', args: [], want_rows: true } };

  test('has all steps of a read in one hop', async () => {
    const fence = await raisedFence();
    const stream = new ScriptedStream([
      fenceAnswer(7),
      many({ step_results: [RESULT, RESULT], step_errors: [] }),
    ]);
    const settings = { fence, replicas: [() => Promise.resolve(stream)], waitMs: 1000 };
    expect(await new ReplicaReader(settings, 0).read([STEP, STEP])).toEqual(RESULT);
    expect(stream.sent).toMatchObject([{ type: 'execute' }, { type: 'batch' }]);
  });

  test('is left when the connection is closed while it opens, or interrupted while it reads', async () => {
    const fence = await raisedFence();
    const { promise, resolve } = later<Stream>();
    const closed = new ReplicaReader({ fence, replicas: [() => promise], waitMs: 1000 }, 0);
    const reading = closed.read([STEP]);
    closed.close();
    const late = new ScriptedStream();
    resolve(late);
    expect(await reading).toBeUndefined();
    expect(late.isOpen).toBe(false);

    const hanging = new ScriptedStream();
    hanging.hangs = true;
    const replica = new ReplicaReader(
      { fence, replicas: [() => Promise.resolve(hanging)], waitMs: 10_000 },
      0,
    );
    const connection = new LibsqlConnection(new ScriptedStream(), {
      open: () => Promise.resolve(new ScriptedStream()),
      bufferBytes: 1000,
      replica,
    });
    const interrupted = failureOf(connection.execute('SELECT 1'));
    await expect.poll(() => hanging.sent.length).toBe(2);
    connection.interrupt();
    expect(await interrupted).toMatchObject({ code: 'SQLITE_INTERRUPT' });
    await connection.close();
  });
});
