import type { Step, WireStatement } from './protocol.ts';
import { INSIDE, plainStep, stepsOf } from './steps.ts';

/**
 * Where the transaction of a connection stands. `pending`: its BEGIN is sent together with its first statement, which saves a round
 * trip, and the time that the server gives it begins later.
 */
export class ServerTransaction {
  state: 'none' | 'pending' | 'begun' = 'none';
  /** The text it begins with, while it is pending. */
  begin = '';
  /** Whether it took the lock to write when it began. */
  locks = false;

  /** A transaction is to begin with the next statement. */
  postpone(begin: string, locks: boolean): void {
    this.state = 'pending';
    this.begin = begin;
    this.locks = locks;
  }

  /** Its BEGIN was done, whatever has come after it. */
  began(): void {
    if (this.state === 'pending') this.state = 'begun';
  }

  /** Nothing is open. */
  clear(): void {
    this.state = 'none';
    this.locks = false;
  }

  /** What the server says after a call. A BEGIN that failed stays pending. */
  note(isAutocommit: boolean): void {
    if (!isAutocommit) this.state = 'begun';
    else if (this.state === 'begun') this.clear();
  }

  /** The statement as the last of some steps. */
  stepsOf(stmt: WireStatement): Step[] {
    switch (this.state) {
      case 'none':
        return stepsOf(stmt);
      case 'pending':
        return [plainStep(this.begin), ...stepsOf(stmt, { type: 'ok', step: 0 }, 1)];
      case 'begun':
        return stepsOf(stmt, INSIDE);
    }
  }
}
