import { createHash } from 'node:crypto';
import type { Owned } from '../ledger/chunks.ts';
import type { ChunkContext, ChunkLogger } from '../migration/contract.ts';
import type { Run } from '../ledger/rows.ts';
import type { RunEnvironment } from './environment.ts';
import type { DataMigration, Step } from './plan.ts';

/** The work of a run as one lane sees it. */
export interface ChunkWork {
  readonly env: RunEnvironment;
  readonly migration: DataMigration;
  readonly step: Step;
  readonly run: Run;
  readonly logger: ChunkLogger;
}

/** What `update` is told about its chunk; the chunk's id is the same on every attempt. */
export function chunkContext(
  { run, migration, logger }: ChunkWork,
  owned: Owned,
  signal: AbortSignal,
): ChunkContext {
  const place = createHash('sha256').update(JSON.stringify(owned.after)).digest('hex').slice(0, 12);
  const chunk = `${run.id}-${run.direction}-${place}`;
  return { migration: migration.name, chunk, attempt: owned.attempt, signal, logger };
}
