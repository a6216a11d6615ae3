import type { Config } from '../../config/config.ts';
import type { Progress } from '../../core/progress/progress.ts';
import { standingOf } from '../../core/progress/standing.ts';
import { type ErrorCode, UmzugClusterError, stopCodes } from '../../errors.ts';
import { unseenMs } from '../../ledger/look/hosts.ts';
import type { Run, RunTotals } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';
import type { ServerFacts } from '../../postgres/transaction.ts';
import type { ChunkReport } from '../../run/lane/lane.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import type { DataMigration } from '../../run/context/step.ts';
import { type InSpan, openTrace, traced } from '../../telemetry/trace.ts';
import type { Control } from '../worker/control.ts';
import { jobFor } from '../worker/job.ts';
import type { Job } from '../worker/protocol.ts';
import { PassSupervisor, leaveMs } from './pass-supervisor.ts';
import { ProgressMeter } from './progress-meter.ts';
import { type Left, RunLedger } from './run-ledger.ts';
import { sayAndWaitForOlder } from './older.ts';
import { sayEndless, saySweeping } from './sweeping.ts';
import { type Begun, stoppedByUser, stoppedElsewhere } from './stopped.ts';
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

/** What the chunks of this host have told: rows that were passed to update, and rows that it changed. */
export interface Counted {
  readonly rows: number;
  readonly changed: number;
}

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
    this.#counted = { rows: 0, changed: 0 };
    this.#begun = { name: migration.name, direction: begun.direction, hasDown: migration.down !== null };
    const ledger = new RunLedger(this.#input.control, this.#input.env, begun);
    this.#ledger = ledger;
    try {
      this.throwIfStopped();
      const sums = await this.#workOnRun(migration, begun, ledger, span);
      return { sums: (await ledger.leave())?.sums ?? sums, counted: this.#counted };
    } catch (error) {
      if (this.#stopCode !== null) {
        throw stoppedByUser(this.#stopCode, this.#begun, standAt(begun, await ledger.leave()));
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
      const { held = null, others = [] } = reading ?? {};
      const isTeller = others.every((host) => host.seenAgoMs > unseenMs || env.process < host.process);
      note(progress);
      onProgress(progress, { runId: begun.id, held, isTeller });
    });
    this.#input.control.onTrouble = (trouble) => meter.trouble(trouble);
    const by = { meter, ledger, signal: this.#drain.signal };
    const run = await sayAndWaitForOlder(this.#input, begun, by);
    const job = jobFor(this.#input, migration, run);
    for (let pass = run; ;) {
      const sums = await traced(span?.trace ?? null, 'migration.pass', { pass: pass.pass }, (inPass) =>
        this.#workOnPass(migration, pass, { ledger, job, meter, span: inPass }),
      );
      const { run: after, isEndless } = await ledger.finish();
      if (isEndless) sayEndless(this.#input.logger, after);
      if (after.state === 'done') {
        meter.finished();
        return sums;
      }
      this.throwIfStopped();
      if (after.state === 'failed') await ledger.throwQuarantined();
      if (after.state !== 'running' || after.epoch !== run.epoch) {
        const holder = await ledger.holder(after);
        throw stoppedElsewhere(after, { fraction: standingOf(pass, sums).fraction, holder });
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
    void this.#ledger?.stopTelling();
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
    return stoppedByUser(this.#stopCode ?? 'STOPPED', this.#begun);
  }

  /** The time that this command was given is over. */
  get isOutOfTime(): boolean {
    return this.#stopCode === stopCodes.deadline;
  }

  /** Rejects with the way the user stopped this command, if it was. */
  throwIfStopped(): void {
    if (this.#stopCode !== null) throw this.#stopped;
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
      const shared = { ledger, meter, trace, job: job && { ...job, ...above } };
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
    this.#later(() => this.#input.control.cut(this.#stopped), leaveMs);
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
  return ({ rowsDone: rows, chunks, retries, quarantined, waiting, throttled }) => {
    span?.set({ rows, chunks, retries, quarantined });
    const reason = waiting ?? throttled;
    if (reason !== null && reason !== last) span?.event('waiting', { reason });
    last = reason;
  };
}

function standAt(run: Run, left: Left | null): Parameters<typeof stoppedByUser>[2] {
  const { sums = null, others = [] } = left ?? {};
  return { fraction: standingOf(run, sums).fraction, chunks: sums?.chunks ?? null, others };
}
