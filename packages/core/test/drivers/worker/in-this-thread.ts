import type { Driver } from '../../../src/driver.ts';
import { fileDriver, type OpenOne } from '../../../src/drivers/file-driver.ts';
import { AnswerReader } from '../../../src/drivers/worker/answers.ts';
import { SentTexts, writeCall, writeStatement } from '../../../src/drivers/worker/calls.ts';
import { Reader, Writer } from '../../../src/drivers/worker/codec.ts';
import { WorkerConnection, type ConnectionSettings } from '../../../src/drivers/worker/connection.ts';
import { describe } from '../../../src/drivers/worker/describe.ts';
import { openMessage, type WorkerOptions } from '../../../src/drivers/worker/driver.ts';
import { bindingError } from '../../../src/drivers/worker/errors.ts';
import { loadBinding } from '../../../src/drivers/worker/inside/bindings.ts';
import { describeError } from '../../../src/drivers/worker/inside/errors.ts';
import { Host, type HandleWords } from '../../../src/drivers/worker/inside/host.ts';
import { Opener } from '../../../src/drivers/worker/inside/work.ts';
import { Handle } from '../../../src/drivers/worker/handle.ts';
import type { LineThread } from '../../../src/drivers/worker/line.ts';
import { OwnLine } from '../../../src/drivers/worker/own-line.ts';
import { LongTexts } from '../../../src/drivers/worker/placement.ts';
import type { BindingSource } from '../../../src/drivers/worker/protocol.ts';

/**
 * A driver whose worker is this thread: the same calls, answers and databases, without a thread between them. A debugger sees
 * them so, and what measures coverage.
 */
export function inThisThread(
  binding: BindingSource,
  changed: Partial<ConnectionSettings> = {},
  interrupt?: () => void,
): (options: WorkerOptions) => Driver {
  return (options) => {
    const opener = new Opener(loadBinding(binding), undefined);
    const open: OpenOne = async (path, mayCreate) => {
      const slot = new Int32Array(1);
      const running = new Int32Array(2);
      const mode = options.readonly === true ? 'readonly' : mayCreate ? 'create' : 'existing';
      const words = { slot, running, shared: false };
      const message = {
        kind: 'open',
        connection: 1,
        path,
        mode,
        interruptible: undefined,
        ...words,
      } as const;
      const { database } = await opener
        .open({ ...openMessage(options), ...message })
        .catch((error: unknown) => Promise.reject(bindingError(describeError(error))));
      const handle = new Handle(threadOf(database, words), { number: 1, slot, running, interrupt });
      const own = new OwnLine(() => Promise.resolve(handle.join()));
      await own.take();
      const settings = {
        scriptBusyMs: 0,
        truncatesText: false,
        interruptible: interrupt !== undefined,
        pause: () => Promise.resolve(),
      };
      return new WorkerConnection(
        { own, shared: undefined, longTexts: new LongTexts() },
        { ...settings, ...changed },
      );
    };
    return fileDriver(binding.name, options.filename, open, options.readonly !== true);
  };
}

function threadOf(database: Parameters<Host['add']>[1], words: HandleWords): LineThread {
  const writer = new Writer();
  const texts = new SentTexts(describe);
  const answers = new AnswerReader(new Reader(false));
  let sent: string | ArrayBuffer | undefined;
  const host = new Host(({ message }) => (sent = message));
  host.add(1, database, words);
  return {
    hasEnded: false,
    leave: () => undefined,
    join: () => 0,
    withdrawn: () => undefined,
    look: () => undefined,
    remove: () => {
      host.end();
    },
    send(connection, number, { kind, detail, statements }, pending) {
      writer.rewind(0);
      writeCall(writer, connection, number, kind, detail, statements.length);
      for (const { sql, values, flags } of statements) writeStatement(writer, texts, sql, values, flags);
      // Not at once: a connection takes note of a call after it was sent.
      queueMicrotask(() => {
        host.handle(writer.pack().message);
        host.flush();
        // A call that was withdrawn has no answer.
        if (sent === undefined) return;
        answers.reader.open(sent);
        sent = undefined;
        pending.answer(answers.head(), answers);
      });
    },
  };
}
