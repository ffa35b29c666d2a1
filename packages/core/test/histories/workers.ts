import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { noteComplaint, noteDeath } from './log.ts';

/** How long a process may take to end after the message to end, in milliseconds. */
const LONGEST_END_MS = 30_000;

/** The task of a process of a history. */
export interface WorkerSettings {
  readonly filename: string;
  readonly log: string;
  /** Its number, from 1, never used again in the same log. */
  readonly process: number;
  readonly seed: number;
  readonly deferred: boolean;
  /** A directory that is kept from one process to the next, for what they have compiled. */
  readonly cache: string;
}

/** One process of a history. Its death is noted in the log. */
export class Worker {
  /** Resolves when it has its pools, and begins. */
  readonly ready: Promise<unknown>;
  /** Resolves when it is dead. */
  readonly dead: Promise<void>;
  readonly #settings: WorkerSettings;
  readonly #child: ChildProcess;
  #errors = '';
  #fate: 'none' | 'told to end' | 'killed' = 'none';

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
    const script = join(import.meta.dirname, 'children', 'worker.ts');
    this.#child = spawn(process.execPath, [script, JSON.stringify(settings)], {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      env: { ...process.env, NODE_COMPILE_CACHE: settings.cache },
    });
    this.#child.stderr?.on('data', (data: Buffer) => (this.#errors += data.toString()));
    this.ready = new Promise((resolve) => this.#child.once('message', resolve));
    this.dead = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        this.#buried(code ?? signal);
        resolve();
      });
    });
  }

  get isDead(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#fate = 'killed';
    this.#child.kill('SIGKILL');
    await this.dead;
  }

  /** Has it do nothing new, and close its pools. */
  async end(): Promise<void> {
    if (this.#fate === 'none') {
      this.#fate = 'told to end';
      this.#child.send('end', () => undefined);
    }
    const timer = new AbortController();
    const tooLong = wait(LONGEST_END_MS, true, { signal: timer.signal }).catch(() => false);
    if ((await Promise.race([this.dead, tooLong])) === true) {
      this.#complain(`has not ended ${String(LONGEST_END_MS)} ms after it was told to`);
      await this.kill();
    }
    timer.abort();
  }

  #buried(how: number | string | null): void {
    const { log, process } = this.#settings;
    noteDeath(log, process);
    if (this.#fate === 'none' || (this.#fate === 'told to end' && how !== 0))
      this.#complain(`ended by itself, with ${String(how)}: ${this.#errors}`);
  }

  #complain(what: string): void {
    noteComplaint(this.#settings.log, `Process ${String(this.#settings.process)} ${what}`);
  }
}
