/** What was set for a run, `{ writers: 16, synchronous: 'FULL' }`: variants with the same labels are compared. */
export type Labels = Readonly<Record<string, string | number>>;

/** What one run measured, by name: `{ perSecond: 5000, p99Ms: 1.2 }`. */
export type Sample = Readonly<Record<string, number>>;

/** The median over the rounds and its spread. */
export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: readonly number[];
}

/** Which figure. */
export interface Point {
  readonly labels: Labels;
  readonly variant: string;
  readonly metric: string;
}

/** What one variant measured, by metric; or why it did not. */
export interface Entry {
  readonly labels: Labels;
  readonly variant: string;
  readonly metrics: Readonly<Record<string, Figure>>;
  readonly unavailable?: string;
}

/** What all runs of a benchmark measured. */
export class Figures {
  readonly #entries = new Map<
    string,
    { labels: Labels; variant: string; samples: Sample[]; unavailable?: string }
  >();

  /** Samples are added round by round. */
  add(labels: Labels, variant: string, sample: Sample): void {
    this.#entry(labels, variant).samples.push(sample);
  }

  addUnavailable(labels: Labels, variant: string, reason: string): void {
    this.#entry(labels, variant).unavailable = reason;
  }

  entries(): readonly Entry[] {
    return [...this.#entries.values()].map(({ samples, ...entry }) => ({
      ...entry,
      metrics: Object.fromEntries(
        Object.keys(samples[0] ?? {}).map((metric) => [metric, figure(valuesOf(samples, metric))]),
      ),
    }));
  }

  /** Throws if it was not measured: see {@link find}. */
  at(point: Point): Figure {
    return found(this.find(point), point);
  }

  find(point: Point): Figure | undefined {
    const values = this.#values(point);
    return values && figure(values);
  }

  /** Computed within each round, where the machine was the same to both, and then the median of those. */
  ratio(over: Point, under: Point): Figure {
    const [above, below] = [found(this.#values(over), over), found(this.#values(under), under)];
    const rounds = Math.min(above.length, below.length);
    return figure(above.slice(0, rounds).map((value, round) => value / (below[round] ?? NaN)));
  }

  #entry(labels: Labels, variant: string) {
    const key = keyOf(labels, variant);
    let entry = this.#entries.get(key);
    if (!entry) this.#entries.set(key, (entry = { labels, variant, samples: [] }));
    return entry;
  }

  #values({ labels, variant, metric }: Point): readonly number[] | undefined {
    const samples = this.#entries.get(keyOf(labels, variant))?.samples;
    return samples?.[0]?.[metric] === undefined ? undefined : valuesOf(samples, metric);
  }
}

function valuesOf(samples: readonly Sample[], metric: string): readonly number[] {
  return samples.map((sample) => found(sample[metric], metric));
}

function found<T>(value: T | undefined, what: unknown): T {
  if (value === undefined) throw new Error(`Not measured: ${JSON.stringify(what)}`);
  return value;
}

function keyOf(labels: Labels, variant: string): string {
  return JSON.stringify([Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)), variant]);
}

function figure(rounds: readonly number[]): Figure {
  const sorted = rounds.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1] ?? NaN;
  const high = sorted[Math.floor(middle)] ?? NaN;
  return { median: (low + high) / 2, min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN, rounds };
}
