import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { context } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, InMemorySpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { createPool } from '@sqlite-pool/core';
import { instrument } from '@sqlite-pool/core/opentelemetry';
import { collectPoolMetrics } from '@sqlite-pool/core/prometheus';
import { Registry } from 'prom-client';

import type { Benchmark } from '../benchmark.ts';
import { PRAGMAS } from '../by-hand.ts';
import type { Figures } from '../figures.ts';
import { hammer } from '../measure.ts';
import { shownFigure } from '../results.ts';

type Listener = keyof typeof LISTENERS;

const NOTHING = 'nothing';
const METRICS = 'OpenTelemetry, metrics';

/** What else a read records. */
const omitMetrics = [
  'db.client.response.returned_rows',
  'db.client.connection.wait_time',
  'db.client.connection.timeouts',
];

/** What listens to the pool. Each begins to listen when it is called. */
const LISTENERS = {
  [NOTHING]: () => undefined,
  [METRICS]: () => instrument({ traces: false, meterProvider: meterProvider() }),
  'OpenTelemetry, only the duration': () =>
    instrument({ traces: false, meterProvider: meterProvider(), omitMetrics }),
  'OpenTelemetry, traces': () => instrument({ metrics: false, tracerProvider: tracerProvider() }),
  'OpenTelemetry, both': () =>
    instrument({ meterProvider: meterProvider(), tracerProvider: tracerProvider() }),
  Prometheus: () => collectPoolMetrics({ registry: new Registry() }),
} satisfies Record<string, () => unknown>;

const CALLERS = 100;
const ROWS = 10_000;

export const benchmark: Benchmark<Listener> = {
  name: 'sight',
  about: 'what traces and metrics cost a read',
  plan: () => Object.keys(LISTENERS).map((variant) => ({ labels: {}, variant, task: variant as Listener })),
  async measure(listener, { filename, seconds, scale }) {
    LISTENERS[listener]();
    await using pool = createPool({ filename, pragmas: PRAGMAS });
    await pool.script(`
      CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
      INSERT INTO users SELECT i, 'user ' || i FROM n;
    `);
    let turn = 0;
    const once = async () => {
      const id = 1 + ((++turn * 7919) % ROWS);
      const row = await pool.get('SELECT id, name FROM users WHERE id = ?', [id]);
      if (row?.['id'] !== id) throw new Error(`User ${id} was read wrongly.`);
    };
    const { warmUpSeconds } = scale;
    let before = process.threadCpuUsage();
    const { count, perSecond, p50Ms, p99Ms } = await hammer(
      { workers: CALLERS, seconds, warmUpSeconds },
      once,
      () => {
        before = process.threadCpuUsage();
      },
    );
    const { user, system } = process.threadCpuUsage(before);
    return { perSecond, p50Ms, p99Ms, mainMicros: (user + system) / count };
  },
  report(figures) {
    return {
      tables: [table(figures)],
      targets: [
        {
          text: `get at ${CALLERS} callers with metrics of OpenTelemetry, in that without`,
          value: shareOf(figures, METRICS).median,
          atLeast: 0.9,
        },
      ],
    };
  },
};

function shareOf(figures: Figures, variant: string) {
  const at = (of: string) => ({ labels: {}, variant: of, metric: 'perSecond' });
  return figures.ratio(at(variant), at(NOTHING));
}

function table(figures: Figures) {
  return {
    title: `\`get\` of one row, ${CALLERS} at once`,
    head: [
      'what listens',
      'per second',
      'in that with nothing',
      'main thread per read, µs',
      'p50 ms',
      'p99 ms',
    ],
    rows: figures
      .entries()
      .map(({ variant, metrics }) => [
        variant,
        shownFigure(metrics['perSecond']),
        shownFigure(shareOf(figures, variant)),
        shownFigure(metrics['mainMicros']),
        shownFigure(metrics['p50Ms']),
        shownFigure(metrics['p99Ms']),
      ]),
  };
}

function meterProvider(): MeterProvider {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  return new MeterProvider({
    readers: [
      new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1000, exportTimeoutMillis: 1000 }),
    ],
  });
}

function tracerProvider(): TracerProvider {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  return new TracerProvider({
    spanProcessors: [new BatchSpanProcessor({ exporter: new ForgetfulExporter() })],
  });
}

class ForgetfulExporter extends InMemorySpanExporter {
  override export(...args: Parameters<InMemorySpanExporter['export']>): void {
    super.export(...args);
    this.reset();
  }
}
