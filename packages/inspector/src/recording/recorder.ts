import {
  type OperationChannel,
  acquireChannel,
  checkpointChannel,
  closeChannel,
  evictChannel,
  leakChannel,
  openChannel,
  queryChannel,
  releaseChannel,
  slowChannel,
  transactionChannel,
  type PlainChannel,
  type PoolEvent,
} from '@sqlite-pool/core/channels';
import type { PoolRecord } from './pool-record.ts';

/** Listens to the channels, and passes on what concerns its pools. */
export class Recorder {
  readonly #records: ReadonlyMap<object, PoolRecord>;
  readonly #unsubscribes: (() => unknown)[] = [];

  constructor(records: readonly PoolRecord[]) {
    this.#records = new Map(records.map((record) => [record.pool, record]));
    this.#trace(queryChannel, 'start', (record, event) => record.queryBegan(event));
    this.#trace(queryChannel, 'asyncEnd', (record, event) => record.queryEnded(event));
    this.#trace(acquireChannel, 'start', (record, event) => record.acquireBegan(event));
    this.#trace(acquireChannel, 'asyncEnd', (record, event) => record.acquireEnded(event));
    this.#trace(transactionChannel, 'asyncEnd', (record, event) => record.transactionEnded(event));
    this.#trace(openChannel, 'asyncEnd', (record, event) => record.opened(event));
    this.#listen(releaseChannel, (record, event) => record.released(event));
    this.#listen(evictChannel, (record, event) => record.evicted(event));
    this.#listen(leakChannel, (record, event) => record.leaked(event));
    this.#listen(slowChannel, (record, event) => record.wasSlow(event));
    this.#listen(checkpointChannel, (record, event) => record.checkpointed(event));
    this.#listen(closeChannel, (record) => {
      record.closed();
      // Nothing can come any more, and an application may forget close().
      if (records.every(({ isClosed }) => isClosed)) this.close();
    });
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribes.splice(0)) unsubscribe();
  }

  /** Listens to one of the moments of an operation. Node.js does not type the messages of these channels. */
  #trace<Event extends PoolEvent>(
    channel: OperationChannel<Event>,
    moment: 'start' | 'asyncEnd',
    record: (record: PoolRecord, event: Event) => void,
  ): void {
    const source = channel[moment];
    const listener = (event: unknown): void => this.#pass(event as Event, record);
    source.subscribe(listener);
    this.#unsubscribes.push(() => source.unsubscribe(listener));
  }

  #listen<Event extends PoolEvent>(
    source: PlainChannel<Event>,
    record: (record: PoolRecord, event: Event) => void,
  ): void {
    const listener = (event: Event): void => this.#pass(event, record);
    source.subscribe(listener);
    this.#unsubscribes.push(() => source.unsubscribe(listener));
  }

  #pass<Event extends PoolEvent>(event: Event, record: (record: PoolRecord, event: Event) => void): void {
    const own = this.#records.get(event.pool);
    if (own !== undefined) record(own, event);
  }
}
