import { Gauge, Registry } from 'prom-client';
import { isUnderWay } from '../../core/config/states.ts';
import type { Standing } from '../../migrator/joiner.ts';
import { withoutToken } from '../../migrator/status/activity.ts';
import type { MigrationStatus } from '../../migrator/status/status.ts';
import type { News } from '../api/feed.ts';

/** A number of each migration, by the end of its metric's name; null: not known, and left out. */
const ofMigrations: readonly (readonly [
  name: string,
  help: string,
  value: (status: MigrationStatus) => number | null,
])[] = [
  ['rows_done', 'Rows that the run has passed to update', ({ rows }) => rows.done],
  ['rows_estimated', 'Rows done, quarantined and left', ({ rows }) => rows.estimated],
  ['progress_ratio', 'Share done, 0 to 1', ({ fraction }) => fraction],
  ['rows_per_second', 'Rows per second, of all hosts', ({ rowsPerSecond }) => rowsPerSecond],
  ['eta_seconds', 'Time left', ({ etaSeconds }) => etaSeconds],
  ['chunks', 'Chunks that are committed', ({ chunks }) => chunks],
  ['retries', 'Chunks that were tried again', ({ retries }) => retries],
  ['quarantined_rows', 'Rows that are quarantined', ({ rows }) => rows.quarantined],
  [
    'throttled',
    '1 while new chunks are held back',
    ({ throttled, state }) => (isUnderWay(state) ? Number(throttled !== null) : null),
  ],
];

/**
 * What Prometheus reads; `worker`: how the worker stands that serves it. A database that does not answer is told by
 * `umzug_cluster_up`.
 */
export async function metricsOf(
  news: News,
  database: string,
  worker: Standing['state'] | null = null,
): Promise<{ readonly text: string; readonly type: string }> {
  const registry = new Registry();
  const gauge = (name: string, help: string, labels: readonly string[]): Gauge =>
    new Gauge({
      name: `umzug_cluster_${name}`,
      help,
      labelNames: ['database', ...labels],
      registers: [registry],
    });
  gauge('up', '1 while the database answers', []).set({ database }, Number(news.kind === 'look'));
  if (worker !== null) {
    gauge('worker_state', '1 for what this worker does', ['state']).set({ database, state: worker }, 1);
  }
  if (news.kind === 'look') {
    const { statuses, points } = news.look;
    const state = gauge('migration_state', '1 for the state of the migration', ['migration', 'state']);
    for (const { name: migration, state: is } of statuses) state.set({ database, migration, state: is }, 1);
    for (const [name, help, valueOf] of ofMigrations) {
      const one = gauge(name, help, ['migration']);
      for (const status of statuses) {
        const value = valueOf(status);
        if (value !== null) one.set({ database, migration: status.name }, value);
      }
    }
    const lanes = gauge('lanes', 'Chunks at a time in the first process of a host', ['migration', 'host']);
    const chunk = gauge('chunk_seconds', 'Time of the latest chunk of a host', ['migration', 'host']);
    const names = new Map(statuses.map(({ runId, name }) => [runId, name]));
    for (const { runId, process, lanes: count, chunkMs } of points) {
      const labels = { database, migration: names.get(runId) ?? '', host: withoutToken(process) };
      if (count !== null) lanes.set(labels, count);
      if (chunkMs !== null) chunk.set(labels, chunkMs / 1_000);
    }
  }
  return { text: await registry.metrics(), type: registry.contentType };
}
