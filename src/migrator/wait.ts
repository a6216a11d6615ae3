import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress } from '../core/progress/progress.ts';
import { fail } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { revertingError } from '../run/checks/drift.ts';
import type { MigrationFile } from '../migration/file/folder.ts';
import type { EventEmitter } from 'node:events';
import { chosen } from './pending/checks.ts';
import type { MigratorEvents, UpOptions } from './pending/requests.ts';
import type { MigrationStatus, StatusReport } from './status/status.ts';

const everyMs = 1_000;

/**
 * Waits until other hosts have executed what `up` would run; runs nothing. Rejects where waiting is in
 * vain: a run has failed, was cancelled, or is being rolled back. A paused one is waited for. `signal` aborts the wait,
 * which then rejects with its reason.
 */
export async function waitForOthers(
  migrator: EventEmitter<MigratorEvents> & { status(): Promise<StatusReport> },
  what: { readonly pending: readonly MigrationFile[]; readonly options: UpOptions },
  logger: Logger,
  signal: AbortSignal,
): Promise<[]> {
  const names = chosen(what.pending, what.options);
  let said = '';
  for (;;) {
    signal.throwIfAborted();
    const { migrations } = await migrator.status();
    const next = migrations.find(({ name, state }) => names.includes(name) && state !== 'executed');
    if (next === undefined) return [];
    refuseInVain(next);
    const reason = reasonOf(next);
    if (reason !== said) {
      const message = `${next.name}: waiting for ${reason}`;
      logger.info({ event: 'run.waiting', migration: next.name, reason }, message);
    }
    said = reason;
    if (next.startedAt !== null) migrator.emit('progress', asProgress(next));
    await sleep(everyMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

function reasonOf({ state, abandonedSeconds }: MigrationStatus): string {
  if (state === 'pending') return 'another host to start it';
  if (state === 'paused') return 'somebody to resume it';
  return abandonedSeconds === null ? 'other hosts to finish it' : 'a host to resume it: nobody works on it';
}

function refuseInVain({ name, state, error }: MigrationStatus): void {
  if (state === 'failed') {
    throw fail('MIGRATION_FAILED', {
      message: `${name}: failed on another host`,
      detail: error ?? undefined,
      hint: `see why: umzug-cluster status ${name}`,
    });
  }
  if (state === 'cancelled') {
    throw fail('STOPPED', {
      message: `${name} was cancelled`,
      hint: `resume: umzug-cluster resume ${name}; roll back: umzug-cluster down --name ${name}`,
    });
  }
  if (state === 'reverting') throw revertingError(name);
}

function asProgress(entry: MigrationStatus): Progress {
  const { done, estimated, quarantined } = entry.rows;
  return {
    migration: entry.name,
    direction: entry.direction ?? 'up',
    rowsDone: done,
    rowsEstimated: estimated,
    fraction: entry.fraction,
    rowsPerSecond: entry.rowsPerSecond,
    etaSeconds: entry.etaSeconds,
    chunks: entry.chunks,
    chunkSize: entry.chunkSize ?? 0,
    chunkMs: null,
    workers: 0,
    otherWorkers: entry.hosts.reduce((sum, { workers }) => sum + workers, 0),
    otherHosts: entry.hosts.length,
    waiting: reasonOf(entry),
    throttled: entry.throttled,
    throttledBy: entry.throttled?.replaceAll(/\d[\d.,]*/g, '#') ?? null,
    retries: entry.retries,
    quarantined,
    elapsedMs: entry.startedAt === null ? 0 : Math.max(0, Date.now() - Date.parse(entry.startedAt)),
  };
}
