import type { Config } from '../../config/config.ts';
import { nothingAsked } from '../../config/throttle.ts';
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
  // The primary delivers what they tell, and tells them what holds them back.
  const config: Config = { ...own, notify: null, throttle: nothingAsked, args: [] };
  const job = {
    server,
    token,
    migration: { name: migration.name, path: migration.path },
    direction: run.direction,
    runId: run.id,
    args: migration.values,
    inherited: nothing,
  };
  if (isClonable(config)) return { ...job, config, reloadKnexfile: false };
  if (config.knexfile === null) return null;
  const { database, target } = config;
  // Of several targets the knexfile has no more than what all of them share.
  if (target?.isElsewhere === true && !isClonable(database)) return null;
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
