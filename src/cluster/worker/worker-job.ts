import { type LogLevel, reloadKnexfile } from '../../config/config.ts';
import type { LaneWaits } from '../../core/size/lanes.ts';
import type { LogRecord } from '../../core/config/log-events.ts';
import { type Logger, type WrittenLevel, isLogged } from '../../logger.ts';
import type { Tell } from '../../notify/happening.ts';
import { loadMigration } from '../../migration/file/loader.ts';
import { inOneTrip } from '../../postgres/transaction.ts';
import { nothingLearnt } from '../../run/context/chunk-work.ts';
import { newProgress, runLanes } from '../../run/lane/lane-pool.ts';
import { refuseOtherFile } from '../../run/checks/drift.ts';
import { makeEnvironment } from '../../run/context/environment.ts';
import { migrationOf, stepOf } from '../../run/context/step.ts';
import type { ThrottleGate } from '../../throttle/gate.ts';
import { openTrace } from '../../telemetry/trace.ts';
import { Control } from './control.ts';
import { limitBlocking, noWords } from '../process/process-watch.ts';
import type { Job, ToPrimary } from './protocol.ts';

/** What a worker process hears while it works, and how it speaks. */
export interface Hearing {
  readonly drain: AbortSignal;
  readonly abort: AbortSignal;
  /** What chunks wait for, as the primary has seen it; null as long as nothing is known. */
  readonly waits: () => LaneWaits | null;
  /** What the primary has ruled. */
  readonly throttle: ThrottleGate;
  readonly send: (message: ToPrimary) => void;
}

/** Works on a job to its end. */
export async function work(job: Job, { drain, abort, waits, throttle, send }: Hearing): Promise<void> {
  // The primary says what its workers die of.
  limitBlocking(job.config.tuning.ceilingMs, noWords);
  const config = job.reloadKnexfile ? await reloadKnexfile(job.config) : job.config;
  const tell: Tell = (happening) => send({ type: 'told', happening });
  const env = makeEnvironment(config, job.server, { isOwnProcess: true, token: job.token, tell, throttle });
  const file = await loadMigration(job.migration);
  if (file.kind !== 'data') return;
  const loaded = file.withArgs(job.args);
  const options = { ...env.session, use: { migration: job.migration.name, lane: 'control' } };
  const control = new Control(options, env.tuning.retryBudgetMs, job.migration.name, false);
  const run = await control.use((session) =>
    inOneTrip(session, env.pinned, () => env.ledger(session).runs.read(job.runId)),
  );
  await control.close();
  // The file may have been replaced since the primary has read it.
  refuseOtherFile(run, loaded.hashes);
  const migration = migrationOf(loaded, run);
  await runLanes({
    work: {
      env,
      migration,
      step: stepOf(migration, job.direction),
      run,
      logger: sendingLogger(job.config.output.logLevel, send),
      trace: job.above === undefined ? null : await openTrace(job.above),
      ...nothingLearnt(),
    },
    process: env.process,
    lanes: env.tuning.lanes ?? waits,
    drain,
    abort,
    onChunk: (report) => send({ type: 'chunk', report }),
    progress: newProgress(),
    inherited: job.inherited,
  });
}

/** The primary writes all records: lines of several processes would run into each other in a pipe. */
function sendingLogger(least: LogLevel, send: Hearing['send']): Logger {
  const write =
    (level: WrittenLevel) =>
    (record: LogRecord, message?: string): void => {
      if (isLogged(level, least)) send({ type: 'log', level, record, message });
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}
