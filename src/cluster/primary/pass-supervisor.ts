import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config/config.ts';
import { steer } from '../../core/config/steering.ts';
import { type ErrorCode, fail } from '../../errors.ts';
import type { Run, RunTotals } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';
import { nothingLearnt } from '../../run/context/chunk-work.ts';
import { type RunEnvironment, processName } from '../../run/context/environment.ts';
import { type DataMigration, stepOf } from '../../run/context/step.ts';
import { newProgress, nothing, runLanes } from '../../run/lane/lane-pool.ts';
import type { ChunkReport, LaneLimit } from '../../run/lane/lane.ts';
import { TableVacuum } from '../../run/maintenance/vacuum.ts';
import type { Held } from '../../core/throttle/decision.ts';
import type { Trace } from '../../telemetry/trace.ts';
import { DeadWorkers } from '../worker/dead-workers.ts';
import type { Job } from '../worker/protocol.ts';
import type { WorkersEvents, Workers } from '../worker/workers.ts';
import { BlockerWatch } from './blocker-watch.ts';
import { ForkAdvice } from './fork-advice.ts';
import { LaneAdvice } from './lane-advice.ts';
import { OverridesLog } from './overrides-log.ts';
import type { ProgressMeter } from './progress-meter.ts';
import { sayRewound } from './rewound.ts';
import type { RunStanding, RunLedger } from './run-ledger.ts';
import { isTakenAway, stoppedByThrottle } from './stopped.ts';

// Often enough for a redrawn line, rare enough to cost nothing: one small query each. It keeps no process alive.
const tickMs = 250;

/** After the grace, workers get this long to leave before they are killed. */
export const leaveMs = 1_000;

export interface PassInput {
  readonly config: Config;
  readonly env: RunEnvironment;
  readonly logger: Logger;
  readonly migration: DataMigration;
  readonly run: Run;
  readonly ledger: RunLedger;
  readonly meter: ProgressMeter;
  readonly workers: Workers;
  /** What a forked worker is sent; null: none can be forked. */
  readonly job: Job | null;
  /** Rows of the run at which it ends; null: none. */
  readonly limit: LaneLimit | null;
  /** Where its chunks are traced; null: nobody listens. */
  readonly trace: Trace | null;
  /** Aborts when no chunk is to start any more. */
  readonly drain: AbortSignal;
  /** Aborts when running chunks are to be destroyed. */
  readonly abort: AbortSignal;
  /** Called with each chunk of this host. */
  readonly onChunk: (report: ChunkReport) => void;
}

/** Supervises one pass of a run on this host: lanes here, forked workers, what is shown, and the reasons to stop. */
export class PassSupervisor {
  readonly #input: PassInput;
  readonly #halt = new AbortController();
  readonly #drain: AbortSignal;
  readonly #failures: unknown[] = [];
  readonly #progress = newProgress();
  readonly #deaths = new DeadWorkers();
  readonly #forks: ForkAdvice;
  readonly #overrides: OverridesLog;
  readonly #blockers: BlockerWatch;
  readonly #vacuum: TableVacuum | null;
  #lanes: Promise<void> = Promise.resolve();
  #lanesEndedAt = 0;
  #abortedAt = 0;
  #chunks = 0;

  constructor(input: PassInput) {
    this.#input = input;
    const { abort, config, drain, env, ledger, logger, meter, migration, run } = input;
    this.#drain = AbortSignal.any([drain, this.#halt.signal]);
    this.#forks = new ForkAdvice(config, run);
    this.#overrides = new OverridesLog(migration.name, logger);
    this.#blockers = new BlockerWatch(ledger, meter, this.#progress);
    const isVacuumed = migration.options.vacuum === true;
    this.#vacuum = isVacuumed ? new TableVacuum(env, run, logger, (work) => ledger.attempt(work)) : null;
    abort.addEventListener('abort', () => (this.#abortedAt = performance.now()), { once: true });
  }

  /** Works until no range is open, here and in forked workers. Rejects with what stopped it first. */
  async work(): Promise<void> {
    const { job, workers } = this.#input;
    const events = this.#workerEvents();
    this.#lanes = this.#startLanes();
    if (job !== null) workers.assign(job, events);
    try {
      while (this.#lanesEndedAt === 0 || workers.busy > 0) {
        await this.#news();
        if (this.#drain.aborted) workers.tell({ type: 'drain' });
        if (this.#lanesEndedAt > 0) this.#killStuck();
        else await this.#look(events);
      }
    } finally {
      await this.#vacuum?.stop();
    }
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  #startLanes(): Promise<void> {
    const { abort, env, ledger, limit, logger, migration, onChunk, run, trace, workers } = this.#input;
    const advice = new LaneAdvice(ledger, env, (waits) => workers.tell({ type: 'waits', waits }));
    return runLanes({
      work: {
        env,
        migration,
        step: stepOf(migration, run.direction),
        run,
        logger,
        trace,
        ...nothingLearnt(),
      },
      process: env.process,
      lanes: limit === null ? (env.tuning.lanes ?? (() => advice.waits)) : 1,
      limit,
      drain: this.#drain,
      abort,
      onChunk: (report) => {
        workers.progressed();
        onChunk(report);
        this.#forks.chunk(report);
      },
      progress: this.#progress,
      inherited: nothing,
    })
      .catch((error: unknown) => {
        this.#failures.unshift(error);
        this.#halt.abort();
        workers.tell({ type: 'drain' });
      })
      .finally(() => {
        this.#lanesEndedAt = performance.now();
        advice.end();
      });
  }

  #workerEvents(): WorkersEvents {
    const { env, logger, onChunk } = this.#input;
    return {
      onChunk: (report: ChunkReport): void => {
        this.#progress.lastAt = performance.now();
        onChunk(report);
      },
      onTold: env.tell,
      onFailed: (error: { code: ErrorCode; message: string }): void => {
        // The server may have no connection left for one more: the lanes here find out whether it is unavailable.
        if (error.code === 'DATABASE_UNAVAILABLE') {
          const { message } = error;
          logger.warn(
            { event: 'worker.idle', error: message },
            `continuing with one worker fewer: ${message}`,
          );
          return;
        }
        this.#failed(fail(error.code, error));
      },
      mayTryAgain: (): boolean => {
        const quietMs = performance.now() - this.#progress.lastAt;
        return !this.#drain.aborted && (this.#lanesEndedAt > 0 || quietMs <= env.tuning.retryBudgetMs);
      },
      onDeath: (pid: number): void => this.#deaths.add(`${processName(pid, env.token)}:`),
    };
  }

  /** Waits for the next thing to look at; no longer than a tick. */
  async #news(): Promise<void> {
    const lanes = this.#lanesEndedAt > 0 ? sleep(20) : this.#lanes;
    const tick = sleep(tickMs, undefined, { ref: false });
    await Promise.race([lanes, tick, this.#deaths.next(), this.#forks.news()]);
  }

  /** Reads the ledger; shows what it says, and does what it asks for. */
  async #look(events: WorkersEvents): Promise<void> {
    const { ledger, meter } = this.#input;
    // Lanes may end before a server that is silent is abandoned.
    const read = await Promise.race([meter.during(ledger.read()).catch(() => null), this.#lanes]);
    if (!read) return;
    this.#obey(read);
    await Promise.race([this.#blockers.tellAndLook(read.sums.chunks), this.#lanes]);
    await Promise.race([this.#vacuum?.look(), this.#lanes]);
    this.#noteProgress(read.sums);
    this.#forkWhereItPays(read, events);
  }

  #obey({ sums, reading, others, undone }: RunStanding): void {
    const { env, logger, meter, run, workers } = this.#input;
    if (undone > 0) sayRewound(logger, run, undone);
    // Lanes find out with their next claim or chunk, and those that wait for something not before.
    if (isTakenAway(reading, run)) this.#halt.abort();
    this.#overrides.log(reading.overrides);
    const { workers: most, pace } = steer(env.tuning, {}, reading.overrides);
    workers.keep(most - 1);
    const held = this.#heldBack(sums);
    meter.update({ sums, workers: workers.busy + 1, lanes: this.#progress.lanes, pace, held, others });
  }

  /** Ends the work where the throttle asks for it. A run that is held back has no trouble: time does not count for it. */
  #heldBack(sums: RunTotals): Held | null {
    const { env, run } = this.#input;
    const { abort, hold } = env.throttle.decision;
    if (abort !== null && !this.#drain.aborted) this.#failed(stoppedByThrottle(run, sums, abort));
    if (hold !== null) {
      this.#progress.lastAt = performance.now();
      this.#input.workers.progressed();
    }
    return env.throttle.tell();
  }

  /** Where others make progress, this process may wait longer for a connection. */
  #noteProgress({ chunks }: RunTotals): void {
    if (chunks > this.#chunks) {
      this.#progress.lastAt = performance.now();
      this.#input.workers.progressed();
    }
    this.#chunks = chunks;
  }

  #forkWhereItPays({ sums, reading: { overrides } }: RunStanding, events: WorkersEvents): void {
    const { env, job, workers } = this.#input;
    const most = steer(env.tuning, {}, overrides).workers;
    const { factor, hold } = env.throttle.decision;
    if (job === null || this.#drain.aborted || factor < 1 || hold !== null) return;
    if (!this.#forks.pay(sums, { workers: most, overrides, forked: workers.count })) return;
    try {
      workers.fork({ ...job, inherited: this.#deaths.inheritance(sums.workers) }, events);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#failures.push(error);
    this.#halt.abort();
  }

  /** A stopped or blocked worker must not hold up a run that needs it no longer. */
  #killStuck(): void {
    const { abort, env, workers } = this.#input;
    // Lanes that end by themselves have found no open range, so no chunk is under way in a worker either.
    if (!this.#drain.aborted) workers.endStarting();
    const isDraining = this.#drain.aborted && !abort.aborted;
    const patienceMs = isDraining ? env.tuning.graceMs + leaveMs : leaveMs;
    if (performance.now() - Math.max(this.#lanesEndedAt, this.#abortedAt) > patienceMs) workers.killBusy();
  }
}
