import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import { Reader, Writer, type WireValue } from './codec.ts';
import { WORKER_CODE } from './code.ts';
import { bindingError } from './errors.ts';
import { AnswerReader, type AnswerHead } from './answers.ts';
import { SentTexts, writeCall, writeStatement, type Text } from './calls.ts';
import {
  known,
  STATE_BYTES,
  WAKE_WORD,
  type BindingSource,
  type ControlMessage,
  type OpenedMessage,
  type OpenMessage,
} from './protocol.ts';

/** One statement of a call. */
export interface SentStatement {
  readonly sql: string;
  readonly values: readonly WireValue[];
  readonly flags: number;
}

/** A call as the main thread sends it. */
export interface SentCall {
  readonly kind: number;
  readonly detail: number;
  readonly statements: readonly SentStatement[];
}

/** What waits for an answer of the worker. */
export interface Pending {
  readonly sentAt: number;
  /** Reads the answer, all of it. */
  answer(head: AnswerHead, answers: AnswerReader): void;
  /** The thread has ended. */
  lose(reason: unknown): void;
}

/** An open that waits for its answer. */
interface Opening {
  readonly done: (handle: bigint | undefined) => void;
  readonly fail: (error: unknown) => void;
}

/** A connection that was opened: its number in its thread, and by which it can be interrupted. */
export interface OpenedConnection {
  readonly number: number;
  readonly handle: bigint | undefined;
}

/** A thread that has not answered a call for longer, in milliseconds, is stuck. */
const STUCK_MS = 50;

/** What a thread is made with. */
export interface ThreadSettings {
  readonly binding: BindingSource;
  readonly setup: string | undefined;
  readonly describe: (sql: string) => Text;
}

/** A worker, as the main thread sees it. */
export class Thread {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #state = new Int32Array(new SharedArrayBuffer(STATE_BYTES));
  readonly #writer = new Writer();
  readonly #texts: SentTexts;
  readonly #answers = new AnswerReader(new Reader(false));
  /** By the number of their connection, the oldest first. */
  readonly #pending = new Map<number, Pending>();
  readonly #opening = new Map<number, Opening>();
  readonly #connections = new Set<number>();
  #nextConnection = 0;
  #flushing = false;
  #end: { readonly reason: unknown } | undefined;

  /** @param onEnd - Called when the worker has ended, whatever the reason. */
  constructor({ binding, setup, describe }: ThreadSettings, onEnd: (thread: Thread) => void) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#texts = new SentTexts(describe);
    this.#worker = new Worker(WORKER_CODE, {
      eval: typeof WORKER_CODE === 'string',
      name: 'sqlite-pool',
      workerData: { port: port2, state: this.#state, binding, setup },
      transferList: [port2],
      // Node.js 22 warns of node:sqlite, and versions that read TypeScript warn of that. No flag of the process is inherited.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.#worker.unref();
    port1.on('message', this.#receive);
    port1.unref();
    let why: unknown = new Error('The worker has ended.');
    this.#worker.once('error', (error) => {
      why = error;
    });
    this.#worker.once('exit', () => {
      this.#lose(why);
      onEnd(this);
    });
  }

  /** How many connections it has, those included that are being opened. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Whether the worker has ended. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Whether it has not answered for so long that nothing new should be sent to it. */
  get isStuck(): boolean {
    if (!this.#isLate) return false;
    // It may be this thread that has not looked.
    this.look();
    return this.#isLate;
  }

  /** Takes in the answers that have come, without waiting for the event loop. */
  look(): void {
    for (let answer = receiveMessageOnPort(this.#port); answer; answer = receiveMessageOnPort(this.#port))
      this.#receive(answer.message);
  }

  get #isLate(): boolean {
    const [oldest] = this.#pending.values();
    return oldest !== undefined && performance.now() - oldest.sentAt > STUCK_MS;
  }

  /** Opens a connection. */
  async open(message: Omit<OpenMessage, 'kind' | 'connection'>): Promise<OpenedConnection> {
    const connection = (this.#nextConnection += 1);
    this.#connections.add(connection);
    try {
      const handle = await new Promise<bigint | undefined>((done, fail) => {
        this.#opening.set(connection, { done, fail });
        this.#stayAlive();
        this.#post({ ...message, kind: 'open', connection });
      });
      return { number: connection, handle };
    } catch (error) {
      this.remove(connection);
      throw error;
    }
  }

  /** Forgets a connection that is closed. A worker without any ends. */
  remove(connection: number): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0 || this.hasEnded) return;
    this.#end = { reason: new Error('The worker has ended.') };
    this.#post({ kind: 'end' });
  }

  /** Sends a call, with all others of this tick. Throws if it cannot be sent; then nothing was. */
  send(connection: number, number: number, { kind, detail, statements }: SentCall, pending: Pending): void {
    if (this.#end !== undefined) throw this.#end.reason;
    const { length } = this.#writer;
    try {
      writeCall(this.#writer, connection, number, kind, detail, statements.length);
      for (const { sql, values, flags } of statements)
        writeStatement(this.#writer, this.#texts, sql, values, flags);
    } catch (error) {
      this.#writer.rewind(length);
      this.#texts.clear();
      throw error;
    }
    this.#scheduleFlush();
    this.#pending.set(connection, pending);
    this.#stayAlive();
  }

  /** A call was taken back: it has no answer. */
  withdrawn(connection: number): void {
    this.#pending.delete(connection);
    this.#rest();
  }

  /**
   * A worker that has nothing to do is woken as soon as the code that runs has said all it has to say; one that works will not
   * look before it is done, so what else this tick brings can come along.
   */
  #scheduleFlush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    if (this.#pending.size === 0) process.nextTick(this.#flush);
    else setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    if (this.#writer.length === 0) return;
    const { message, moved } = this.#writer.pack();
    this.#port.postMessage(message, moved);
    this.#wake();
  };

  #post(message: ControlMessage): void {
    this.#flush();
    this.#port.postMessage(message);
    this.#wake();
  }

  #wake(): void {
    Atomics.add(this.#state, WAKE_WORD, 1);
    Atomics.notify(this.#state, WAKE_WORD);
  }

  readonly #receive = (message: unknown): void => {
    if (typeof message === 'string' || message instanceof ArrayBuffer) this.#read(message);
    else this.#opened(message as OpenedMessage);
    this.#rest();
  };

  #read(message: string | ArrayBuffer): void {
    const { reader } = this.#answers;
    reader.open(message);
    while (!reader.done) {
      const head = this.#answers.head();
      const pending = known(this.#pending.get(head.connection));
      this.#pending.delete(head.connection);
      pending.answer(head, this.#answers);
    }
    reader.close();
  }

  #opened({ connection, error, handle }: OpenedMessage): void {
    const opening = known(this.#opening.get(connection));
    this.#opening.delete(connection);
    if (error === undefined) opening.done(handle);
    else opening.fail(bindingError(error));
  }

  /** The process must not end while something is awaited … */
  #stayAlive(): void {
    if (this.#pending.size + this.#opening.size === 1) this.#port.ref();
  }

  /** … and may when nothing is. */
  #rest(): void {
    if (this.#pending.size + this.#opening.size === 0) this.#port.unref();
  }

  #lose(reason: unknown): void {
    this.#end ??= { reason };
    this.#port.close();
    for (const { fail } of this.#opening.values()) fail(reason);
    this.#opening.clear();
    for (const pending of this.#pending.values()) pending.lose(reason);
    this.#pending.clear();
  }
}
