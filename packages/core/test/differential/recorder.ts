import type { Connection, Driver } from '../../src/index.ts';
import { numbersIn, type ProgramOptions } from './program.ts';

/** A call of the pool to its driver. */
interface DriverCall {
  /** The moment at which the driver was given it. */
  readonly given: number;
  /** The moment at which it began. */
  readonly began: number;
  /** The statements in it, in order. */
  readonly numbers: readonly number[];
}

/** Where a statement stands among all statements that reached SQLite. */
export interface Place {
  readonly given: number;
  readonly began: number;
  readonly within: number;
}

/** A call that waits until all others have ended. */
interface Waiting {
  readonly connection: object | undefined;
  readonly begin: () => void;
  readonly interrupt: () => void;
}

const LOCAL: readonly PropertyKey[] = ['withdraw'];

/** https://www.sqlite.org/rescode.html#interrupt */
const INTERRUPTED = Object.assign(new Error('SQLITE_INTERRUPT: interrupted'), { errno: 9 });

/**
 * A driver around a driver, which writes down which statements reach SQLite, and in which order. Writers write one after the other, so that this is also
 * the order in which they take effect.
 */
export class Recorder {
  readonly #pace: ProgramOptions['pace'];
  readonly #calls: DriverCall[] = [];
  readonly #waiting: Waiting[] = [];
  #due: { readonly at: number; readonly action: () => void }[] = [];
  #moment = 0;
  #busy = false;
  #picks: number;

  constructor(pace: ProgramOptions['pace']) {
    this.#pace = pace;
    this.#picks = pace === 'free' ? 0 : pace;
  }

  /** This moment, which is after all that were asked for before. */
  now(): number {
    this.#moment += 1;
    const isDue = ({ at }: { at: number }): boolean => at <= this.#moment;
    // Not in the middle of a call to the driver.
    for (const { action } of this.#due.filter(isDue)) queueMicrotask(action);
    this.#due = this.#due.filter((each) => !isDue(each));
    return this.#moment;
  }

  /** Does something when so many moments have passed. */
  after(moments: number, action: () => void): void {
    this.#due.push({ at: this.#moment + moments, action });
  }

  /** Where a statement was given to SQLite, each time. */
  placesOf(number: number): Place[] {
    return this.#calls.flatMap(({ numbers, ...call }) =>
      numbers.includes(number) ? [{ ...call, within: numbers.indexOf(number) }] : [],
    );
  }

  around(driver: Driver): Driver {
    // On a worker driver these answer at once, and are no calls to SQLite.
    const local = driver.name === 'sqlite3' ? LOCAL : [...LOCAL, 'inTransaction'];
    const open = async (): Promise<Connection> =>
      this.#record(await this.#call(undefined, [], () => driver.open()), local);
    return { ...driver, open };
  }

  #record(connection: Connection, local: readonly PropertyKey[]): Connection {
    return new Proxy(connection, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (local.includes(name)) return value.bind(target) as unknown;
        return (...args: unknown[]): unknown => {
          const call = (): unknown => Reflect.apply(value, target, args) as unknown;
          if (name === 'interrupt') return this.#interrupt(connection, call);
          if (name !== 'iterate') return this.#call(connection, args, call as () => Promise<unknown>);
          this.#note(args, this.now());
          return this.#stepping(connection, call() as AsyncIterator<unknown>);
        };
      },
    });
  }

  #stepping(connection: Connection, rows: AsyncIterator<unknown>): AsyncIterator<unknown> {
    const end = async (): Promise<IteratorResult<unknown>> =>
      (await rows.return?.()) ?? { done: true, value: undefined };
    return {
      // Rows of which a step has failed have ended.
      next: () =>
        this.#call(connection, [], () => rows.next()).catch(async (error: unknown) => {
          await end();
          throw error;
        }),
      // It is not for an interrupt to stop.
      return: () => this.#call(undefined, [], end),
    };
  }

  #note(args: readonly unknown[], given: number): void {
    this.#calls.push({ given, began: this.now(), numbers: numbersIn(args) });
  }

  /** @param connection - Whose interrupt ends the wait of the call. */
  async #call<T>(
    connection: object | undefined,
    args: readonly unknown[],
    start: () => Promise<T>,
  ): Promise<T> {
    const given = this.now();
    if (this.#pace !== 'free') await this.#takePlace(connection);
    this.#note(args, given);
    try {
      return await start();
    } finally {
      this.now();
      this.#busy = false;
      this.#next();
    }
  }

  #takePlace(connection: object | undefined): Promise<void> {
    return new Promise((begin, fail) => {
      const interrupt = (): void => {
        fail(INTERRUPTED);
      };
      this.#waiting.push({ connection, begin, interrupt });
      this.#next();
    });
  }

  /** Lets one of the waiting calls begin, when all that can happen without it has happened. */
  #next(): void {
    if (this.#busy || this.#waiting.length === 0) return;
    this.#busy = true;
    setImmediate(() => {
      setImmediate(() => {
        this.#picks = (Math.imul(this.#picks, 1_103_515_245) + (this.#picks === 0 ? 0 : 12_345)) >>> 0;
        const [call] = this.#waiting.splice((this.#picks >>> 8) % Math.max(1, this.#waiting.length), 1);
        if (call === undefined) this.#busy = false;
        else call.begin();
      });
    });
  }

  /** A call that waits is over at once; one that runs hears of it from its driver. */
  #interrupt(connection: Connection, call: () => unknown): unknown {
    const at = this.#waiting.findIndex((waiting) => waiting.connection === connection);
    if (at !== -1) this.#waiting.splice(at, 1)[0]?.interrupt();
    return call();
  }
}
