import type { Config } from '../../config/config.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { ServerFacts } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import { nothing } from '../../run/lane/lane-pool.ts';
import type { DataMigration } from '../../run/context/step.ts';
import type { Job } from './protocol.ts';

/**
 * What is sent to workers, or null where the configuration holds functions and there is no knexfile from
 * which a worker could load them: then this process works alone.
 */
export function jobFor(
  { config: own, server, env: { token } }: { config: Config; server: ServerFacts; env: RunEnvironment },
  migration: DataMigration,
  run: Run,
): Job | null {
  // The primary delivers what they tell.
  const config: Config = { ...own, notify: null };
  const job = {
    server,
    token,
    migration: { name: migration.name, path: migration.path },
    direction: run.direction,
    runId: run.id,
    inherited: nothing,
  };
  if (isClonable(config)) return { ...job, config, reloadKnexfile: false };
  if (config.knexfile === null) return null;
  const { database } = config;
  const plain: Config = {
    ...config,
    knexConfig: { client: 'pg' },
    database: isClonable(database) ? database : { kind: 'none' },
  };
  return isClonable(plain) ? { ...job, config: plain, reloadKnexfile: true } : null;
}

function isClonable(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}
