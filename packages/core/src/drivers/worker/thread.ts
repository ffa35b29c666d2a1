import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import { Reader, Writer, type WireValue } from './codec.ts';
import { WORKER_CODE } from './code.ts';
import { bindingError } from './errors.ts';
import { AnswerReader, type AnswerHead } from './answers.ts';
import { outsideCalls } from '../../waiting/deadline.ts';
import { ConnectionLostError } from '../../errors.ts';
import { LinkedList, type Listed } from '../../waiting/linked-list.ts';
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

/** A call that waits for an answer of the worker. */
export interface Pending extends Listed<Pending> {
  readonly sentAt: number;
  /** Whether a call with the same text took long the last time. */
  readonly long: boolean;
  /** Sends the call to another thread, if it has not begun. `undefined` if the call must stay on its thread. */
  readonly move: (() => void) | undefined;
  /** Whether the call has not begun. */
  isWaiting(): boolean;
  /** Reads the whole answer. */
  answer(head: AnswerHead, answers: AnswerReader): void;
  /** The thread has ended. */
  lose(reason: unknown): void;
}

/** An open that waits for its answer. */
interface Opening {
  readonly done: (handle: bigint | undefined) => void;
  readonly fail: (error: unknown) => void;
}

/** An open database handle: its number in its thread, and the key by which it can be interrupted. */
export interface OpenedHandle {
  readonly number: number;
  readonly key: bigint | undefined;
}

/** A thread that has work and has answered nothing for this long, in milliseconds, runs a long call. */
const SILENT_MS = 50;

/**
 * One of so many messages leaves only when the event loop goes on. Otherwise a caller that makes one call after another
 * could keep Node.js reading answers, up to a thousand in a row, while timers and files wait:
 * https://github.com/nodejs/node/blob/v24.x/src/node_messaging.cc (MessagePort::OnMessage)
 */
const MOST_IN_A_ROW = 8;

/** The settings of a thread. */
export interface ThreadSettings {
  readonly binding: BindingSource;
  readonly setup: string | undefined;
  readonly describe: (sql: string) => Text;
}

/** The owner of a thread. */
export interface ThreadOwner {
  /**
   * Called repeatedly while the thread runs a long call and other calls wait for it. Each function in `waiting` moves
   * one of them.
   */
  onOccupied(thread: Thread, waiting: readonly (() => void)[]): void;
  /** No database is open in the thread any more. */
  onUnused(thread: Thread): void;
  /** The worker has ended, for any reason. */
  onEnd(thread: Thread): void;
}

/** A worker, as the main thread sees it. */
export class Thread {
  owner: ThreadOwner;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #state = new Int32Array(new SharedArrayBuffer(STATE_BYTES));
  readonly #writer = new Writer();
  readonly #texts: SentTexts;
  readonly #answers = new AnswerReader(new Reader(false));
  /** The oldest first. A list, because it changes with every call. */
  readonly #pending = new LinkedList<Pending>();
  /** The same calls, by the number of their line. */
  readonly #byLine: (Pending | undefined)[] = [];
  readonly #opening = new Map<number, Opening>();
  readonly #lines = new Set<number>();
  /** The numbers of the handles that one connection has for itself. */
  readonly #own = new Set<number>();
  #nextLine = 0;
  /** The number of running calls with a text that took long the last time. */
  #long = 0;
  #answeredAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #flushing = false;
  /** The messages since one that let the event loop go on. */
  #inARow = 0;
  #end: { readonly reason: unknown } | undefined;

  constructor({ binding, setup, describe }: ThreadSettings, owner: ThreadOwner) {
    this.owner = owner;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#texts = new SentTexts(describe);
    this.#worker = new Worker(WORKER_CODE, {
      eval: typeof WORKER_CODE === 'string',
      name: 'sqlite-pool',
      workerData: { port: port2, state: this.#state, binding, setup },
      transferList: [port2],
      // Node.js 22 warns of node:sqlite, and versions that read TypeScript warn of that. The worker inherits no flag of
      // the process. Deno refuses such flags.
      execArgv: process.versions['deno'] === undefined ? ['--disable-warning=ExperimentalWarning'] : [],
    });
    this.#worker.unref();
    port1.on('message', this.#receive);
    port1.unref();
    // The port closes before the worker exits. Without the reference, the process could end although calls have no
    // answer yet.
    port1.once('close', () => this.#worker.ref());
    let why: unknown = new Error('The worker has ended.');
    this.#worker.once('error', (error) => {
      why = error;
    });
    this.#worker.once('exit', () => {
      this.#lose(why);
      this.owner.onEnd(this);
    });
  }

  /** Whether the worker has ended. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Whether the thread runs a long call, or was sent one that is known to be long. */
  get isOccupied(): boolean {
    if (this.#long > 0) return true;
    if (!this.#isSilent) return false;
    // Perhaps the main thread has only not read the answers yet.
    this.look();
    return this.#isSilent;
  }

  /** The number of connections that have their own database handle here, or are opening one. */
  get ownHandles(): number {
    return this.#own.size;
  }

  /** The number of calls and opens that the thread has not answered. */
  get waiting(): number {
    return this.#pending.size + this.#opening.size;
  }

  /** Reads the answers that have come, without waiting for the event loop. */
  look(): void {
    for (let answer = receiveMessageOnPort(this.#port); answer; answer = receiveMessageOnPort(this.#port))
      this.#receive(answer.message);
  }

  get #isSilent(): boolean {
    return this.#pending.size > 0 && this.#silentMs > SILENT_MS;
  }

  /** The duration of the call that the thread works on. A thread answers one call after the other. */
  get #silentMs(): number {
    const oldest = this.#pending.first;
    return oldest === undefined ? 0 : performance.now() - Math.max(oldest.sentAt, this.#answeredAt);
  }

  /** Opens a database handle and the first line to it. Both have the same number. */
  async open(message: Omit<OpenMessage, 'kind' | 'connection'>): Promise<OpenedHandle> {
    if (this.#end !== undefined) throw new ConnectionLostError(this.#end.reason);
    const line = this.#newLine();
    if (!message.shared) this.#own.add(line);
    try {
      const key = await new Promise<bigint | undefined>((done, fail) => {
        this.#opening.set(line, { done, fail });
        this.#stayAlive();
        this.#post({ ...message, kind: 'open', connection: line });
      });
      return { number: line, key };
    } catch (error) {
      this.remove(line);
      throw error;
    }
  }

  /** Adds a line to a handle, and returns its number. */
  join(handle: number, slot: Int32Array): number {
    const line = this.#newLine();
    this.#post({ kind: 'join', connection: line, slot, handle });
    return line;
  }

  /** Ends a line to a handle that has other lines. */
  leave(line: number): void {
    if (!this.hasEnded) this.#post({ kind: 'leave', connection: line });
    this.remove(line);
  }

  /** Removes a line that is closed. */
  remove(line: number): void {
    this.#lines.delete(line);
    this.#own.delete(line);
    if (this.#lines.size > 0 || this.hasEnded) return;
    this.owner.onUnused(this);
  }

  /** Keeps the thread in use without a line, until the returned function is called. */
  hold(): () => void {
    const line = this.#newLine();
    return () => {
      this.remove(line);
    };
  }

  /** Ends a worker in which no database is open. */
  end(): void {
    if (this.hasEnded) return;
    this.#end = { reason: new Error('The worker has ended.') };
    this.#post({ kind: 'end' });
  }

  #newLine(): number {
    const line = (this.#nextLine += 1);
    this.#lines.add(line);
    return line;
  }

  /** Sends a call, together with all other calls of this tick. If it throws, it has sent nothing. */
  send(line: number, number: number, { kind, detail, statements }: SentCall, pending: Pending): void {
    if (this.#end !== undefined) throw this.#end.reason;
    const { length } = this.#writer;
    try {
      writeCall(this.#writer, line, number, kind, detail, statements.length);
      for (const { sql, values, flags } of statements)
        writeStatement(this.#writer, this.#texts, sql, values, flags);
    } catch (error) {
      this.#writer.rewind(length);
      this.#texts.clear();
      throw error;
    }
    this.#scheduleFlush();
    this.#pending.add(pending);
    this.#byLine[line] = pending;
    if (pending.long) this.#long += 1;
    this.#stayAlive();
    this.#watch(SILENT_MS);
  }

  /** A call was withdrawn: it gets no answer. */
  withdrawn(line: number): void {
    this.#settled(line);
    this.#rest();
  }

  #settled(line: number): Pending {
    const pending = known(this.#byLine[line]);
    this.#byLine[line] = undefined;
    this.#pending.delete(pending);
    if (pending.long) this.#long -= 1;
    return pending;
  }

  /** One timer for all calls. While calls are running, it checks whether the thread answers. */
  #watch(ms: number): void {
    if (this.#timer !== undefined) return;
    this.#timer = outsideCalls(() => setTimeout(this.#check, ms).unref());
  }

  readonly #check = (): void => {
    this.#timer = undefined;
    if (this.#isSilent) this.look();
    if (this.#pending.size === 0) return;
    const silentMs = this.#silentMs;
    if (silentMs >= SILENT_MS) {
      const calls = this.#pending.toArray().filter((call) => call.move !== undefined && call.isWaiting());
      if (calls.length > 0)
        this.owner.onOccupied(
          this,
          calls.flatMap(({ move }) => move ?? []),
        );
    }
    this.#watch(silentMs >= SILENT_MS ? SILENT_MS : Math.max(1, SILENT_MS - silentMs));
  };

  /**
   * Wakes an idle worker as soon as the running code has made its calls. A busy worker reads no message before its
   * current call is done, so the later calls of this tick can be sent in the same message.
   */
  #scheduleFlush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#inARow = (this.#inARow + 1) % MOST_IN_A_ROW;
    if (this.#pending.size === 0 && this.#inARow > 0) process.nextTick(this.#flush);
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
    this.#answeredAt = performance.now();
    reader.open(message);
    while (!reader.done) {
      const head = this.#answers.head();
      this.#settled(head.connection).answer(head, this.#answers);
    }
    reader.close();
  }

  #opened({ connection, error, handle }: OpenedMessage): void {
    const opening = known(this.#opening.get(connection));
    this.#opening.delete(connection);
    if (error === undefined) opening.done(handle);
    else opening.fail(bindingError(error));
  }

  /** The process must stay alive while a caller awaits an answer. */
  #stayAlive(): void {
    if (this.#pending.size + this.#opening.size === 1) this.#port.ref();
  }

  /** The process may end when no caller awaits an answer. */
  #rest(): void {
    if (this.#pending.size + this.#opening.size === 0) this.#port.unref();
  }

  #lose(reason: unknown): void {
    this.#end ??= { reason };
    clearTimeout(this.#timer);
    this.#port.close();
    for (const { fail } of this.#opening.values()) fail(new ConnectionLostError(reason));
    this.#opening.clear();
    this.#long = 0;
    for (let lost = this.#pending.shift(); lost !== undefined; lost = this.#pending.shift())
      lost.lose(reason);
  }
}
