import { readFile } from 'node:fs/promises';
import { Registry } from 'prom-client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { collectPoolMetrics, type PoolMetricsOptions } from '../../src/prometheus/index.ts';
import { newPool } from '../opentelemetry/support.ts';

function newRegistry(options: Partial<PoolMetricsOptions> = {}): Registry {
  const registry = new Registry();
  const metrics = collectPoolMetrics({ registry, ...options });
  onTestFinished(() => {
    metrics.disable();
  });
  return registry;
}

/** The lines of one metric, without its help. */
async function linesOf(registry: Registry, name: string): Promise<string[]> {
  const text = await registry.metrics();
  return text.split('\n').filter((line) => line.startsWith(name));
}

const DASHBOARD = new URL('../../../../docs/grafana-dashboard.json', import.meta.url);

describe('collectPoolMetrics', () => {
  it('has the names of OpenTelemetry with the suffixes of Prometheus', async () => {
    const types = (await newRegistry().metrics()).split('\n').filter((line) => line.startsWith('# TYPE'));
    expect(types.map((line) => line.replace('# TYPE ', '')).toSorted()).toEqual([
      'db_client_connection_count gauge',
      'db_client_connection_create_time_seconds histogram',
      'db_client_connection_idle_max gauge',
      'db_client_connection_idle_min gauge',
      'db_client_connection_limit gauge',
      'db_client_connection_pending_requests gauge',
      'db_client_connection_timeouts_total counter',
      'db_client_connection_use_time_seconds histogram',
      'db_client_connection_wait_time_seconds histogram',
      'db_client_operation_duration_seconds histogram',
      'db_client_response_returned_rows histogram',
      'sqlite_busy_retries_total counter',
      'sqlite_checkpoint_duration_seconds histogram',
      'sqlite_group_commit_size histogram',
      'sqlite_wal_size_bytes gauge',
    ]);
  });

  it('counts calls by what they do, and failures by their code', async () => {
    const registry = newRegistry();
    const pool = await newPool();
    for (const id of [1, 2]) await pool.get('SELECT * FROM users WHERE id = ?', [id]);
    await expect(pool.get('SELECT nothing FROM users')).rejects.toThrow();
    const lines = await linesOf(registry, 'db_client_operation_duration_seconds_count');
    const labels = 'db_system_name="sqlite",db_namespace="app.db",db_query_summary="SELECT users"';
    expect(lines).toContain(`db_client_operation_duration_seconds_count{${labels}} 2`);
    expect(lines).toContain(
      `db_client_operation_duration_seconds_count{${labels},error_type="SQLITE_ERROR",db_response_status_code="SQLITE_ERROR"} 1`,
    );
    const bounds = (await linesOf(registry, 'db_client_operation_duration_seconds_bucket'))
      .map((line) => /le="([^"]+)"/.exec(line)?.[1])
      .slice(0, 10);
    expect(bounds).toEqual(['0.001', '0.005', '0.01', '0.05', '0.1', '0.5', '1', '5', '10', '+Inf']);
  });

  it('reads connections when it is asked, and nothing of a pool that is closed', async () => {
    const registry = newRegistry();
    const pool = await newPool({ poolName: 'main' });
    const lease = await pool.acquire();
    const name = 'db_client_connection_count';
    expect(await linesOf(registry, name)).toEqual([
      `${name}{db_client_connection_pool_name="main",db_client_connection_state="idle"} 0`,
      `${name}{db_client_connection_pool_name="main",db_client_connection_state="used"} 1`,
    ]);
    await lease.release();
    await pool.close();
    expect(await linesOf(registry, name)).toEqual([]);
  });

  it('hears only of the pools that it was given, and leaves an empty registry when it is disabled', async () => {
    const [mine, other] = [await newPool({ poolName: 'mine' }), await newPool({ poolName: 'other' })];
    const registry = new Registry();
    const metrics = collectPoolMetrics({ registry, pool: [mine] });
    await other.get('SELECT 1');
    await mine.get('SELECT 1');
    const text = await registry.metrics();
    expect(text).toContain('"mine"');
    expect(text).not.toContain('"other"');
    metrics.disable();
    expect(registry.getMetricsAsArray()).toEqual([]);
  });
});

describe('docs/grafana-dashboard.json', () => {
  interface Dashboard {
    readonly panels: readonly {
      readonly title: string;
      readonly targets?: readonly { readonly expr: string }[];
    }[];
    readonly templating: { readonly list: readonly { readonly query: unknown }[] };
  }

  it('uses only metrics and labels that there are', async () => {
    const registry = newRegistry();
    const pool = await newPool();
    await pool.get('SELECT 1 FROM users WHERE id = ?', [1]);
    await expect(pool.get('SELECT nothing FROM users')).rejects.toThrow();
    await pool.checkpoint();
    await (await pool.acquire()).release();
    const text = await registry.metrics();
    const names = new Set(text.split('\n').flatMap((line) => /^(?:# TYPE )?([a-z_]+)/.exec(line)?.[1] ?? []));
    const labels = new Set([...text.matchAll(/[{,]([a-z_]+)="/g)].map(([, label]) => label));
    const dashboard = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
    const queries = [
      ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
      ...dashboard.templating.list.map(({ query }) => String(query)),
    ];
    const used = queries.flatMap((query) => query.match(/\b(?:db_client|sqlite)_[a-z_]+/g) ?? []);
    expect(used.length).toBeGreaterThan(15);
    for (const word of used) expect([...names, ...labels], word).toContain(word);
    const grouped = queries.flatMap((query) =>
      [...query.matchAll(/by \(([^)]*)\)/g)].flatMap(([, by]) => String(by).split(/,\s*/)),
    );
    for (const label of grouped) expect(labels, label).toContain(label);
  });
});
