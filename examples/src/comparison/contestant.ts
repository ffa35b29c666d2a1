import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';

import { machineTime } from './machine-time.ts';
import { OWN_HEADER } from './own-header.ts';
import type { Beat, ContestantState, Way } from './state.ts';
import type { StatementName } from './statements.ts';

/** One read each so many milliseconds, whether or not the one before it is answered: as users do. */
const READ_EVERY_MS = 10;
/** More than these are not under way at once, should a contestant not answer at all. */
const MOST_READS = 100;
const READS_WINDOW_MS = 5_000;
const BEATS_WINDOW_MS = 10_000;
const WRITERS = 64;
const USERS = 60;

const program = fileURLToPath(new URL('./child.ts', import.meta.url));

interface Ready {
  readonly port: number;
  readonly driver: string;
}

/** A contestant, seen from outside: its process, the load on it, and what came of it. */
export class Contestant {
  readonly #way: Way;
  readonly #child: ChildProcess;
  readonly #ready: Ready;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #exit: Promise<unknown>;
  readonly #beats: Beat[] = [];
  readonly #reads: { readonly at: number; readonly ms: number }[] = [];
  readonly #load: NodeJS.Timeout;
  #count = 0;
  #underWay = 0;
  #busy = 0;
  #failed = 0;
  #query: ContestantState['query'] = null;
  #writers: ContestantState['writers'] = null;

  /** Resolves when its server listens, and the load on it has begun. */
  static async start(way: Way, file: string): Promise<Contestant> {
    const child = fork(program, [way, file], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const exit = once(child, 'exit').then(([status]) => {
      throw new Error(`The contestant "${way}" ended with the status ${String(status)}.`);
    });
    const [ready] = (await Promise.race([once(child, 'message'), exit])) as [Ready];
    exit.catch(() => undefined);
    return new Contestant(way, child, ready);
  }

  private constructor(way: Way, child: ChildProcess, ready: Ready) {
    this.#way = way;
    this.#child = child;
    this.#ready = ready;
    this.#exit = once(child, 'exit');
    child.on('message', (beat: Beat) => this.#beat(beat));
    this.#load = setInterval(() => void this.#read(), READ_EVERY_MS);
  }

  get running(): boolean {
    return this.#child.connected;
  }

  /** Resolves to the milliseconds until the answer. */
  async query(rows: number): Promise<number> {
    const start = machineTime();
    const { ms } = await this.#ask('query', rows);
    await this.#beatAfter(machineTime());
    this.#query = { ms, stopMs: longestStop(this.#beats.filter(({ at }) => at > start)) };
    return ms;
  }

  /** Many clients write one row each, at once. */
  async writers(): Promise<void> {
    const start = machineTime();
    const answers = await Promise.all(
      Array.from({ length: WRITERS }, (_, index) => this.#ask('write', 1 + (index % USERS))),
    );
    const count = (wanted: number): number => answers.filter(({ status }) => status === wanted).length;
    this.#writers = { written: count(200), busy: count(503), ms: machineTime() - start };
  }

  /** @param since The beats after this moment are in the answer; without it, those of the last two seconds. */
  state(since?: number): ContestantState {
    const now = machineTime();
    const from = since ?? now - 2_000;
    return {
      way: this.#way,
      driver: this.#ready.driver,
      clock: {
        count: this.#count,
        beats: this.#beats.filter(({ at }) => at > from),
        longestStopMs: longestStop(this.#beats),
      },
      reads: this.#readFigures(now),
      busy: this.#busy,
      failed: this.#failed,
      query: this.#query,
      writers: this.#writers,
    };
  }

  /** Ends the load and the process. */
  async stop(): Promise<void> {
    clearInterval(this.#load);
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await this.#exit;
    }
    this.#agent.destroy();
  }

  #beat(beat: Beat): void {
    this.#count += 1;
    this.#beats.push(beat);
    while ((this.#beats[0] ?? beat).at < beat.at - BEATS_WINDOW_MS) this.#beats.shift();
  }

  /** The beat that ends a stop comes after the answer to the request that made it. */
  async #beatAfter(moment: number): Promise<void> {
    while (this.running && (this.#beats.at(-1)?.at ?? 0) < moment)
      await Promise.race([once(this.#child, 'message'), this.#exit]);
  }

  async #read(): Promise<void> {
    if (this.#underWay >= MOST_READS) return;
    this.#underWay += 1;
    const { status, ms } = await this.#ask('read', 1 + Math.floor(Math.random() * USERS));
    this.#underWay -= 1;
    const at = machineTime();
    if (status === 200) this.#reads.push({ at, ms });
    while ((this.#reads[0]?.at ?? at) < at - READS_WINDOW_MS) this.#reads.shift();
  }

  #readFigures(now: number): ContestantState['reads'] {
    const recent = this.#reads.filter(({ at }) => at > now - READS_WINDOW_MS);
    const sorted = recent.map(({ ms }) => ms).sort((a, b) => a - b);
    const quantile = (part: number): number => sorted[Math.ceil(sorted.length * part) - 1] ?? 0;
    const perSecond = recent.filter(({ at }) => at > now - 1_000).length;
    return sorted.length === 0 ? null : { perSecond, p50: quantile(0.5), p99: quantile(0.99) };
  }

  /** The status is 0 if there was no answer: the contestant has ended. */
  async #ask(name: StatementName, value: number): Promise<{ status: number; ms: number }> {
    const start = machineTime();
    const status = await new Promise<number>((resolve) => {
      const path = `/${name}/${value}`;
      const headers = { [OWN_HEADER]: '1' };
      const options = { host: '127.0.0.1', port: this.#ready.port, path, headers, agent: this.#agent };
      request(options, (response) => {
        response.resume().once('close', () => resolve(response.statusCode ?? 0));
      })
        .once('error', () => resolve(0))
        .end();
    });
    if (status === 503) this.#busy += 1;
    else if (status !== 200) this.#failed += 1;
    return { status, ms: machineTime() - start };
  }
}

/** Only what the thread did itself counts: on a busy machine, it stops for others too. */
function longestStop(beats: readonly Beat[]): number {
  return Math.max(0, ...beats.map(({ busyMs }) => busyMs));
}
