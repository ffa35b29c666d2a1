import { context, type Tracer } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type MetricData,
} from '@opentelemetry/sdk-metrics';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createPool, type PoolOptions, type SqlitePool } from '../../src/index.ts';
import { instrument, type Instrumentation, type InstrumentOptions } from '../../src/opentelemetry/index.ts';

export async function newPool(options: Partial<PoolOptions> = {}): Promise<SqlitePool> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-otel-'));
  const pool = createPool({
    filename: join(folder, 'app.db'),
    // A health check on a busy machine would be a wait, and a span.
    validateAfterIdleMs: Infinity,
    ...options,
  });
  onTestFinished(async () => {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  });
  await pool.script('CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE)');
  return pool;
}

interface Tracing {
  readonly tracer: Tracer;
  readonly spans: () => ReadableSpan[];
  readonly instrumentation: Instrumentation;
}

interface Metering {
  readonly collect: () => Promise<Map<string, MetricData>>;
  readonly instrumentation: Instrumentation;
}

/** The tracer of the real SDK, and the spans that it has exported so far. */
export function newTracing(options: InstrumentOptions = {}): Tracing {
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const instrumentation = instrument({ metrics: false, tracerProvider, ...options });
  onTestFinished(async () => {
    instrumentation.disable();
    context.disable();
    await tracerProvider.shutdown();
  });
  const spans = (): ReadableSpan[] => exporter.getFinishedSpans();
  return { tracer: tracerProvider.getTracer('test'), spans, instrumentation };
}

/** The spans as a tree, one a line, each indented below its parent. */
export function treeOf(spans: readonly ReadableSpan[], parent?: string, depth = 0): string[] {
  return spans
    .filter(({ parentSpanContext }) => parentSpanContext?.spanId === parent)
    .toSorted((a, b) => timeOf(a) - timeOf(b))
    .flatMap((span) => [
      `${'  '.repeat(depth)}${span.name}`,
      ...treeOf(spans, span.spanContext().spanId, depth + 1),
    ]);
}

function timeOf({ startTime: [seconds, nanoseconds] }: ReadableSpan): number {
  return seconds * 1e9 + nanoseconds;
}

/** The meter of the real SDK. `collect` returns what it exports. */
export function newMetering(options: InstrumentOptions = {}): Metering {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const instrumentation = instrument({ traces: false, meterProvider, ...options });
  onTestFinished(async () => {
    instrumentation.disable();
    await meterProvider.shutdown();
  });
  const collect = async (): Promise<Map<string, MetricData>> => {
    exporter.reset();
    await reader.forceFlush();
    const metrics = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
    return new Map(metrics.map((metric) => [metric.descriptor.name, metric]));
  };
  return { collect, instrumentation };
}
