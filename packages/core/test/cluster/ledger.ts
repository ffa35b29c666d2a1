import { expect } from 'vitest';
import { OutcomeUnknownError, type SqlitePool } from '../../src/index.ts';

const ACCOUNTS = 10;
const SUM = 1000;

/** What a program knows of its writes: `yes` was acknowledged, `no` must not be there, `unknown` may be either. */
type Verdict = 'yes' | 'no' | 'unknown';

/**
 * Writers and readers that go on whatever happens to the server, and an account of how each call ended. Single writes insert a key;
 * transfers move money between two accounts and insert a key; readers add all accounts up.
 */
export class Ledger {
  readonly #pool: SqlitePool;
  readonly #verdicts = new Map<string, Verdict>();
  readonly #tornReads: unknown[] = [];
  readonly codes: Map<string, number> = new Map<string, number>();
  longestMs: number = 0;
  /** When a write was acknowledged last. */
  acknowledgedAt = 0;
  reads = 0;
  #keys = 0;
  #state: 'running' | 'stopped' = 'running';

  constructor(pool: SqlitePool) {
    this.#pool = pool;
  }

  get acknowledged(): number {
    return [...this.#verdicts.values()].filter((verdict) => verdict === 'yes').length;
  }

  async create(): Promise<void> {
    await this.#pool.script(
      'CREATE TABLE entries (key TEXT PRIMARY KEY); CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)',
    );
    for (let id = 0; id < ACCOUNTS; id += 1)
      await this.#pool.run('INSERT INTO accounts VALUES (?, ?)', [id, SUM / ACCOUNTS]);
  }

  /** Runs two writers of each kind and three readers while `work` is under way. */
  async during(work: () => Promise<void>): Promise<void> {
    this.#state = 'running';
    const loops = [
      ...[1, 2].map(() => this.#loop(() => this.#write((key) => this.#insert(key)))),
      ...[1, 2].map(() => this.#loop(() => this.#write((key) => this.#transfer(key)))),
      ...[1, 2, 3].map(() => this.#loop(() => this.#read())),
    ];
    try {
      await work();
    } finally {
      this.#state = 'stopped';
      await Promise.all(loops);
    }
  }

  /** Compares what is there with what was said. */
  async check(pool: SqlitePool = this.#pool): Promise<void> {
    const rows = await pool.all<{ key: string }>('SELECT key FROM entries');
    const there = new Set(rows.map(({ key }) => key));
    const wrong = [...this.#verdicts].filter(([key, verdict]) => verdict === (there.has(key) ? 'no' : 'yes'));
    expect(wrong).toEqual([]);
    expect(this.#tornReads).toEqual([]);
    expect(await pool.get('SELECT sum(balance) AS sum FROM accounts')).toEqual({ sum: SUM });
  }

  async #loop(step: () => Promise<void>): Promise<void> {
    while (this.#state === 'running') {
      const began = performance.now();
      await step();
      this.longestMs = Math.max(this.longestMs, performance.now() - began);
      await new Promise((done) => setTimeout(done, 5));
    }
  }

  async #write(run: (key: string) => Promise<unknown>): Promise<void> {
    const key = `k${String((this.#keys += 1))}`;
    try {
      await run(key);
      this.#verdicts.set(key, 'yes');
      this.acknowledgedAt = performance.now();
    } catch (error) {
      this.#note(error);
      this.#verdicts.set(key, error instanceof OutcomeUnknownError ? 'unknown' : 'no');
    }
  }

  #insert(key: string): Promise<unknown> {
    return this.#pool.run('INSERT INTO entries VALUES (?)', [key]);
  }

  #transfer(key: string): Promise<unknown> {
    const [from, to] = [Math.floor(Math.random() * ACCOUNTS), Math.floor(Math.random() * ACCOUNTS)];
    return this.#pool.transaction(async (tx) => {
      await tx.run('UPDATE accounts SET balance = balance - 1 WHERE id = ?', [from]);
      await tx.run('UPDATE accounts SET balance = balance + 1 WHERE id = ?', [to]);
      await tx.run('INSERT INTO entries VALUES (?)', [key]);
    });
  }

  async #read(): Promise<void> {
    try {
      const row = await this.#pool.get('SELECT sum(balance) AS sum FROM accounts');
      this.reads += 1;
      if (row?.['sum'] !== SUM) this.#tornReads.push(row);
    } catch (error) {
      this.#note(error);
    }
  }

  #note(error: unknown): void {
    const { code } = error as { code: string };
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
  }
}
