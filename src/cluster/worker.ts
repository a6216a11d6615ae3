import { loadConfig } from '../config.ts';
import type { Config, LogLevel } from '../config.ts';
import type { LaneWaits } from '../core/lanes.ts';
import type { LogRecord } from '../core/log-events.ts';
import type { StageTimes } from '../core/profile.ts';
import { UmzugClusterError, messageOf } from '../errors.ts';
import { readRun } from '../ledger/runs.ts';
import { type Logger, type WrittenLevel, isLogged } from '../logger.ts';
import { loadMigration } from '../migration/loader.ts';
import { reportStray } from '../migration/strays.ts';
import { inOneTrip } from '../postgres/transaction.ts';
import { newProgress, runCrew } from '../run/crew.ts';
import { refuseOtherFile } from '../run/drift.ts';
import { makeEnvironment } from '../run/environment.ts';
import { stepOf } from '../run/step.ts';
import { Control } from './control.ts';
import { hushDeprecations } from './own-process.ts';
import { endWithoutAWord, limitBlocking, noWords, wasBlocked, watchProcess } from './process-watch.ts';
import { type Job, type SentError, type ToPrimary, type ToWorker, workerExit } from './protocol.ts';

/**
 * The entry of a worker process: takes jobs from the primary, works on the ledger's run, reports. Signals
 * of the terminal reach it too; it ignores them and waits for the primary's word.
 */

const drain = new AbortController();
const abort = new AbortController();
let waits: LaneWaits | null = null;

function send(message: ToPrimary): void {
  if (process.connected) process.send?.(message);
}

/** The primary writes all records: lines of several processes would run into each other in a pipe. */
function sendingLogger(least: LogLevel): Logger {
  const write =
    (level: WrittenLevel) =>
    (record: LogRecord, message?: string): void => {
      if (isLogged(level, least)) send({ type: 'log', level, record, message });
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

async function configOf(job: Job): Promise<Config> {
  if (!job.reloadKnexfile) return job.config;
  const { knexfile, environment: env, cwd } = job.config;
  const own = await loadConfig({ flags: { knexfile: knexfile ?? undefined, env }, cwd });
  const database = job.config.database.kind === 'connection' ? job.config.database : own.database;
  return { ...job.config, knexConfig: own.knexConfig, database };
}

/** Works on a job to its end; what it has measured, where it measures. */
async function work(job: Job): Promise<StageTimes | null> {
  const startedAt = performance.now();
  // The primary says what its workers die of.
  limitBlocking(job.config.tuning.ceilingMs, noWords);
  const env = makeEnvironment(await configOf(job), job.server);
  const migration = await loadMigration(job.migration);
  if (migration.kind !== 'data') return null;
  const control = new Control(env.session, env.tuning.retryBudgetMs, job.migration.name);
  const run = await control.use((session) =>
    inOneTrip(session, env.pinned, () => readRun(session, env.names, job.runId)),
  );
  await control.close();
  // The file may have been replaced since the primary has read it.
  refuseOtherFile(run, migration.hashes);
  env.stopwatch.add('load', performance.now() - startedAt);
  await runCrew({
    work: {
      env,
      migration,
      step: stepOf(migration, job.direction),
      run,
      logger: sendingLogger(job.config.output.logLevel),
    },
    process: env.process,
    lanes: env.tuning.lanes ?? (() => waits),
    drain: drain.signal,
    abort: abort.signal,
    onChunk: (report) => send({ type: 'chunk', report }),
    progress: newProgress(),
    inherited: job.inherited,
  });
  return env.stopwatch.times;
}

function sentError(error: unknown): SentError {
  if (!(error instanceof UmzugClusterError)) return { code: 'INTERNAL', message: messageOf(error) };
  const { code, message, detail, hint } = error;
  return { code, message, detail, hint };
}

function listen(message: ToWorker): void {
  switch (message.type) {
    case 'work':
      work(message.job).then(
        (times) => send({ type: 'finished', times }),
        (error: unknown) => send({ type: 'failed', error: sentError(error) }),
      );
      return;
    case 'drain':
      drain.abort();
      return;
    case 'abort':
      drain.abort();
      abort.abort();
      return;
    case 'waits':
      waits = message.waits;
      return;
    case 'leave':
      process.disconnect();
  }
}

hushDeprecations();
// The primary writes them too, in the form that was asked for.
process.removeAllListeners('warning');
process.on('warning', ({ name, message }) => {
  send({ type: 'log', level: 'warn', record: { event: 'node.warned', name }, message });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
// They are the command's, whose reader may go away: what author code wrote is no reason to stop a run half-way.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
process.on('message', listen);
process.on('disconnect', () => process.exit(0));
// While the primary is there, nobody but author code ends a worker, whatever code it chose.
process.on('exit', () => {
  if (!process.connected) return;
  if (wasBlocked()) endWithoutAWord();
  process.exit(wasBlocked() ? workerExit.blocked : workerExit.byAuthor);
});
// Also rejections that nobody awaits: author code runs here.
process.on('uncaughtException', (error) => {
  if (!reportStray(error)) send({ type: 'failed', error: sentError(error) });
});
watchProcess({ parent: process.ppid });
send({ type: 'hello' });
