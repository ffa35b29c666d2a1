import type { Connection, Driver } from '../../src/driver.ts';
import { fileDriver } from '../../src/drivers/database-file.ts';
import { AnswerReader } from '../../src/drivers/worker/answers.ts';
import { SentTexts, writeCall, writeStatement } from '../../src/drivers/worker/calls.ts';
import { Reader, Writer } from '../../src/drivers/worker/codec.ts';
import {
  WorkerConnection,
  type CallThread,
  type ConnectionSettings,
} from '../../src/drivers/worker/connection.ts';
import { describe } from '../../src/drivers/worker/describe.ts';
import { openMessage, type WorkerOptions } from '../../src/drivers/worker/driver.ts';
import { bindingError } from '../../src/drivers/worker/errors.ts';
import { loadBinding } from '../../src/drivers/worker/inside/bindings.ts';
import { describeError } from '../../src/drivers/worker/inside/errors.ts';
import { Host } from '../../src/drivers/worker/inside/host.ts';
import { Opener } from '../../src/drivers/worker/inside/work.ts';
import type { BindingSource } from '../../src/drivers/worker/protocol.ts';

/**
 * A driver whose worker is this thread: the same calls, answers and databases, without a thread between them. A debugger sees
 * them so, and what measures coverage.
 */
export function inThisThread(
  binding: BindingSource,
  changed: Partial<ConnectionSettings> = {},
): (options: WorkerOptions) => Driver {
  return (options) => {
    const opener = new Opener(loadBinding(binding), undefined);
    const open = async (path: string, mayCreate: boolean): Promise<Connection> => {
      const slot = new Int32Array(1);
      const mode = options.readonly === true ? 'readonly' : mayCreate ? 'create' : 'existing';
      const message = { kind: 'open', connection: 1, slot, path, mode, interruptible: undefined } as const;
      const { database } = await opener
        .open({ ...openMessage(options), ...message })
        .catch((error: unknown) => Promise.reject(bindingError(describeError(error))));
      const settings = {
        scriptBusyMs: 0,
        cutsText: false,
        interrupt: undefined,
        pause: () => Promise.resolve(),
      };
      return new WorkerConnection(threadOf(database, slot), 1, slot, { ...settings, ...changed });
    };
    return fileDriver(binding.name, options.filename, open, options.readonly !== true);
  };
}

function threadOf(database: Parameters<Host['add']>[1], slot: Int32Array): CallThread {
  const writer = new Writer();
  const texts = new SentTexts(describe);
  const answers = new AnswerReader(new Reader(false));
  let sent: string | ArrayBuffer | undefined;
  const host = new Host(({ message }) => (sent = message));
  host.add(1, database, slot);
  return {
    hasEnded: false,
    isStuck: false,
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
        // A call that was taken back has no answer.
        if (sent === undefined) return;
        answers.reader.open(sent);
        sent = undefined;
        pending.answer(answers.head(), answers);
      });
    },
  };
}
