import { authorOf, type Transaction } from './history.ts';
import type { Versions } from './versions.ts';

/**
 * Why one transaction must come before another: `ww` appended what the other appended next to, `wr` appended what the other read
 * last, `rw` read the state that the other appended to, `time` had ended before the other began.
 */
type Dependency = 'ww' | 'wr' | 'rw' | 'time';

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly kind: Dependency;
  readonly list?: string;
  /** What was appended by the writer at its end; by the second one of two. */
  readonly value?: number;
}

/**
 * Which transaction must come before which. The nodes are the transactions, by their place, and moments of time after them: a
 * transaction that ends points to a moment, each moment to the next, and that to the transactions that begin after it, so that there
 * are no more edges than events.
 */
export interface Graph {
  readonly transactions: readonly Transaction[];
  readonly edges: readonly (readonly Edge[])[];
}

export function graphOf(transactions: readonly Transaction[], { orders, views }: Versions): Graph {
  const edges: Edge[][] = transactions.map(() => []);
  const place = new Map(transactions.map(({ id }, at) => [id, at]));
  const link = (kind: Dependency, from: number | undefined, to: number | undefined, rest: object): void => {
    if (from !== undefined && to !== undefined && from !== to) edges[from]!.push({ kind, from, to, ...rest });
  };
  const writer = (value: number | undefined): number | undefined =>
    value === undefined ? undefined : place.get(authorOf(value));
  for (const [list, order] of orders)
    for (const [at, value] of order.entries())
      link('ww', writer(order[at - 1]), writer(value), { list, value });
  for (const { reader, list, saw } of views) {
    const [last, next] = [saw.at(-1), orders.get(list)?.[saw.length]];
    link('wr', writer(last), place.get(reader.id), { list, value: last });
    link('rw', place.get(reader.id), writer(next), { list, value: next });
  }
  linkTime(transactions, edges);
  return { transactions, edges };
}

function linkTime(transactions: readonly Transaction[], edges: Edge[][]): void {
  const events = transactions
    .flatMap(({ begin, end }, at) => [
      { at, when: begin, ends: false },
      { at, when: end, ends: true },
    ])
    .filter(({ when }) => when < Infinity)
    .sort((a, b) => a.when - b.when);
  let moment: number | undefined;
  for (const { at, ends } of events) {
    if (ends) {
      const next = edges.length;
      edges.push([]);
      edges[at]!.push({ kind: 'time', from: at, to: next });
      if (moment !== undefined) edges[moment]!.push({ kind: 'time', from: moment, to: next });
      moment = next;
    } else if (moment !== undefined) edges[moment]!.push({ kind: 'time', from: moment, to: at });
  }
}

/** Kinds of cycles (Adya, https://pmg.csail.mit.edu/papers/icde00.pdf), from the worst. */
const PHENOMENA = [
  { name: 'G0 (dirty write)', closing: 'ww', along: ['ww'] },
  { name: 'G1c (circular information flow)', closing: 'wr', along: ['ww', 'wr'] },
  { name: 'G-single (read skew)', closing: 'rw', along: ['ww', 'wr'] },
  { name: 'G2 (anti-dependency cycle)', closing: 'rw', along: ['ww', 'wr', 'rw'] },
] as const satisfies readonly { name: string; closing: Dependency; along: readonly Dependency[] }[];

/** Most edges of one kind that a shortest cycle is looked for through, in one component. */
const MOST_CLOSING = 200;

export interface Cycle {
  readonly kind: string;
  readonly edges: readonly Edge[];
}

/** The worst cycles of a graph, a short one for each part of it; those that need no `time` are worse than all others. */
export function cyclesOf(graph: Graph): Cycle[] {
  if (components(graph, ['ww', 'wr', 'rw', 'time']).length === 0) return [];
  for (const time of [[], ['time']] as const) {
    for (const { name, closing, along } of PHENOMENA) {
      const kinds: readonly Dependency[] = [...along, ...time];
      const found = components(graph, [...kinds, closing])
        .map((component) => shortest(graph, component, closing, kinds))
        .filter((edges) => edges !== undefined);
      if (found.length > 0)
        return found.map((edges) => ({
          kind: named(name, edges) + (time.length > 0 ? ', in real time' : ''),
          edges,
        }));
    }
  }
  throw new Error('A component without a cycle: this cannot be.');
}

/** Two that read the same state of a list, and both appended to it. */
function named(name: string, edges: readonly Edge[]): string {
  const isLost =
    edges.length === 2 &&
    edges.some(({ kind }) => kind === 'ww') &&
    edges.some(({ kind }) => kind === 'rw') &&
    edges[0]!.list === edges[1]!.list;
  return isLost ? 'lost update (G-single)' : name;
}

function shortest(
  { transactions, edges }: Graph,
  component: ReadonlySet<number>,
  closing: Dependency,
  along: readonly Dependency[],
): Edge[] | undefined {
  const candidates = [...component].flatMap((node) =>
    edges[node]!.filter(({ kind, to }) => kind === closing && component.has(to)),
  );
  if (along.includes('time')) {
    const back = candidates.find(({ from, to }) => transactions[to]!.end < transactions[from]!.begin);
    if (back !== undefined) return [back, { kind: 'time', from: back.to, to: back.from }];
  }
  let best: Edge[] | undefined;
  for (const edge of candidates.slice(0, MOST_CLOSING)) {
    const path = pathOf(edges, component, edge.to, edge.from, along);
    if (path !== undefined && (best === undefined || path.length + 1 < best.length)) best = [edge, ...path];
  }
  return best;
}

/** The shortest way from one node to another one inside a component. */
function pathOf(
  edges: Graph['edges'],
  component: ReadonlySet<number>,
  from: number,
  to: number,
  along: readonly Dependency[],
): Edge[] | undefined {
  const cameBy = new Map<number, Edge>();
  const queue = [from];
  for (const node of queue) {
    for (const edge of edges[node]!) {
      if (!along.includes(edge.kind) || !component.has(edge.to) || cameBy.has(edge.to)) continue;
      cameBy.set(edge.to, edge);
      if (edge.to === to) return backFrom(to, from, cameBy);
      queue.push(edge.to);
    }
  }
  return undefined;
}

function backFrom(to: number, from: number, cameBy: ReadonlyMap<number, Edge>): Edge[] {
  const path: Edge[] = [];
  for (let node = to; node !== from || path.length === 0;) {
    const edge = cameBy.get(node)!;
    path.unshift(edge);
    node = edge.from;
  }
  return path;
}

/** The strongly connected components of more than one node (Tarjan), without recursion: they can be as deep as a history is long. */
function components({ edges }: Graph, kinds: readonly Dependency[]): Set<number>[] {
  const index = new Int32Array(edges.length).fill(-1);
  const low = new Int32Array(edges.length);
  const onStack = new Uint8Array(edges.length);
  const stack: number[] = [];
  const found: Set<number>[] = [];
  let counter = 0;
  const enter = (node: number): { node: number; next: number } => {
    index[node] = low[node] = counter++;
    stack.push(node);
    onStack[node] = 1;
    return { node, next: 0 };
  };
  for (let root = 0; root < edges.length; root += 1) {
    if (index[root] !== -1) continue;
    const path = [enter(root)];
    for (let frame = path.at(-1); frame !== undefined; frame = path.at(-1)) {
      const { node } = frame;
      const edge = edges[node]![frame.next++];
      if (edge === undefined) {
        path.pop();
        const parent = path.at(-1)?.node;
        if (parent !== undefined) low[parent] = Math.min(low[parent]!, low[node]!);
        if (low[node] !== index[node]) continue;
        const component = stack.splice(stack.lastIndexOf(node));
        for (const member of component) onStack[member] = 0;
        if (component.length > 1) found.push(new Set(component));
      } else if (kinds.includes(edge.kind)) {
        if (index[edge.to] === -1) path.push(enter(edge.to));
        else if (onStack[edge.to] === 1) low[node] = Math.min(low[node]!, index[edge.to]!);
      }
    }
  }
  return found;
}
