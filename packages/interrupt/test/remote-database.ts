import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { onTestFinished } from 'vitest';
import { interruptOf, open, type Driver } from './database.ts';
import type { Message, Outcome, Setup } from './worker.ts';

/** A database on a worker thread, which is closed after the test. */
export class RemoteDatabase {
  readonly key: number;
  readonly #worker: Worker;

  private constructor(worker: Worker, key: number) {
    this.#worker = worker;
    this.key = key;
  }

  static async open(driver: Driver, path: string, filename: string = ':memory:'): Promise<RemoteDatabase> {
    const workerData: Setup = { driver, path, filename };
    const worker = new Worker(new URL('worker.ts', import.meta.url), { workerData, execArgv: [] });
    const [message] = (await once(worker, 'message')) as [Message];
    if (message.type !== 'open') throw new Error(`The worker said ${message.type} first`);
    // terminate() alone waits for the statement.
    onTestFinished(async () => {
      const controller = open('node:sqlite', path);
      const exited = worker.terminate();
      interruptOf(controller)(message.key);
      controller.close();
      await exited;
    });
    return new RemoteDatabase(worker, message.key);
  }

  /** Runs a statement and resolves to how it ended. */
  async run(sql: string): Promise<Outcome> {
    return (await this.#send(sql, 'ended')).outcome;
  }

  /** Begins a statement that calls started(); `ended` resolves to how it ended, and when, in ns of process.hrtime. */
  async start(sql: string): Promise<{ ended: Promise<{ outcome: Outcome; at: bigint }> }> {
    await this.#send(sql, 'started');
    return { ended: this.#next('ended') };
  }

  async close(): Promise<void> {
    this.#worker.postMessage(undefined);
    await once(this.#worker, 'exit');
  }

  /** Resolves when the worker has ended, which waits for its statement. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  async #send<T extends Message['type']>(sql: string, awaited: T): Promise<Extract<Message, { type: T }>> {
    const answer = this.#next(awaited);
    this.#worker.postMessage(sql);
    return await answer;
  }

  async #next<T extends Message['type']>(type: T): Promise<Extract<Message, { type: T }>> {
    const [message] = (await once(this.#worker, 'message')) as [Message];
    if (message.type !== type) throw new Error(`The worker said ${message.type} instead of ${type}`);
    return message as Extract<Message, { type: T }>;
  }
}
