import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config/config.ts';
import type { Progress } from '../../core/progress/progress.ts';
import { standingOf } from '../../core/progress/standing.ts';
import { steer } from '../../core/config/steering.ts';
import { type ErrorCode, UmzugClusterError, fail } from '../../errors.ts';
import type { Run, RunTotals } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';
import type { ServerFacts } from '../../postgres/transaction.ts';
import type { ChunkReport } from '../../run/lane/lane.ts';
import { nothingLearnt } from '../../run/context/chunk-work.ts';
import { newProgress, nothing, runLanes } from '../../run/lane/lane-pool.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import { type DataMigration, stepOf } from '../../run/context/step.ts';
import type { Control } from '../worker/control.ts';
import { DeadWorkers } from '../worker/dead-workers.ts';
import { ForkAdvice } from './fork-advice.ts';
import { OverridesLog } from './overrides-log.ts';
import { jobFor } from '../worker/job.ts';
import type { Job } from '../worker/protocol.ts';
import { LaneAdvice } from './lane-advice.ts';
import { ProgressMeter } from './progress-meter.ts';
import { RunLedger } from './run-ledger.ts';
import { sayAndWaitForOlder } from './older.ts';
import { BlockerWatch } from './blocker-watch.ts';
import { sayRewound } from './rewound.ts';
import { sayEndless, saySweeping } from './sweeping.ts';
import { type Begun, isTakenAway, stoppedByUser, stoppedElsewhere } from './stopped.ts';
import { Workers } from '../worker/workers.ts';

// Often enough for a redrawn line, rare enough to cost nothing: one small query each. It keeps no process alive.
const tickMs = 250;
const tick = (): Promise<void> => sleep(tickMs, undefined, { ref: false });

// After the grace, workers get this long to leave before they are killed.
const leaveMs = 1_000;

export interface PrimaryInput {
  readonly config: Config;
  readonly env: RunEnvironment;
  readonly server: ServerFacts;
  readonly control: Control;
  readonly logger: Logger;
  readonly onProgress: (progress: Progress) => void;
}

/** What the chunks of this host have told: rows that were passed to update, and rows that it changed. */
export interface Counted {
  readonly rows: number;
  readonly changed: number;
}

/** Supervises runs on this host: works itself, forks while it pays, reports, stops. */
export class Primary {
  readonly #input: PrimaryInput;
  readonly #workers: Workers;
  readonly #drain = new AbortController();
  readonly #abort = new AbortController();
  #stopCode: ErrorCode | null = null;
  #begun: Begun | null = null;
  #abortedAt = 0;
  readonly #timers: NodeJS.Timeout[] = [];
  #counted: Counted = { rows: 0, changed: 0 };

  constructor(input: PrimaryInput) {
    this.#input = input;
    this.#workers = new Workers(input.logger);
  }

  /** Aborts when nothing more is to begin. */
  get drainSignal(): AbortSignal {
    return this.#drain.signal;
  }

  /** Aborts when what runs is to be destroyed. */
  get abortSignal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Works on a registered run until it is done on all hosts. Rejects with what stopped it. */
  async execute(
    migration: DataMigration,
    begun: Run,
  ): Promise<{ readonly sums: RunTotals; readonly counted: Counted }> {
    this.#counted = { rows: 0, changed: 0 };
    this.#begun = { name: migration.name, direction: begun.direction, hasDown: migration.down !== null };
    this.throwIfStopped(null);
    const ledger = new RunLedger(this.#input.control, this.#input.env, begun);
    try {
      const sums = await this.#workOnRun(migration, begun, ledger);
      return { sums, counted: this.#counted };
    } catch (error) {
      const isAway = error instanceof UmzugClusterError && error.code === 'DATABASE_UNAVAILABLE';
      if (this.#stopCode !== null || isAway) throw error;
      throw (await ledger.rewound()) ?? error;
    }
  }

  async #workOnRun(migration: DataMigration, begun: Run, ledger: RunLedger): Promise<RunTotals> {
    const meter = new ProgressMeter(begun, this.#input.onProgress);
    this.#input.control.onTrouble = (trouble) => meter.trouble(trouble);
    const by = { meter, ledger, signal: this.#drain.signal };
    const run = await sayAndWaitForOlder(this.#input, begun, by).catch((error: unknown) => {
      this.throwIfStopped(null);
      throw error;
    });
    const job = jobFor(this.#input.config, this.#input.server, migration, run);
    for (let pass = run; ;) {
      const sums = await this.#workOnPass(migration, pass, { ledger, job, meter });
      const { run: after, isEndless } = await ledger.finish();
      if (isEndless) sayEndless(this.#input.logger, after);
      if (after.state === 'done') {
        meter.finished();
        return sums;
      }
      this.throwIfStopped(sums, pass);
      if (after.state === 'failed') await ledger.throwQuarantined();
      if (after.state !== 'running' || after.epoch !== run.epoch) {
        throw stoppedElsewhere(migration.name, after, standingOf(pass, sums).fraction);
      }
      if (after.pass > pass.pass) saySweeping(this.#input.logger, after, sums.rows);
      pass = after;
    }
  }

  #count({ rows, changed }: ChunkReport): void {
    this.#counted = { rows: this.#counted.rows + rows, changed: this.#counted.changed + changed };
  }

  /** Begins no chunk from now on; running chunks are destroyed when the grace is over. */
  stop(code: ErrorCode, how: 'drain' | 'abort'): void {
    this.#stopCode ??= code;
    this.#drain.abort();
    this.#workers.tell({ type: 'drain' });
    if (how === 'abort') return this.#destroyChunks();
    const message = 'stopping: waiting for running chunks to finish; a second signal stops them at once';
    this.#input.logger.info({ event: 'run.stopping', code }, message);
    this.#later(() => this.#destroyChunks(), this.#input.env.tuning.graceMs);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#workers.leave(leaveMs);
    // Nothing is left to say on it, and a server that does not answer would hold up its end.
    if (this.#abort.signal.aborted) this.#input.control.cut(this.#stopped);
  }

  get #stopped(): Error {
    return stoppedByUser(this.#stopCode ?? 'STOPPED', null, this.#begun);
  }

  /** Rejects with the way the user stopped this command, if it was. */
  throwIfStopped(sums: RunTotals | null, run?: Run): void {
    if (this.#stopCode === null) return;
    throw stoppedByUser(this.#stopCode, run ? standingOf(run, sums).fraction : null, this.#begun);
  }

  /** Works until no range is open, or rejects with what stopped the run. */
  async #workOnPass(
    migration: DataMigration,
    run: Run,
    { ledger, job, meter }: { ledger: RunLedger; job: Job | null; meter: ProgressMeter },
  ): Promise<RunTotals> {
    try {
      await this.#workTogether(migration, run, { ledger, job, meter });
    } catch (error) {
      if (this.#stopCode !== null) this.throwIfStopped(await ledger.leave().catch(() => null), run);
      await ledger.markFailed(error);
      throw error;
    }
    const sums = await ledger.leave();
    meter.update({ sums, workers: this.#workers.busy + 1, pace: null, held: null, others: [] });
    return sums;
  }

  async #workTogether(
    migration: DataMigration,
    run: Run,
    { ledger, job, meter }: { ledger: RunLedger; job: Job | null; meter: ProgressMeter },
  ): Promise<void> {
    const { env, logger } = this.#input;
    const halt = new AbortController();
    const drain = AbortSignal.any([this.#drain.signal, halt.signal]);
    const failures: unknown[] = [];
    let settledAt = 0;
    let chunks = 0;
    const progress = newProgress();
    const deaths = new DeadWorkers();
    const forks = new ForkAdvice(this.#input.config, run);
    const events = {
      onChunk: (report: ChunkReport): void => {
        progress.lastAt = performance.now();
        this.#count(report);
        meter.chunk(report);
      },
      onFailed: (error: { code: ErrorCode; message: string }): void => {
        // The server may have no connection left for one more: the lanes here find out whether it is away.
        if (error.code === 'DATABASE_UNAVAILABLE') return this.#goOnWithout(error.message);
        failures.push(fail(error.code, error));
        halt.abort();
      },
      mayTryAgain: (): boolean =>
        !drain.aborted && (settledAt > 0 || performance.now() - progress.lastAt <= env.tuning.retryBudgetMs),
      onDeath: (pid: number): void => deaths.add(env.process.replace(/:\d+$/, `:${pid}:`)),
    };
    const advice = new LaneAdvice(ledger, env, (waits) => this.#workers.tell({ type: 'waits', waits }));
    const ended = runLanes({
      work: { env, migration, step: stepOf(migration, run.direction), run, logger, ...nothingLearnt() },
      process: env.process,
      lanes: env.tuning.lanes ?? (() => advice.waits),
      drain,
      abort: this.#abort.signal,
      onChunk: (report) => {
        this.#workers.progressed();
        this.#count(report);
        meter.chunk(report);
        forks.chunk(report);
      },
      progress,
      inherited: nothing,
    })
      .catch((error: unknown) => {
        failures.unshift(error);
        halt.abort();
        this.#workers.tell({ type: 'drain' });
      })
      .finally(() => {
        settledAt = performance.now();
        advice.end();
      });
    const heard = new OverridesLog(migration.name, logger);
    const still = new BlockerWatch(ledger, meter, progress);
    if (job !== null) this.#workers.assign(job, events);
    while (settledAt === 0 || this.#workers.busy > 0) {
      await Promise.race([settledAt > 0 ? sleep(20) : ended, tick(), deaths.next(), forks.news()]);
      if (drain.aborted) this.#workers.tell({ type: 'drain' });
      if (settledAt > 0) {
        this.#killStuck(settledAt, drain.aborted);
        continue;
      }
      // Lanes may settle before a server that is silent is given up.
      const read = await Promise.race([meter.during(ledger.read()).catch(() => null), ended]);
      if (!read) continue;
      const { sums, reading, others, held, undone } = read;
      if (undone > 0) sayRewound(logger, run, undone);
      // Lanes find out with their next claim or chunk, and those that wait for something not before.
      if (isTakenAway(reading, run)) halt.abort();
      heard.hear(reading.overrides);
      const { workers, pace } = steer(env.tuning, {}, reading.overrides);
      this.#workers.keep(workers - 1);
      meter.update({ sums, workers: this.#workers.busy + 1, pace, held, others });
      await Promise.race([still.tellAndLook(sums.chunks), ended]);
      // Where others make progress, this process may wait longer for a connection.
      if (sums.chunks > chunks) {
        progress.lastAt = performance.now();
        this.#workers.progressed();
      }
      chunks = sums.chunks;
      const now = { workers, overrides: reading.overrides, forked: this.#workers.count };
      if (job !== null && !drain.aborted && forks.pay(sums, now)) {
        try {
          this.#workers.fork({ ...job, inherited: deaths.inheritance(sums.workers) }, events);
        } catch (error) {
          failures.push(error);
          halt.abort();
        }
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** A stopped or blocked worker must not hold up a run that needs it no longer. */
  #killStuck(settledAt: number, isDraining: boolean): void {
    const isAborted = this.#abort.signal.aborted;
    const patienceMs = isDraining && !isAborted ? this.#input.env.tuning.graceMs + leaveMs : leaveMs;
    if (performance.now() - Math.max(settledAt, this.#abortedAt) > patienceMs) this.#workers.killBusy();
  }

  #goOnWithout(why: string): void {
    this.#input.logger.warn({ event: 'worker.idle', error: why }, `continuing with one worker fewer: ${why}`);
  }

  #destroyChunks(): void {
    this.#abortedAt = performance.now();
    this.#abort.abort();
    this.#workers.tell({ type: 'abort' });
    this.#later(() => this.#input.control.cut(this.#stopped), leaveMs);
  }

  /** Does something later, unless this is closed by then: the connection may serve another run. */
  #later(work: () => void, ms: number): void {
    this.#timers.push(setTimeout(work, ms).unref());
  }
}
