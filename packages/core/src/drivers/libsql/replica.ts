import { systemClock } from '../../waiting/deadline.ts';
import { fenceIn, lookAtFence, type Demand, type Fence } from './replica-fence.ts';
import {
  batchIn,
  statementIn,
  type Answer,
  type OpenStream,
  type StatementResult,
  type Step,
  type Stream,
  type StreamRequest,
} from './protocol.ts';

/** Before a replica that has not come far enough is asked again, in milliseconds. */
const DISTRUST_MS = 250;

/** What the readers of one driver share. */
export interface ReplicaSettings {
  readonly fence: Fence;
  /** Opens a stream to each of the replicas. */
  readonly replicas: readonly OpenStream[];
  /** How long a replica is waited for, in milliseconds. */
  readonly waitMs: number;
}

/** Reads of one connection at a replica, on a stream of its own. Whatever goes wrong, the primary is there. */
export class ReplicaReader {
  readonly #settings: ReplicaSettings;
  #replica: number;
  #stream: Stream | undefined;
  /** The fence that the stream was opened for, and whether it has been seen there. */
  #epoch = -1;
  #isTrusted = false;
  #isBusy = false;
  #notBefore = 0;
  #state: 'open' | 'closed' = 'open';

  /** @param first - The number of the replica it begins with: not all connections should read at the same. */
  constructor(settings: ReplicaSettings, first: number) {
    this.#settings = settings;
    this.#replica = first % settings.replicas.length;
  }

  /** The result of the last of some steps that only read; `undefined` where no replica has it, in time or at all. */
  async read(steps: readonly Step[]): Promise<StatementResult | undefined> {
    const { fence, waitMs } = this.#settings;
    const { demand } = fence;
    if (demand === undefined) return undefined;
    // A stream that was opened before cannot be trusted: its replica may read what is left of an old database.
    if (this.#epoch !== demand.epoch) this.#drop();
    if (this.#isBusy || systemClock.now() < this.#notBefore) return undefined;
    this.#isBusy = true;
    let cancel: (() => void) | undefined;
    const late = new Promise<undefined>((done) => {
      cancel = systemClock.schedule(() => done(undefined), waitMs);
    });
    const reading = this.#read(steps, demand).finally(() => (this.#isBusy = false));
    const result = await Promise.race([reading, late]);
    cancel?.();
    fence.answered(result !== undefined);
    return result;
  }

  /** Ends a read that is under way. */
  destroy(): void {
    this.#stream?.destroy();
  }

  close(): void {
    this.#state = 'closed';
    this.#drop();
  }

  async #read(steps: readonly Step[], demand: Demand): Promise<StatementResult | undefined> {
    const { epoch, position } = demand;
    try {
      const stream = this.#stream?.isOpen === true ? this.#stream : await this.#open(epoch);
      if (stream === undefined) return undefined;
      const look = this.#isTrusted ? [] : [lookAtFence(demand)];
      const answers = await stream.send([...look, readOf(steps, position)]);
      if (!this.#isTrusted && fenceIn(answers[0]) !== epoch) {
        this.#drop();
        this.#notBefore = systemClock.now() + DISTRUST_MS;
        return undefined;
      }
      this.#isTrusted = stream.isSticky;
      // What was read once is not unread at another replica.
      this.#settings.fence.note(stream.position ?? 0);
      return resultOf(answers.at(-1));
    } catch {
      this.#drop();
      this.#replica = (this.#replica + 1) % this.#settings.replicas.length;
      return undefined;
    }
  }

  async #open(epoch: number): Promise<Stream | undefined> {
    this.#isTrusted = false;
    this.#epoch = epoch;
    const stream = await this.#settings.replicas[this.#replica]?.();
    if (this.#state === 'open' && this.#epoch === epoch) this.#stream = stream;
    else stream?.destroy();
    return this.#stream;
  }

  #drop(): void {
    this.#stream?.destroy();
    this.#stream = undefined;
    this.#epoch = -1;
    this.#isTrusted = false;
  }
}

/** It is sent where the log has come so far, and without any limit: the caller has one. */
function readOf(steps: readonly Step[], position: number): StreamRequest {
  const replication_index = String(position);
  const [first] = steps;
  return first !== undefined && steps.length === 1
    ? { type: 'execute', stmt: first.stmt, replication_index }
    : { type: 'batch', batch: { steps, replication_index } };
}

/** An error is one too: the primary says it, or says something else. */
function resultOf(answer: Answer | undefined): StatementResult | undefined {
  return statementIn(answer) ?? batchIn(answer)?.step_results.at(-1) ?? undefined;
}
