import type { SecondState } from '../state.ts';
import { Chart } from './chart.ts';
import { byId } from './dom.ts';
import { count, counted, duration, rate, timeOf } from './format.ts';

const KEPT = 300;

/** The seconds that the page has, and their two charts. */
export class History {
  #seconds: SecondState[] = [];
  readonly #throughput: Chart;
  readonly #latency: Chart;

  constructor() {
    const at = (second: number): string => timeOf(second * 1000);
    this.#throughput = new Chart(
      byId('throughput'),
      [
        { name: 'calls', kind: 'first', isArea: true },
        { name: 'errors', kind: 'error' },
      ],
      rate,
      ({ at: second, values: [calls, errors] }) =>
        `${at(second)}: ${counted(Number(calls), 'call')}${typeof errors !== 'number' ? '' : `, ${counted(errors, 'error')}`}`,
    );
    this.#latency = new Chart(
      byId('durations'),
      [
        { name: 'p95', kind: 'second' },
        { name: 'p50', kind: 'first' },
      ],
      duration,
      ({ at: second, values: [p95, p50] }) =>
        typeof p95 !== 'number' || typeof p50 !== 'number'
          ? `${at(second)}: ${count(0)} calls`
          : `${at(second)}: p50 ${duration(p50)}, p95 ${duration(p95)}`,
    );
  }

  /** The last second that is over. */
  get last(): number {
    return this.#seconds.at(-1)?.[0] ?? 0;
  }

  clear(): void {
    this.#seconds = [];
  }

  /** `seconds` are those after `last`; the newest one has only begun, and is left out. */
  add(seconds: readonly SecondState[]): void {
    this.#seconds = [...this.#seconds, ...seconds.slice(0, -1)].slice(-KEPT);
    this.#throughput.draw(
      this.#seconds.map(([at, calls, errors]) => ({ at, values: [calls, errors === 0 ? null : errors] })),
      this.last,
    );
    this.#latency.draw(
      this.#seconds.map(([at, calls, , p50, p95]) => ({
        at,
        values: calls === 0 ? [null, null] : [p95, p50],
      })),
      this.last,
    );
  }
}
