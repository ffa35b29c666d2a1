import type { Lease, QueryOptions, Queryable, SqlitePool } from '../../src/index.ts';
import { numbersOf, type Call, type Leased, type Numbers, type Op, type Program } from './program.ts';
import type { Recorder } from './recorder.ts';
import { ABORTED, User, type Outcome } from './users.ts';

/** What somebody did, and what came of it. */
export interface Action {
  /** `release`: a lease has ended. */
  readonly op: Call | 'release';
  /** Whose connection it was on: that of a lease, or any of the pool's. */
  readonly session: string;
  /** Whether a transaction was open that its user has begun by hand. */
  readonly inside: boolean;
  readonly invoked: number;
  readonly settled: number;
  readonly outcome: Outcome;
}

export const POOL = 'the pool';

/** Does a program on pools, all callers at the same time, and writes down what came of it. */
export class History {
  readonly actions: Action[] = [];
  readonly numbers: Numbers;
  readonly #pools: readonly SqlitePool[];
  readonly #recorder: Recorder;
  readonly #user: User;
  #leases = 0;

  constructor(program: Program, pools: readonly SqlitePool[], recorder: Recorder) {
    this.numbers = numbersOf(program);
    this.#pools = pools;
    this.#recorder = recorder;
    this.#user = new User(this.numbers);
  }

  async run({ callers }: Program): Promise<void> {
    await Promise.all(
      callers.map(async (ops) => {
        for (const op of ops) await this.#do(op);
      }),
    );
  }

  async #do(op: Op): Promise<void> {
    if (op.do === 'together') {
      await Promise.all(op.ops.map((each) => this.#do(each)));
      return;
    }
    const pool = this.#pools[op.pool ?? 0] ?? this.#pools[0]!;
    if (op.do === 'evict') pool.evict();
    else if (op.do === 'checkpoint') await pool.checkpoint();
    else if (op.do === 'lease') await this.#lease(op, pool);
    else await this.#act(op, pool, POOL, false);
  }

  async #lease(op: Leased, pool: SqlitePool): Promise<void> {
    this.#leases += 1;
    const session = `lease ${String(this.#leases)}`;
    const lease: Lease = await pool.acquire();
    let inside = false;
    for (const step of op.steps) {
      const calls = (step.do === 'together' ? step.ops : [step]) as readonly Call[];
      const outcomes = await Promise.all(calls.map((call) => this.#act(call, lease, session, inside)));
      calls.forEach((call, at) => {
        if (outcomes[at]?.error === undefined) inside = insideAfter(call, inside);
      });
    }
    await lease[op.end]();
    const now = this.#recorder.now();
    this.actions.push({ op: 'release', session, inside, invoked: now, settled: now, outcome: {} });
  }

  async #act(op: Call, db: Queryable, session: string, inside: boolean): Promise<Outcome> {
    const invoked = this.#recorder.now();
    const outcome = await this.#user.perform(op, db, this.#limits(op));
    this.actions.push({ op, session, inside, invoked, settled: this.#recorder.now(), outcome });
    return outcome;
  }

  #limits({ abortAfter, timeoutMs }: Call): QueryOptions {
    const limits = timeoutMs === undefined ? {} : { timeoutMs };
    if (abortAfter === undefined) return limits;
    const controller = new AbortController();
    this.#recorder.after(abortAfter, () => {
      controller.abort(ABORTED);
    });
    return { ...limits, signal: controller.signal };
  }
}

function insideAfter(call: Call, inside: boolean): boolean {
  if (!('sql' in call)) return inside;
  if (/^BEGIN\b/.test(call.sql)) return true;
  return /^(?:COMMIT|ROLLBACK)\b(?!.* TO )/.test(call.sql) ? false : inside;
}
