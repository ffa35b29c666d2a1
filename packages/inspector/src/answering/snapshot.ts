import type { PoolInspection } from '@sqlite-pool/core';
import type { QueryEvent } from '@sqlite-pool/core/channels';
import { originOf, shortened } from '../recording/events.ts';
import type { PoolRecord } from '../recording/pool-record.ts';
import { rounded } from '../recording/seconds.ts';
import type { ConnectionState, Counts, Limits, List, PoolState, StatementOrder, Waiter } from '../state.ts';

const SHOWN_WAITERS = 20;

/** What the page asks for. */
export interface Wish {
  /** The last second that the page has. */
  readonly after: number;
  readonly order: StatementOrder;
}

/** One pool, as the page shows it. */
export function snapshot(record: PoolRecord, number: number, { after, order }: Wish, now: number): PoolState {
  const { poolName, database, driver, stats, limits, connections } = record.pool.inspect();
  const second = Math.floor(now / 1000);
  return {
    number,
    name: poolName,
    database: database ?? null,
    driver,
    closed: record.isClosed,
    counts: countsOf(stats),
    limits: limitsOf(limits),
    facts: record.facts.latest(record.isClosed ? 0 : stats.idle),
    connections: connections.map(connectionState),
    waiters: waitersOf(record, now),
    lastMinute: record.seconds.lastMinute(second),
    seconds: record.seconds.after(after, second),
    statements: record.statements.list(order),
    groups: record.groups.state(),
    transactions: { ...record.transactions },
    events: record.events.state(),
  };
}

function countsOf({ driver: _driver, wait, ...counts }: PoolInspection['stats']): Counts {
  const { p50Ms, p95Ms, maxMs } = wait;
  return { ...counts, wait: { p50Ms: rounded(p50Ms), p95Ms: rounded(p95Ms), maxMs: rounded(maxMs) } };
}

function limitsOf(limits: PoolInspection['limits']): Limits {
  const { poolSize, minIdle, maxWaiting, acquireTimeoutMs, statementTimeoutMs, maxLeaseMs, walLimitBytes } =
    limits;
  return {
    poolSize: finite(poolSize),
    minIdle: finite(minIdle),
    maxWaiting: finite(maxWaiting),
    acquireTimeoutMs: finite(acquireTimeoutMs),
    statementTimeoutMs: finite(statementTimeoutMs),
    maxLeaseMs: finite(maxLeaseMs),
    walLimitBytes: finite(walLimitBytes),
  };
}

/** JSON has no infinity. */
function finite(limit: number): number | null {
  return Number.isFinite(limit) ? limit : null;
}

function connectionState(connection: PoolInspection['connections'][number]): ConnectionState {
  const { id, state, lease, query, inTransaction, holdsWriteLock, reading } = connection;
  return {
    id,
    state,
    origin: originOf(lease?.request ?? query?.request),
    heldMs: roundedOrNull(lease?.heldMs),
    stack: lease?.stack ?? null,
    sql: query === undefined ? null : shortened(query.sql),
    phase: query?.phase ?? null,
    ageMs: roundedOrNull(query?.ageMs),
    inTransaction,
    holdsWriteLock,
    reading: reading ?? null,
  };
}

/** The calls and leases that wait now, the oldest first. */
function waitersOf({ running, acquiring }: PoolRecord, now: number): List<Waiter> {
  const waiters: Waiter[] = [];
  /** The requests of which a statement waits for the lease that the request acquires. */
  const requests = new Set<string>();
  let waiting = 0;
  // A map keeps the order in which they came.
  for (const [event, since] of running) {
    if (event.phase !== 'waiting' && event.phase !== 'locking') continue;
    waiting += 1;
    if (event.request?.id !== undefined) requests.add(event.request.id);
    if (waiters.length < SHOWN_WAITERS) waiters.push(queryWaiter(event, now - since));
  }
  for (const [{ request }, since] of acquiring) {
    if (request?.id !== undefined && requests.has(request.id)) continue;
    waiting += 1;
    if (waiters.length >= 2 * SHOWN_WAITERS) continue;
    const origin = originOf(request);
    waiters.push({ for: 'a connection', what: 'lease', sql: null, origin, ageMs: rounded(now - since) });
  }
  return { total: waiting, shown: waiters.sort((a, b) => b.ageMs - a.ageMs).slice(0, SHOWN_WAITERS) };
}

function queryWaiter({ method, phase, sql, request }: QueryEvent, ageMs: number): Waiter {
  return {
    for: phase === 'locking' ? 'the write lock' : 'a connection',
    what: method,
    sql: shortened(sql),
    origin: originOf(request),
    ageMs: rounded(ageMs),
  };
}

function roundedOrNull(ms: number | undefined): number | null {
  return ms === undefined ? null : rounded(ms);
}
