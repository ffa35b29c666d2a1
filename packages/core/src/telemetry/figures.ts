/**
 * What is measured of a pool. Names, units and buckets of `db.*` are those of OpenTelemetry's conventions, version 1.45:
 * https://opentelemetry.io/docs/specs/semconv/db/database-metrics/
 */

/** One figure, from which each monitoring system makes an instrument of its own. */
export interface Figure {
  readonly name: string;
  readonly kind: 'histogram' | 'counter' | 'upDownCounter' | 'gauge';
  /** In UCUM: https://ucum.org */
  readonly unit: string;
  readonly description: string;
  /** The upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[] | undefined;
  readonly attributes: readonly string[];
}

/** A figure that events give. */
export interface HeardFigure extends Figure {
  readonly kind: 'histogram' | 'counter';
}

/** A figure that is read from a pool when it is collected. */
export interface ReadFigure extends Figure {
  readonly kind: 'upDownCounter' | 'gauge';
}

/** The attributes of one measurement. */
export type Attributes = Readonly<Record<string, string>>;

export const POOL_NAME = 'db.client.connection.pool.name';
export const STATE = 'db.client.connection.state';
export const SYSTEM = 'db.system.name';
export const NAMESPACE = 'db.namespace';
export const SUMMARY = 'db.query.summary';
export const STATUS_CODE = 'db.response.status_code';
export const ERROR_TYPE = 'error.type';
export const CHECKPOINT_MODE = 'sqlite.checkpoint.mode';

const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];
const ROWS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
const WRITES = [1, 2, 5, 10, 20, 50, 100];

const OPERATION = [SYSTEM, NAMESPACE, SUMMARY, STATUS_CODE, ERROR_TYPE];
const POOL = [POOL_NAME];

/** A duration. The conventions give the buckets of that of an operation, and none of the others. */
function seconds(name: string, attributes: readonly string[], description: string): HeardFigure {
  return { name, kind: 'histogram', unit: 's', description, buckets: SECONDS, attributes };
}

function amounts(
  name: string,
  unit: string,
  attributes: readonly string[],
  buckets: readonly number[],
  description: string,
): HeardFigure {
  return { name, kind: 'histogram', unit, description, buckets, attributes };
}

function count(name: string, unit: string, description: string): HeardFigure {
  return { name, kind: 'counter', unit, description, attributes: POOL };
}

function level(name: string, unit: string, description: string, attributes = POOL): ReadFigure {
  return { name, kind: 'upDownCounter', unit, description, attributes };
}

export type HeardName =
  | 'duration'
  | 'rows'
  | 'createTime'
  | 'waitTime'
  | 'useTime'
  | 'timeouts'
  | 'checkpointDuration'
  | 'groupSize'
  | 'busyRetries';

export const HEARD: Readonly<Record<HeardName, HeardFigure>> = {
  duration: seconds('db.client.operation.duration', OPERATION, 'Duration of database client operations.'),
  rows: amounts(
    'db.client.response.returned_rows',
    '{row}',
    OPERATION,
    ROWS,
    'The actual number of records returned by the database operation.',
  ),
  createTime: seconds(
    'db.client.connection.create_time',
    POOL,
    'The time it took to create a new connection.',
  ),
  waitTime: seconds(
    'db.client.connection.wait_time',
    POOL,
    'The time it took to obtain an open connection from the pool.',
  ),
  useTime: seconds(
    'db.client.connection.use_time',
    POOL,
    'The time between borrowing a connection and returning it to the pool.',
  ),
  timeouts: count(
    'db.client.connection.timeouts',
    '{timeout}',
    'The number of connection timeouts that have occurred trying to obtain a connection from the pool.',
  ),
  checkpointDuration: seconds(
    'sqlite.checkpoint.duration',
    [POOL_NAME, CHECKPOINT_MODE],
    'Duration of checkpoints of the WAL.',
  ),
  groupSize: amounts(
    'sqlite.group_commit.size',
    '{write}',
    POOL,
    WRITES,
    'The number of writes that shared one COMMIT, once for each write.',
  ),
  busyRetries: count(
    'sqlite.busy.retries',
    '{retry}',
    'How often SQLite answered that another process holds the lock.',
  ),
};

export type ReadName = 'connections' | 'limit' | 'idleMax' | 'idleMin' | 'pending' | 'walSize';

export const READ: Readonly<Record<ReadName, ReadFigure>> = {
  connections: level(
    'db.client.connection.count',
    '{connection}',
    'The number of connections that are currently in the state of the attribute.',
    [POOL_NAME, STATE],
  ),
  limit: level(
    'db.client.connection.limit',
    '{connection}',
    'The maximum number of open connections allowed.',
  ),
  idleMax: level(
    'db.client.connection.idle.max',
    '{connection}',
    'The maximum number of idle open connections allowed.',
  ),
  idleMin: level(
    'db.client.connection.idle.min',
    '{connection}',
    'The minimum number of idle open connections allowed.',
  ),
  pending: level(
    'db.client.connection.pending_requests',
    '{request}',
    'The number of current pending requests for an open connection.',
  ),
  walSize: {
    ...level('sqlite.wal.size', 'By', 'The size of the WAL at the last check, at most a second ago.'),
    kind: 'gauge',
  },
};
