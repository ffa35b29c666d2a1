import { AsyncLocalStorage } from 'node:async_hooks';
import {
  context,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import {
  type OperationChannel,
  acquireChannel,
  queryChannel,
  transactionChannel,
  type AcquireEvent,
  type OperationEvent,
  type PoolEvent,
  type QueryEvent,
  type TransactionEvent,
} from '../diagnostics/events.ts';
import { ERROR_TYPE, NAMESPACE, POOL_NAME, STATUS_CODE, SUMMARY, SYSTEM } from '../telemetry/figures.ts';
import { statusCodeOf, summaryOf } from '../telemetry/operation.ts';
import { queryText } from './query-text.ts';

/** What is traced, and how. */
export interface TraceSettings {
  readonly tracer: Tracer;
  readonly watches: (event: PoolEvent) => boolean;
  readonly queryText: boolean;
}

/** A wait that is shorter has no span, in milliseconds: there was a free connection. */
const SHORTEST_WAIT_MS = 1;

/**
 * A channel runs its work in the store that is bound to it. This store is the context of OpenTelemetry, so that spans
 * which begin in the work are children of the span of the work.
 */
class ActiveContext extends AsyncLocalStorage<unknown> {
  override run<R, Args extends unknown[]>(active: unknown, work: (...args: Args) => R, ...args: Args): R {
    return context.with(active as Context, work, undefined, ...args);
  }
}

/** What begins a span. */
interface Beginning {
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes: Attributes;
}

/** Makes a span of each call, each transaction, and each wait for a connection. Returns a function that ends this. */
export function traceOperations({ tracer, watches, queryText: withText }: TraceSettings): () => void {
  const stops = [
    spans(queryChannel, { tracer, watches }, (event) => beginningOf(event, withText), endOfQuery),
    spans(transactionChannel, { tracer, watches }, beginningOfTransaction, endOfTransaction),
    waits(tracer, watches),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** Makes a span of each operation of a channel. */
function spans<Event extends OperationEvent>(
  channel: OperationChannel<Event>,
  { tracer, watches }: Pick<TraceSettings, 'tracer' | 'watches'>,
  beginning: (event: Event) => Beginning,
  end: (event: Event, span: Span) => void,
): () => void {
  const store = new ActiveContext();
  const open = new WeakMap<object, Span>();
  channel.start.bindStore(store, (event) => {
    const active = context.active();
    if (!watches(event)) return active;
    const { name, ...options } = beginning(event);
    const span = tracer.startSpan(name, options, active);
    open.set(event, span);
    return trace.setSpan(active, span);
  });
  const ended = (message: unknown): void => {
    // Only pools publish on this channel.
    const event = message as Event;
    const span = open.get(event);
    if (span === undefined) return;
    if (span.isRecording()) {
      end(event, span);
      fail(span, event);
    }
    span.end();
  };
  channel.asyncEnd.subscribe(ended);
  return () => {
    channel.start.unbindStore(store);
    channel.asyncEnd.unsubscribe(ended);
  };
}

/** Makes a span of each wait, when it is over: most waits are none. */
function waits(tracer: Tracer, watches: TraceSettings['watches']): () => void {
  const ended = (message: unknown): void => {
    const event = message as AcquireEvent;
    const durationMs = Number(event.durationMs);
    if (!watches(event) || (durationMs < SHORTEST_WAIT_MS && event.errorCode === undefined)) return;
    const endTime = performance.timeOrigin + performance.now();
    const span = tracer.startSpan('acquire', {
      kind: SpanKind.INTERNAL,
      startTime: endTime - durationMs,
      attributes: {
        ...sourceOf(event),
        'sqlite.acquire.purpose': event.purpose,
        'sqlite.acquire.ahead': event.ahead,
      },
    });
    fail(span, event);
    span.end(endTime);
  };
  acquireChannel.asyncEnd.subscribe(ended);
  return () => {
    acquireChannel.asyncEnd.unsubscribe(ended);
  };
}

function beginningOf(event: QueryEvent, withText: boolean): Beginning {
  const summary = summaryOf(event);
  return {
    name: summary === '' ? 'sqlite' : summary,
    kind: SpanKind.CLIENT,
    attributes: {
      ...sourceOf(event),
      ...(summary !== '' && { [SUMMARY]: summary }),
      ...(withText && { 'db.query.text': queryText(event) }),
      ...(event.statements > 1 && { 'db.operation.batch.size': event.statements }),
    },
  };
}

function endOfQuery(event: QueryEvent, span: Span): void {
  const { rows, waitMs, lockMs, busyRetries, groupSize } = event;
  setWaits(span, waitMs, lockMs);
  if (busyRetries > 0) span.setAttribute('sqlite.busy.retries', busyRetries);
  if (groupSize > 1) span.setAttribute('sqlite.group_commit.size', groupSize);
  if (rows !== undefined) span.setAttribute('db.response.returned_rows', rows);
}

function setWaits(span: Span, waitMs: number, lockMs: number): void {
  span.setAttribute('sqlite.wait.duration', waitMs / 1000);
  if (lockMs > 0) span.setAttribute('sqlite.lock.duration', lockMs / 1000);
}

function beginningOfTransaction(event: TransactionEvent): Beginning {
  return {
    name: event.mode === 'savepoint' ? 'savepoint' : 'transaction',
    kind: SpanKind.INTERNAL,
    attributes: { ...sourceOf(event), 'sqlite.transaction.mode': event.mode },
  };
}

function endOfTransaction({ outcome, waitMs, lockMs }: TransactionEvent, span: Span): void {
  setWaits(span, waitMs, lockMs);
  span.setAttributes({ 'sqlite.transaction.outcome': outcome });
}

function sourceOf({ poolName, database }: PoolEvent): Attributes {
  return {
    [SYSTEM]: 'sqlite',
    ...(database !== undefined && { [NAMESPACE]: database }),
    [POOL_NAME]: poolName,
  };
}

/** The message of an error is no part of it: it may hold a value. */
function fail(span: Span, { error, errorCode = '_OTHER' }: OperationEvent): void {
  if (error === undefined) return;
  span.setStatus({ code: SpanStatusCode.ERROR, message: errorCode });
  span.setAttribute(ERROR_TYPE, errorCode);
  const statusCode = statusCodeOf(errorCode);
  if (statusCode !== undefined) span.setAttribute(STATUS_CODE, statusCode);
}
