import type { Session } from '../connection/session.ts';
import type { RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import type { ConnectionInspection, PoolInspection } from '../diagnostics/inspection.ts';
import type { PoolStats } from '../diagnostics/stats.ts';
import type { LeaseRecord } from './lease.ts';

/** A connection of the pool, and its state in the engine. */
interface Resource {
  readonly resource: Session;
  readonly state: ConnectionInspection['state'];
}

/** Describes a pool as it is now. */
export function inspectPool(
  { source }: Observer,
  limits: PoolInspection['limits'],
  stats: PoolStats,
  resources: readonly Resource[],
  leases: ReadonlyMap<Session, LeaseRecord>,
): PoolInspection {
  const { poolName, database, driver } = source;
  const { poolSize, minIdle, maxWaiting, acquireTimeoutMs, statementTimeoutMs, maxLeaseMs, walLimitBytes } =
    limits;
  return {
    poolName,
    database,
    driver,
    stats,
    limits: {
      poolSize,
      minIdle,
      maxWaiting,
      acquireTimeoutMs,
      statementTimeoutMs,
      maxLeaseMs,
      walLimitBytes,
    },
    connections: resources.map(({ resource, state }) =>
      inspectConnection(resource, state, leases.get(resource)),
    ),
  };
}

function inspectConnection(
  session: Session,
  state: ConnectionInspection['state'],
  lease: LeaseRecord | undefined,
): ConnectionInspection {
  const { id, query, inTransaction, writeLock, reading } = session;
  return {
    id,
    state,
    lease: lease && {
      request: shown(lease.acquire?.request),
      heldMs: lease.heldMs,
      stack: lease.acquire?.stack,
    },
    query: query && {
      sql: query.sql,
      method: query.method,
      phase: query.phase,
      request: shown(query.request),
      ageMs: query.ageMs,
    },
    inTransaction,
    holdsWriteLock: writeLock.isHeld,
    reading: reading?.what,
  };
}

/** Without its logger, which may hold anything, and which no page can show. */
function shown(request: RequestOrigin | undefined): RequestOrigin | undefined {
  return request && { id: request.id, route: request.route };
}
