import type { Config } from '../../config/config.ts';
import type { Progress } from '../../core/progress/progress.ts';
import { standingOf } from '../../core/progress/standing.ts';
import { type ErrorCode, UmzugClusterError, stopCodes } from '../../errors.ts';
import { unseenMs } from '../../ledger/look/hosts.ts';
import type { Run, RunTotals } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';
import type { ServerFacts } from '../../postgres/transaction.ts';
import type { Updates } from '../../run/chunk/write-counters.ts';
import type { ChunkReport } from '../../run/lane/lane.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import type { DataMigration } from '../../run/context/step.ts';
import { type Ruling } from '../../throttle/gate.ts';
import { openThrottle } from '../../throttle/open.ts';
import type { ThrottleWatch } from '../../throttle/watch.ts';
import { free } from '../../core/throttle/decision.ts';
import { type InSpan, openTrace, traced } from '../../telemetry/trace.ts';
import type { Control } from '../worker/control.ts';
import { jobFor } from '../worker/job.ts';
import type { Job } from '../worker/protocol.ts';
import { PassSupervisor, leaveMs } from './pass-supervisor.ts';
import { ProgressMeter } from './progress-meter.ts';
import { type Left, RunLedger } from './run-ledger.ts';
import { sayAndWaitForOlder } from './older.ts';
import { sayEndless, sayOrder, saySweeping } from './sweeping.ts';
import {
  type Begun,
  type ReachedLimit,
  hasOtherOrder,
  stoppedAtLimit,
  stoppedByUser,
  stoppedElsewhere,
} from './stopped.ts';
import { Workers } from '../worker/workers.ts';

export interface PrimaryInput {
  readonly config: Config;
  readonly env: RunEnvironment;
  readonly server: ServerFacts;
  readonly control: Control;
  readonly logger: Logger;
  readonly onProgress: (progress: Progress, seen: Seen) => void;
}

/** What a reading of a run says beside its progress. */
export interface Seen {
  readonly runId: string;
  /** Why no chunk begins here that nobody has asked to wait, or null. */
  readonly held: string | null;
  /** This is the one of its hosts that tells of what all of them see. */
  readonly isTeller: boolean;
}

/** Rows after which a command stops. */
export interface RowLimit {
  /** The rows of the run then. */
  readonly stopAt: number;
  /** As somebody has asked, of all runs of the command. */
  readonly asked: number;
}

/** What the chunks of this host have told: rows that were passed to update, and rows that it changed. */
export interface Counted extends Updates {
  readonly rows: number;
  readonly changed: number;
  /** Columns that were set; null: some statement does not say which. */
  readonly columns: readonly string[] | null;
}

const nothingCounted: Counted = { rows: 0, changed: 0, updated: 0, hot: 0, columns: [] };

/** Executes runs on this host, pass after pass, until they are done on all hosts; and stops. */
export class Primary {
  readonly #input: PrimaryInput;
  readonly #workers: Workers;
  readonly #drain = new AbortController();
  readonly #abort = new AbortController();
  #stopCode: ErrorCode | null = null;
  #begun: Begun | null = null;
  #ledger: RunLedger | null = null;
  readonly #timers: NodeJS.Timeout[] = [];
  #counted = nothingCounted;
  /** Rows after which this command stops. */
  #limit: RowLimit | null = null;
  /** So many were asked for, and so many it has done; null: it has not come so far. */
  #limitReached: ReachedLimit | null = null;

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
    limit: RowLimit | null = null,
  ): Promise<{ readonly sums: RunTotals; readonly counted: Counted }> {
    this.#limit = limit;
    const about = { migration: begun.name, direction: begun.direction, run: begun.id };
    return await traced(await openTrace(), 'migration.run', about, (span) =>
      this.#execute(migration, begun, span),
    );
  }

  async #execute(
    migration: DataMigration,
    begun: Run,
    span: InSpan | null,
  ): Promise<{ readonly sums: RunTotals; readonly counted: Counted }> {
    this.#counted = nothingCounted;
    const hasDown = migration.down !== null || begun.plan.undo !== undefined;
    this.#begun = { name: migration.name, direction: begun.direction, hasDown };
    const ledger = new RunLedger(this.#input.control, this.#input.env, begun);
    this.#ledger = ledger;
    try {
      this.throwIfStopped();
      const sums = await this.#workOnRun(migration, begun, ledger, span);
      return { sums: (await ledger.leave())?.sums ?? sums, counted: this.#counted };
    } catch (error) {
      if (this.#stopCode !== null) {
        throw this.#stoppedAt(standAt(begun, await ledger.leave()));
      }
      if (error instanceof UmzugClusterError && error.code === 'DATABASE_UNAVAILABLE') throw error;
      throw (await ledger.rewound()) ?? error;
    } finally {
      await ledger.stopTelling();
    }
  }

  async #workOnRun(
    migration: DataMigration,
    begun: Run,
    ledger: RunLedger,
    span: InSpan | null,
  ): Promise<RunTotals> {
    const { env, onProgress } = this.#input;
    const note = noteProgress(span);
    const meter = new ProgressMeter(begun, (progress, reading) => {
      const { held, others = [] } = reading ?? {};
      const isTeller = others.every((host) => host.seenAgoMs > unseenMs || env.process < host.process);
      note(progress);
      onProgress(progress, { runId: begun.id, held: held?.isHold === true ? held.text : null, isTeller });
    });
    this.#input.control.onTrouble = (trouble) => meter.trouble(trouble);
    const by = { meter, ledger, signal: this.#drain.signal };
    const run = await sayAndWaitForOlder(this.#input, begun, by);
    const throttle = await this.#watchThrottle(migration, run, ledger);
    try {
      return await this.#workOnPasses(migration, run, { ledger, meter, span });
    } finally {
      throttle.end();
      this.#rule({ decision: free, isAsked: false });
    }
  }

  /** From now on this host knows what holds the run back; before its first chunk it knows what somebody has asked for. */
  async #watchThrottle(migration: DataMigration, run: Run, ledger: RunLedger): Promise<ThrottleWatch> {
    const { config, env } = this.#input;
    const { pinned, searchPath, tuning } = env;
    const { ask } = ledger;
    const about = {
      migration: migration.name,
      table: run.plan.images?.table ?? run.plan.base,
      overrides: () => ledger.overrides,
    };
    const input = { config: config.throttle, tuning, ask, settings: pinned, searchPath, ...about };
    const throttle = openThrottle(input, (ruling) => this.#rule(ruling));
    const { signal } = this.#drain;
    const drained = new Promise<void>((resolve) =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    );
    if (!signal.aborted) await Promise.race([throttle.ready, drained]);
    return throttle;
  }

  #rule(ruling: Ruling): void {
    this.#input.env.throttle.set(ruling);
    this.#workers.tell({ type: 'throttle', ruling });
  }

  async #workOnPasses(
    migration: DataMigration,
    run: Run,
    { ledger, meter, span }: Omit<PassParts, 'job'>,
  ): Promise<RunTotals> {
    // Which rows are the first ones only one lane can tell.
    const job = this.#limit === null ? jobFor(this.#input, migration, run) : null;
    for (let pass = run; ;) {
      const sums = await traced(span?.trace ?? null, 'migration.pass', { pass: pass.pass }, (inPass) =>
        this.#workOnPass(migration, pass, { ledger, job, meter, span: inPass }),
      );
      const { run: after, isEndless } = await ledger.finish(migration);
      if (isEndless) sayEndless(this.#input.logger, after);
      if (after.state === 'done') {
        meter.finished();
        return sums;
      }
      this.throwIfStopped();
      if (after.state === 'failed') await ledger.throwQuarantined();
      const isReordered = hasOtherOrder(after, pass);
      if (after.state !== 'running' || (after.epoch !== pass.epoch && !isReordered)) {
        const holder = await ledger.holder(after);
        throw stoppedElsewhere(after, { fraction: standingOf(pass, sums).fraction, holder });
      }
      if (isReordered) {
        ledger.follow(after);
        meter.follow(after);
        sayOrder(this.#input.logger, pass, after);
      } else if (after.pass > pass.pass) saySweeping(this.#input.logger, after, sums.rows);
      pass = after;
    }
  }

  #count({ rows, changed, updates, columns }: ChunkReport): void {
    const before = this.#counted;
    this.#counted = {
      rows: before.rows + rows,
      changed: before.changed + changed,
      updated: before.updated + updates.updated,
      hot: before.hot + updates.hot,
      columns: columns && before.columns && [...new Set([...before.columns, ...columns])],
    };
  }

  /** Begins no chunk from now on; running chunks are destroyed when the grace is over. */
  stop(code: ErrorCode, how: 'drain' | 'abort'): void {
    this.#stopCode ??= code;
    this.#drain.abort();
    this.#workers.tell({ type: 'drain' });
    void this.#ledger?.stopTelling();
    if (how === 'abort') return this.#destroyChunks();
    const message = 'stopping: waiting for running chunks to finish; a second signal stops them at once';
    this.#input.logger.info({ event: 'run.stopping', code }, message);
    this.#later(() => this.#destroyChunks(), this.#input.env.tuning.graceMs);
  }

  /** Begins no chunk from now on: the rows that were asked for are done, or all of the part of the keys. */
  stopAtLimit(reached: ReachedLimit): void {
    if (this.#stopCode === null) this.#limitReached = reached;
    this.#stopCode ??= 'STOPPED';
    this.#drain.abort();
    void this.#ledger?.stopTelling();
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#workers.leave(leaveMs);
    // Nothing is left to say on it, and a server that does not answer would hold up its end.
    if (this.#abort.signal.aborted) this.#input.control.cut(this.#stoppedAt());
  }

  #stoppedAt(left?: Parameters<typeof stoppedByUser>[2]): Error {
    if (this.#limitReached !== null) return stoppedAtLimit(this.#limitReached, this.#begun, left);
    return stoppedByUser(this.#stopCode ?? 'STOPPED', this.#begun, left);
  }

  /** The time that this command was given is over. */
  get isOutOfTime(): boolean {
    return this.#stopCode === stopCodes.deadline && this.#limitReached === null;
  }

  /** Rejects with the way the user stopped this command, if it was. */
  throwIfStopped(): void {
    if (this.#stopCode !== null) throw this.#stoppedAt();
  }

  /** Works until no range is open, or rejects with what stopped the run. */
  async #workOnPass(
    migration: DataMigration,
    run: Run,
    { ledger, job, meter, span }: PassParts,
  ): Promise<RunTotals> {
    try {
      const { config, env, logger } = this.#input;
      const [drain, abort] = [this.#drain.signal, this.#abort.signal];
      const onChunk = (report: ChunkReport): void => {
        this.#count(report);
        meter.chunk(report);
      };
      const trace = span?.trace ?? null;
      const above = trace === null ? {} : { above: trace.carrier };
      const limit = this.#limit && {
        stopAt: this.#limit.stopAt,
        reached: (left: number) => {
          const asked = this.#limit?.asked ?? 0;
          this.stopAtLimit({ asked, rows: asked - left });
        },
      };
      const shared = { ledger, meter, trace, limit, job: job && { ...job, ...above } };
      const pass = { config, env, logger, migration, run, workers: this.#workers, ...shared };
      await new PassSupervisor({ ...pass, drain, abort, onChunk }).work();
    } catch (error) {
      if (this.#stopCode === null) await ledger.markFailed(error);
      throw error;
    }
    const sums = await ledger.sums();
    span?.set({ rows: sums.rows, chunks: sums.chunks });
    meter.update({ sums, workers: this.#workers.busy + 1, lanes: 0, pace: null, held: null, others: [] });
    return sums;
  }

  #destroyChunks(): void {
    this.#abort.abort();
    this.#workers.tell({ type: 'abort' });
    this.#later(() => this.#input.control.cut(this.#stoppedAt()), leaveMs);
  }

  /** Does something later, unless this is closed by then: the connection may serve another run. */
  #later(work: () => void, ms: number): void {
    this.#timers.push(setTimeout(work, ms).unref());
  }
}

interface PassParts {
  readonly ledger: RunLedger;
  readonly job: Job | null;
  readonly meter: ProgressMeter;
  readonly span: InSpan | null;
}

/** Keeps in the span of a run what its progress says, and each thing that it waits for. */
function noteProgress(span: InSpan | null): (progress: Progress) => void {
  let last: string | null = null;
  return ({ rowsDone: rows, chunks, retries, quarantined, waiting, throttled, throttledBy }) => {
    span?.set({ rows, chunks, retries, quarantined });
    const reason = waiting ?? throttled;
    const kind = waiting ?? throttledBy;
    if (reason !== null && kind !== last) span?.event('waiting', { reason });
    last = kind;
  };
}

function standAt(run: Run, left: Left | null): Parameters<typeof stoppedByUser>[2] {
  const { sums = null, others = [] } = left ?? {};
  return { fraction: standingOf(run, sums).fraction, chunks: sums?.chunks ?? null, others };
}
