import type { BatchObservableCallback, Meter, Observable } from '@opentelemetry/api';
import { READ, type Figure, type HeardFigure, type ReadFigure } from '../telemetry/figures.ts';
import { PoolWatch, type Recorder, type Sample, type WatchedPool } from '../telemetry/watch.ts';

/** Publishes the figures of the pools through a meter. Returns a function that ends this. */
export function meterPools(
  meter: Meter,
  pools: readonly WatchedPool[] | undefined,
  omit: readonly string[],
): () => void {
  const isWanted = ({ name }: Figure): boolean => !omit.includes(name);
  const watch = new PoolWatch((figure) => (isWanted(figure) ? recorderOf(meter, figure) : undefined), pools);
  const observables = new Map<ReadFigure, Observable>();
  for (const figure of Object.values(READ).filter(isWanted))
    observables.set(figure, observableOf(meter, figure));
  let before: ReadonlyMap<string, Sample> = new Map();
  const observe: BatchObservableCallback = (result) => {
    const samples = watch.samples();
    const report = ({ figure, attributes }: Sample, value: number): void => {
      const observable = observables.get(figure);
      if (observable !== undefined) result.observe(observable, value, attributes);
    };
    // An SDK may repeat the last value of what is observed no more. A closed pool has no connections.
    for (const [key, sample] of before) if (!samples.has(key)) report(sample, 0);
    for (const sample of samples.values()) report(sample, sample.value);
    before = samples;
  };
  const all = [...observables.values()];
  meter.addBatchObservableCallback(observe, all);
  return () => {
    meter.removeBatchObservableCallback(observe, all);
    watch.stop();
  };
}

function recorderOf(meter: Meter, { kind, name, unit, description, ...rest }: HeardFigure): Recorder {
  if (kind === 'counter') {
    const counter = meter.createCounter(name, { unit, description });
    return (value, attributes) => {
      counter.add(value, attributes);
    };
  }
  const advice = { explicitBucketBoundaries: [...(rest.buckets ?? [])] };
  const histogram = meter.createHistogram(name, { unit, description, advice });
  return (value, attributes) => {
    histogram.record(value, attributes);
  };
}

function observableOf(meter: Meter, { kind, name, unit, description }: ReadFigure): Observable {
  return kind === 'gauge'
    ? meter.createObservableGauge(name, { unit, description })
    : meter.createObservableUpDownCounter(name, { unit, description });
}
