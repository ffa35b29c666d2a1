/**
 * Spans and metrics of pools, for OpenTelemetry: see docs/sight.md. Needs `@opentelemetry/api`.
 *
 * @module
 */
import { metrics, trace, type MeterProvider, type TracerProvider } from '@opentelemetry/api';
import { watches, type WatchedPool } from '../telemetry/watch.ts';
import { meterPools } from './metrics.ts';
import { traceOperations } from './traces.ts';

export { type WatchedPool } from '../telemetry/watch.ts';

/**
 * Options of {@link instrument}.
 *
 * @example instrument({ pool, queryText: false });
 */
export interface InstrumentOptions {
  /** The pool or the pools. Default: every pool of the process, also those that are made later. */
  readonly pool?: WatchedPool | readonly WatchedPool[] | undefined;
  /** Whether to make spans. Default: `true`. */
  readonly traces?: boolean | undefined;
  /** Whether to make metrics. Default: `true`. */
  readonly metrics?: boolean | undefined;
  /** The names of metrics to leave out: recording one costs a call about as much as the event does. Default: none. */
  readonly omitMetrics?: readonly string[] | undefined;
  /** Makes the spans. Default: the global provider. */
  readonly tracerProvider?: TracerProvider | undefined;
  /** Makes the metrics. Default: the global provider. */
  readonly meterProvider?: MeterProvider | undefined;
  /** Whether a span has the text of its statement, with `?` for each literal. Never values. Default: `true`. */
  readonly queryText?: boolean | undefined;
}

/**
 * What {@link instrument} returns.
 *
 * @example const instrumentation: Instrumentation = instrument();
 */
export interface Instrumentation {
  /** Makes no more spans and metrics. A span that is open then is lost. */
  disable(): void;
}

/** The instrumentation scope of the spans and the metrics. */
const SCOPE = '@sqlite-pool/core';

/**
 * Makes spans and metrics of what pools do, with the names, units and buckets of OpenTelemetry's conventions. Call it
 * once, when the SDK is set up. A span is a child of the span that is active where the call is made.
 *
 * @param options - See {@link InstrumentOptions}; all are optional.
 * @example
 * const instrumentation = instrument();
 * // …
 * instrumentation.disable();
 */
export function instrument(options: InstrumentOptions = {}): Instrumentation {
  const { pool, queryText = true, omitMetrics = [] } = options;
  const pools = pool === undefined ? undefined : [pool].flat();
  const stops: (() => void)[] = [];
  if (options.traces !== false) {
    const tracer = (options.tracerProvider ?? trace).getTracer(SCOPE);
    stops.push(traceOperations({ tracer, watches: watches(pools), queryText }));
  }
  if (options.metrics !== false)
    stops.push(meterPools((options.meterProvider ?? metrics).getMeter(SCOPE), pools, omitMetrics));
  return {
    disable: () => {
      for (const stop of stops.splice(0)) stop();
    },
  };
}
