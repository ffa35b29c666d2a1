import { DataPointType, type HistogramMetricData, type MetricData } from '@opentelemetry/sdk-metrics';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createPool } from '../../src/index.ts';
import { fakeClock, fakeDriver } from '../../src/testing/index.ts';
import { HEARD, READ } from '../../src/telemetry/figures.ts';
import { newMetering, newPool } from './support.ts';

const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];
const NAMED = { 'db.client.connection.pool.name': 'app.db' };

function histogram(metric: MetricData | undefined): HistogramMetricData {
  if (metric?.dataPointType !== DataPointType.HISTOGRAM) throw new Error('It is no histogram.');
  return metric;
}

/** How often each combination of attributes was recorded. */
const counts = (metric: MetricData | undefined) =>
  histogram(metric).dataPoints.map(({ attributes, value }) => [attributes, value.count]);

const points = (metric: MetricData | undefined) =>
  metric?.dataPoints.map(({ attributes, value }) => [attributes, value]);

describe('the metrics', () => {
  it.each([...Object.values(HEARD), ...Object.values(READ)].filter(({ name }) => name.startsWith('db.')))(
    'are in the conventions: $name',
    ({ name, attributes }) => {
      const known: readonly unknown[] = Object.values(conventions);
      expect(known).toContain(name);
      for (const attribute of attributes) expect(known).toContain(attribute);
    },
  );

  it('have the units and the kinds of the conventions', async () => {
    const { collect } = newMetering();
    const clock = fakeClock();
    const pool = await newPool({ poolSize: 1, clock });
    await pool.get('SELECT 1');
    const lease = await pool.acquire();
    const refused = expect(pool.get('SELECT 1')).rejects.toThrow();
    await clock.advance(30_000);
    await refused;
    await lease.release();
    const metrics = [...(await collect()).values()].filter(({ descriptor }) =>
      descriptor.name.startsWith('db.'),
    );
    const kind = (metric: MetricData): string =>
      metric.dataPointType === DataPointType.SUM
        ? metric.isMonotonic
          ? 'Counter'
          : 'UpDownCounter'
        : 'Histogram';
    const found = metrics.map((metric) => [metric.descriptor.name, [kind(metric), metric.descriptor.unit]]);
    expect(Object.fromEntries(found)).toEqual({
      'db.client.operation.duration': ['Histogram', 's'],
      'db.client.response.returned_rows': ['Histogram', '{row}'],
      'db.client.connection.count': ['UpDownCounter', '{connection}'],
      'db.client.connection.limit': ['UpDownCounter', '{connection}'],
      'db.client.connection.idle.max': ['UpDownCounter', '{connection}'],
      'db.client.connection.idle.min': ['UpDownCounter', '{connection}'],
      'db.client.connection.pending_requests': ['UpDownCounter', '{request}'],
      'db.client.connection.timeouts': ['Counter', '{timeout}'],
      'db.client.connection.create_time': ['Histogram', 's'],
      'db.client.connection.wait_time': ['Histogram', 's'],
      'db.client.connection.use_time': ['Histogram', 's'],
    });
  });

  it('of calls have the buckets of the conventions, and a summary in place of the text', async () => {
    const pool = await newPool();
    const { collect } = newMetering();
    await pool.run('INSERT INTO users VALUES (?, ?)', [1, 'a']);
    for (const id of [1, 2, 3]) await pool.get('SELECT * FROM users WHERE id = ?', [id]);
    await expect(pool.run('INSERT INTO users VALUES (?, ?)', [1, 'b'])).rejects.toThrow();
    const metrics = await collect();
    const duration = metrics.get('db.client.operation.duration');
    const [{ value }] = histogram(duration).dataPoints as [HistogramMetricData['dataPoints'][number]];
    expect(value.buckets.boundaries).toEqual(SECONDS);
    expect(value.sum).toBeGreaterThan(0);
    expect(value.sum).toBeLessThan(10);
    const named = { 'db.system.name': 'sqlite', 'db.namespace': 'app.db' };
    const failed = {
      'error.type': 'SQLITE_CONSTRAINT_PRIMARYKEY',
      'db.response.status_code': 'SQLITE_CONSTRAINT_PRIMARYKEY',
    };
    expect(counts(duration)).toEqual([
      [{ ...named, 'db.query.summary': 'INSERT users' }, 1],
      [{ ...named, 'db.query.summary': 'SELECT users' }, 3],
      [{ ...named, 'db.query.summary': 'INSERT users', ...failed }, 1],
    ]);
    const rows = histogram(metrics.get('db.client.response.returned_rows'));
    expect(counts(rows)).toEqual([[{ ...named, 'db.query.summary': 'SELECT users' }, 3]]);
    expect(rows.dataPoints[0]?.value.sum).toBe(1);
    expect(rows.dataPoints[0]?.value.buckets.boundaries).toEqual([
      1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000,
    ]);
  });

  it('of connections are what the pool says', async () => {
    const { collect } = newMetering();
    const pool = await newPool({ poolSize: 2, minIdle: 1, poolName: 'main' });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    const waits = pool.get('SELECT 1');
    const named = { 'db.client.connection.pool.name': 'main' };
    const metrics = await collect();
    expect(points(metrics.get('db.client.connection.count'))).toEqual([
      [{ ...named, 'db.client.connection.state': 'idle' }, 0],
      [{ ...named, 'db.client.connection.state': 'used' }, 2],
    ]);
    expect(points(metrics.get('db.client.connection.limit'))).toEqual([[named, 2]]);
    expect(points(metrics.get('db.client.connection.idle.max'))).toEqual([[named, 2]]);
    expect(points(metrics.get('db.client.connection.idle.min'))).toEqual([[named, 1]]);
    expect(points(metrics.get('db.client.connection.pending_requests'))).toEqual([[named, 1]]);
    for (const lease of leases) await lease.release();
    await waits;
    const after = await collect();
    expect(counts(after.get('db.client.connection.create_time'))).toEqual([[named, 2]]);
    expect(counts(after.get('db.client.connection.use_time'))).toEqual([[named, 2]]);
    expect(points(after.get('db.client.connection.count'))).toContainEqual([
      { ...named, 'db.client.connection.state': 'used' },
      0,
    ]);
  });

  it('of connections leave out what came to nothing: an open that failed, a wait that was refused', async () => {
    const { collect } = newMetering();
    const missing = createPool({ filename: '/nowhere/app.db', poolName: 'missing' });
    await expect(missing.get('SELECT 1')).rejects.toMatchObject({ code: 'OPEN_FAILED' });
    await missing.close();
    const pool = await newPool({ poolSize: 1, maxWaiting: 0, poolName: 'main' });
    const lease = await pool.acquire();
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_OVERLOADED' });
    await lease.release();
    const metrics = await collect();
    const named = { 'db.client.connection.pool.name': 'main' };
    expect(counts(metrics.get('db.client.connection.create_time'))).toEqual([[named, 1]]);
    expect(points(metrics.get('db.client.connection.timeouts'))).toBeUndefined();
  });

  it('of connections leave out a lease that is older than the metrics', async () => {
    const pool = await newPool();
    const lease = await pool.acquire();
    const { collect } = newMetering();
    await lease.release();
    await (await pool.acquire()).release();
    expect(counts((await collect()).get('db.client.connection.use_time'))).toEqual([[NAMED, 1]]);
  });

  it('of calls remember a thousand summaries, and count also those that they have forgotten', async () => {
    const { collect } = newMetering();
    const pool = createPool({ driver: fakeDriver() });
    onTestFinished(() => pool.close());
    await pool.get('SELECT 1 FROM users');
    for (let table = 1; table <= 1000; table += 1) await pool.get(`SELECT 1 FROM t${String(table)}`);
    await pool.get('SELECT 1 FROM users');
    const durations = counts((await collect()).get('db.client.operation.duration'));
    expect(durations).toHaveLength(1001);
    expect(durations).toContainEqual([{ 'db.system.name': 'sqlite', 'db.query.summary': 'SELECT users' }, 2]);
  });

  it('of SQLite are the size of the WAL, checkpoints, shared commits and locks of others', async () => {
    const { collect } = newMetering();
    const pool = await newPool();
    await Promise.all(['a', 'b', 'c'].map((name) => pool.run('INSERT INTO users (name) VALUES (?)', [name])));
    await pool.checkpoint({ mode: 'truncate' });
    const metrics = await collect();
    expect(counts(metrics.get('sqlite.checkpoint.duration'))).toEqual([
      [{ ...NAMED, 'sqlite.checkpoint.mode': 'truncate' }, 1],
    ]);
    const groups = histogram(metrics.get('sqlite.group_commit.size')).dataPoints[0]?.value;
    // The script that made the table is a write as well.
    expect([groups?.count, Number(groups?.max) > 1]).toEqual([4, true]);
    expect(points(metrics.get('sqlite.wal.size'))).toEqual([[NAMED, pool.stats().walBytes]]);
    expect(metrics.get('sqlite.wal.size')?.descriptor.unit).toBe('By');
    expect(metrics.get('sqlite.busy.retries')).toBeUndefined();
    const [{ file }] = (await pool.all<{ file: string }>('PRAGMA database_list')) as [{ file: string }];
    const other = new DatabaseSync(file);
    other.exec('BEGIN IMMEDIATE');
    const write = pool.run("INSERT INTO users (name) VALUES ('d')");
    await vi.waitFor(() => {
      expect(pool.inspect().connections.map(({ query }) => query?.phase)).toContain('locking');
    });
    other.exec('COMMIT');
    other.close();
    await write;
    const [[, retries]] = points((await collect()).get('sqlite.busy.retries')) as [[object, number]];
    expect(retries).toBeGreaterThan(0);
  });
});

describe('a pool that is closed', () => {
  it('is observed no more', async () => {
    const { collect } = newMetering();
    const pool = await newPool({ poolName: 'a', poolSize: 10 });
    await newPool({ poolName: 'b', poolSize: 10 });
    const limits = async () =>
      points((await collect()).get('db.client.connection.limit'))?.map(([, limit]) => limit);
    expect(await limits()).toEqual([10, 10]);
    await pool.close();
    expect(await limits()).toEqual([0, 10]);
  });

  it('is not kept in memory', async () => {
    const { collect } = newMetering();
    const reference = await usePool();
    await vi.waitFor(() => {
      globalThis.gc?.();
      // Not the pool itself, which the assertion would keep.
      expect(reference.deref() === undefined).toBe(true);
    });
    expect((await collect()).has('db.client.connection.limit')).toBe(false);
  });
});

async function usePool(): Promise<WeakRef<object>> {
  const pool = createPool({ filename: ':memory:' });
  await pool.get('SELECT 1');
  await pool.close();
  return new WeakRef(pool);
}

describe('instrument', () => {
  it('leaves out the metrics that nobody wants', async () => {
    const omitMetrics = [
      'db.client.response.returned_rows',
      'db.client.connection.wait_time',
      'db.client.connection.timeouts',
      'db.client.connection.limit',
    ];
    const { collect } = newMetering({ omitMetrics });
    const pool = await newPool();
    await pool.all('SELECT * FROM users');
    const names = [...(await collect()).keys()];
    for (const name of omitMetrics) expect(names).not.toContain(name);
    expect(names).toEqual(
      expect.arrayContaining(['db.client.operation.duration', 'db.client.connection.count']),
    );
  });

  it('adds up pools of one name, and takes a pool that was open before', async () => {
    const pools = [await newPool({ poolSize: 2 }), await newPool({ poolSize: 3 })];
    const other = await newPool({ poolName: 'other' });
    const { collect, instrumentation } = newMetering({ pool: pools });
    await other.get('SELECT 1');
    const metrics = await collect();
    expect(points(metrics.get('db.client.connection.limit'))).toEqual([[NAMED, 5]]);
    expect(metrics.has('db.client.operation.duration')).toBe(false);
    instrumentation.disable();
    await pools[0]?.get('SELECT 1');
    expect((await collect()).has('db.client.operation.duration')).toBe(false);
  });
});
