import { ConnectionLostError, InvalidArgumentError, OpenError, OutcomeUnknownError } from '../../errors.ts';
import { interruptedError, StreamLostError } from './errors.ts';
import type { OpenStream, Stream } from './protocol.ts';
import type { ServerTransaction } from './server-transaction.ts';

/** What a call is, for when its stream ends under it. */
export interface CallNature {
  /** It changes nothing, so outside a transaction it can be made again. */
  readonly reads: boolean;
  /** It may make something last. */
  readonly commits: boolean;
}

/** Another way to make a call; `undefined` is no answer. */
export interface Elsewhere<T> {
  readonly work: () => Promise<T | undefined>;
  readonly end: () => void;
}

/** The call under way. */
interface Running {
  interrupted: boolean;
  /** Ends what it waits for. */
  end: () => void;
}

/**
 * The calls of one connection, on a stream that is replaced when it has ended and nothing was open on it. What is repeated is a
 * read outside a transaction, once, and what was certainly not sent.
 */
export class Calls {
  readonly #open: OpenStream;
  readonly #transaction: ServerTransaction;
  #stream: Stream;
  #running: Running | undefined;
  /** `kept`: the stream was changed in a way that another one would not be. */
  #state: 'open' | 'kept' | 'closed' = 'open';

  constructor(stream: Stream, open: OpenStream, transaction: ServerTransaction) {
    this.#stream = stream;
    this.#open = open;
    this.#transaction = transaction;
  }

  get stream(): Stream {
    return this.#stream;
  }

  /** Whether the stream has ended and is not replaced. */
  get isLost(): boolean {
    return this.#state !== 'open' && !this.#stream.isOpen;
  }

  /** Whether nothing was changed on the stream, so that any other one reads the same. */
  get isPlain(): boolean {
    return this.#state === 'open';
  }

  /** From now on the stream is not replaced. */
  keepStream(): void {
    if (this.#state === 'open' && this.#stream.isOpen) this.#state = 'kept';
    this.#stream.keep?.();
  }

  /** Makes one call. The stream that `work` gets is open. It may be done `elsewhere`, at a replica. */
  async make<T>(
    nature: CallNature,
    work: (stream: Stream) => Promise<T>,
    elsewhere?: Elsewhere<T>,
  ): Promise<T> {
    if (this.#running !== undefined) throw new InvalidArgumentError('A connection takes one call at a time.');
    const running: Running = { interrupted: false, end: nothing };
    this.#running = running;
    try {
      if (elsewhere !== undefined) {
        running.end = () => elsewhere.end();
        const value = await elsewhere.work();
        if (wasInterrupted(running)) throw interruptedError();
        if (value !== undefined) return value;
      }
      return await this.#attempt(running, nature, work, true);
    } finally {
      this.#running = undefined;
    }
  }

  /** Ends the call under way, and with it the stream: nothing else ends a query at the server. */
  interrupt(): void {
    if (this.#running === undefined) return;
    this.#running.interrupted = true;
    this.#running.end();
  }

  close(): void {
    this.#state = 'closed';
    this.#running?.end();
    this.#stream.destroy();
  }

  async #attempt<T>(
    running: Running,
    nature: CallNature,
    work: (stream: Stream) => Promise<T>,
    again: boolean,
  ): Promise<T> {
    const stream = await this.#liveStream(running);
    if (running.interrupted) throw interruptedError();
    running.end = () => stream.destroy();
    const { state } = this.#transaction;
    try {
      return await work(stream);
    } catch (error) {
      if (!(error instanceof StreamLostError)) throw error;
      const repeats =
        again &&
        this.#state === 'open' &&
        state !== 'begun' &&
        (!error.sent || (nature.reads && state === 'none'));
      if (repeats && !wasInterrupted(running)) return await this.#attempt(running, nature, work, false);
      this.#transaction.clear();
      throw lost(error, running, nature, state === 'none' ? 'none' : 'undone');
    }
  }

  async #liveStream(running: Running): Promise<Stream> {
    if (this.#stream.isOpen) return this.#stream;
    const { state } = this.#transaction;
    if (this.#state !== 'open' || state === 'begun') {
      this.#transaction.clear();
      throw new ConnectionLostError(undefined, state === 'none' ? 'none' : 'undone');
    }
    const ended = new AbortController();
    running.end = () => ended.abort();
    try {
      this.#stream = await this.#open(ended.signal);
    } catch (error) {
      if (running.interrupted) throw interruptedError();
      throw error instanceof OpenError && error.reason === 'unreachable'
        ? new ConnectionLostError(error)
        : error;
    }
    // It may have been closed meanwhile.
    if (ended.signal.aborted) this.#stream.destroy();
    return this.#stream;
  }
}

/** The error of a call whose stream has ended. */
function lost(
  { sent, cause }: StreamLostError,
  { interrupted }: Running,
  { commits }: CallNature,
  outcome: 'none' | 'undone',
): Error {
  if (interrupted && !(sent && commits)) return interruptedError();
  if (sent && commits) return new OutcomeUnknownError(new ConnectionLostError(cause, 'unknown'));
  return new ConnectionLostError(cause, outcome);
}

/** It may have been, meanwhile. */
function wasInterrupted({ interrupted }: Running): boolean {
  return interrupted;
}

function nothing(): void {
  // It waits for nothing yet.
}
