import { createHash } from 'node:crypto';
import { loggable } from '../../core/errors/loggable.ts';
import type { Owned } from '../../ledger/run/chunks.ts';
import { isKeyless } from '../../migration/key/key.ts';
import type { ShownKey } from '../../migration/chunk/rows.ts';
import type { ChunkContext, ChunkLogger } from '../../migration/contract/contract.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';
import type { Trace } from '../../telemetry/trace.ts';
import type { RunEnvironment } from './environment.ts';
import { WritesBeside } from './foreign-connections.ts';
import type { DataMigration, Step } from './step.ts';

/** What replaces the id of a run where there is none: `plan` tries a migration. */
export const sampleRunId = 'plan';

/** What is known of an update's effects, so that not every chunk looks again. */
export interface EffectsSeen {
  /** What it changes was compared with what select reads of other rows. */
  isCompared: boolean;
  /** By `performance.now()`: until then rows that are inserted are not looked at again. */
  lookAgainAt: number;
  /** The answers to its statements say that it has changed rows: the server's counters need not be asked. */
  isReported: boolean;
  /** It was said that updateRows or deleteRows did not find all of its rows. */
  isMissingTold: boolean;
  /** It was said that a statement was larger than a limit of the protocol, and that its chunk has fewer rows. */
  isLimitTold: boolean;
  /** Connections of the process that are none of ours. */
  readonly beside: WritesBeside;
}

/** The work of a run as one lane sees it. */
export interface ChunkWork {
  readonly env: RunEnvironment;
  readonly migration: DataMigration;
  readonly step: Step;
  readonly run: Run;
  readonly logger: Logger;
  /** Where its chunks are traced; null: nobody listens. */
  readonly trace: Trace | null;
  /** Learnt from its first chunk. */
  readonly shown: ShownKey;
  readonly effects: EffectsSeen;
}

/**
 * Whether rows are not read before they are written. Those without a key always are: their places, so that each is
 * known after it has moved.
 */
export function isUnread({ step, run }: Pick<ChunkWork, 'step' | 'run'>): boolean {
  return step.setBased && !isKeyless(run.plan.base);
}

/** What a lane's work begins with. */
export function nothingLearnt(): Pick<ChunkWork, 'shown' | 'effects'> {
  return {
    shown: { places: null },
    effects: {
      isCompared: false,
      lookAgainAt: 0,
      isReported: false,
      isMissingTold: false,
      isLimitTold: false,
      beside: new WritesBeside(),
    },
  };
}

/** What `update` knows about its chunk; the chunk's id is the same on every attempt. */
export function chunkContext(
  { run, migration, logger }: ChunkWork,
  owned: Pick<Owned, 'after' | 'attempt'>,
  kept: Pick<ChunkContext, 'cache' | 'signal'>,
): ChunkContext {
  const place = createHash('sha256').update(JSON.stringify(owned.after)).digest('hex').slice(0, 12);
  const chunk = `${run.id}-${run.direction}-${place}`;
  const about = { migration: migration.name, chunk, attempt: owned.attempt };
  return {
    ...about,
    isSample: run.id === sampleRunId,
    args: migration.args,
    ...kept,
    logger: chunkLogger(logger, about),
  };
}

/** What the author says is `data` of the record: none of its names can clash with those of the product. */
function chunkLogger(
  logger: Logger,
  about: Pick<ChunkContext, 'migration' | 'chunk' | 'attempt'>,
): ChunkLogger {
  const write =
    (level: keyof ChunkLogger) =>
    (fields: unknown, message?: unknown): void => {
      const said = typeof fields === 'string' ? fields : message;
      const given = typeof fields === 'object' ? loggable(fields, true) : null;
      const data = typeof given === 'object' ? given : { value: given };
      const text = typeof said === 'string' ? said : undefined;
      logger[level]({ event: 'update.logged', ...about, data }, text);
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}
