/**
 * The metrics of pools, for `prom-client`: see docs/sight.md. Needs `prom-client`.
 *
 * @module
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { HEARD, READ, type Attributes, type Figure, type HeardFigure } from '../telemetry/figures.ts';
import { PoolWatch, type Recorder, type WatchedPool } from '../telemetry/watch.ts';

export { type WatchedPool } from '../telemetry/watch.ts';

/**
 * Options of {@link collectPoolMetrics}.
 *
 * @example collectPoolMetrics({ registry: register, pool });
 */
export interface PoolMetricsOptions {
  /** Where to register the metrics: `register` of prom-client, or a registry of your own. */
  readonly registry: Registry;
  /** The pool or the pools. Default: every pool of the process, also those that are made later. */
  readonly pool?: WatchedPool | readonly WatchedPool[] | undefined;
}

/**
 * What {@link collectPoolMetrics} returns.
 *
 * @example const metrics: PoolMetrics = collectPoolMetrics({ registry });
 */
export interface PoolMetrics {
  /** Removes the metrics from the registry. */
  disable(): void;
}

/** What Prometheus appends to a name. A unit in braces is a comment. */
const SUFFIX: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' };

/**
 * Registers the metrics of pools. They are those of OpenTelemetry, under the names that Prometheus gives them.
 *
 * Throws what `prom-client` throws if the registry already has one of them.
 *
 * @param options - See {@link PoolMetricsOptions}.
 * @example
 * import { register } from 'prom-client';
 *
 * collectPoolMetrics({ registry: register });
 * app.get('/metrics', async (request, reply) => reply.type(register.contentType).send(await register.metrics()));
 */
export function collectPoolMetrics({ registry, pool }: PoolMetricsOptions): PoolMetrics {
  const pools = pool === undefined ? undefined : [pool].flat();
  const watch = new PoolWatch((figure) => recorderOf(registry, figure), pools);
  for (const figure of Object.values(READ))
    new Gauge({
      ...definitionOf(figure, registry),
      collect() {
        this.reset();
        for (const sample of watch.samples().values())
          if (sample.figure === figure) this.set(labelsOf(sample.attributes), sample.value);
      },
    });
  return {
    disable: () => {
      watch.stop();
      for (const figure of [...Object.values(HEARD), ...Object.values(READ)])
        registry.removeSingleMetric(metricName(figure));
    },
  };
}

function recorderOf(registry: Registry, figure: HeardFigure): Recorder {
  const definition = definitionOf(figure, registry);
  // The watch remembers the attributes of a call, so their labels can be remembered too.
  const labels = new WeakMap<Attributes, Attributes>();
  const remembered = (attributes: Attributes): Attributes => {
    const before = labels.get(attributes);
    if (before !== undefined) return before;
    const made = labelsOf(attributes);
    labels.set(attributes, made);
    return made;
  };
  if (figure.kind === 'counter') {
    const counter = new Counter(definition);
    return (value, attributes) => {
      counter.inc(remembered(attributes), value);
    };
  }
  const histogram = new Histogram({ ...definition, buckets: [...(figure.buckets ?? [])] });
  return (value, attributes) => {
    histogram.observe(remembered(attributes), value);
  };
}

function definitionOf(figure: Figure, registry: Registry) {
  return {
    name: metricName(figure),
    help: figure.description,
    labelNames: figure.attributes.map(underscored),
    registers: [registry],
  };
}

function metricName({ name, unit, kind }: Figure): string {
  return underscored(name) + (SUFFIX[unit] ?? '') + (kind === 'counter' ? '_total' : '');
}

function labelsOf(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [underscored(name), value]));
}

function underscored(name: string): string {
  return name.replaceAll('.', '_');
}
