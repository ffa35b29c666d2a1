import { cyclesOf, graphOf, type Cycle, type Edge } from './graph.ts';
import { nameOf, showValue, type History, type Transaction } from './history.ts';
import { show, versionsOf, type Anomaly } from './versions.ts';

export type { Anomaly } from './versions.ts';

/**
 * Whether a history can be explained: as one order of its transactions in which each saw what the ones before it had done, and
 * which agrees with real time (strict serializability). All that was acknowledged is in it, and nothing that failed; what nobody can
 * say may be, but whole. A transaction that failed must have read a committed state too.
 *
 * It works as Elle does (https://arxiv.org/abs/2003.10554): what a list holds tells in which order its values were appended, and so
 * which transaction came before which; a cycle in that is what cannot be.
 */
export function check(history: History): Anomaly[] {
  const versions = versionsOf(history);
  const cycles = cyclesOf(graphOf(history.transactions, versions));
  return [
    ...history.complaints.map((words) => ({ kind: 'complaint', words })),
    ...versions.anomalies,
    ...cycles.map((cycle) => ({ kind: cycle.kind, words: inWords(cycle, history.transactions) })),
  ];
}

function inWords({ edges }: Cycle, transactions: readonly Transaction[]): string {
  const lines: string[] = [];
  let from: Transaction | undefined;
  for (const edge of edges) {
    // A way through moments of time, from the transaction that ended to the one that began.
    from ??= transactions[edge.from]!;
    const to = transactions[edge.to];
    if (to === undefined) continue;
    lines.push(`  ${show(from)} comes before ${show(to)}: ${reasonOf(edge, from, to)}`);
    from = undefined;
  }
  return `Each of these must come before the next, and the last before the first:\n${lines.join('\n')}`;
}

function reasonOf({ kind, list, value }: Edge, from: Transaction, to: Transaction): string {
  const [a, b] = [nameOf(from.id), nameOf(to.id)];
  if (kind === 'time') return `${a} had ended before ${b} began (time)`;
  const shown = showValue(value!);
  if (kind === 'ww')
    return `${b} appended ${shown} to list ${list!} right behind what ${a} had appended (ww)`;
  if (kind === 'wr') return `${b} read list ${list!} up to ${shown}, which ${a} appended (wr)`;
  return `${a} read list ${list!} without ${shown}, which ${b} appended next (rw)`;
}
