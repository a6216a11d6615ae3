import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeathTally } from '../../core/progress/death-tally.ts';
import { fail, messageOf } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { Tell } from '../../notify/happening.ts';
import { endedProcess } from '../../migration/handle/mistakes.ts';
import { type Job, type SentError, type ToPrimary, type ToWorker, workerExit } from './protocol.ts';
import { startWorker } from './worker-process.ts';

export interface WorkersEvents {
  readonly onChunk: (report: Extract<ToPrimary, { type: 'chunk' }>['report']) => void;
  readonly onTold: Tell;
  readonly onFailed: (error: SentError) => void;
  /** Whether a worker that cannot reach the database is to keep trying. */
  readonly mayTryAgain: () => boolean;
  /** A worker died without having been asked to leave. */
  readonly onDeath: (pid: number) => void;
}

interface Member {
  readonly process: ChildProcess;
  /** Settles when its process is gone, or was never there. */
  readonly gone: Promise<unknown>;
  /** What it works on, or worked on last. */
  job: Job;
  events: WorkersEvents;
  busy: boolean;
  /** It has committed a chunk. */
  hasBegun: boolean;
  /** It has no connection, which is reported once. */
  waiting: boolean;
  /** Set once the worker was told to go. */
  leaving: boolean;
  /** Set once it is to go when its chunks are done. */
  retiring: boolean;
}

/** The forked processes of this host: forks, hands out jobs, counts deaths, sees them off. */
export class Workers {
  readonly #logger: Logger;
  readonly #members = new Set<Member>();
  readonly #deaths = new DeathTally();
  #lastDeath = '';

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Workers that are to stay. */
  get count(): number {
    return this.#staying.length;
  }

  get #staying(): readonly Member[] {
    return [...this.#members].filter((member) => !member.leaving && !member.retiring);
  }

  /** Workers that are at work on the present job. */
  get busy(): number {
    return [...this.#members].filter((member) => member.busy).length;
  }

  /** Notes that the run made progress, wherever: only deaths without any may end it. */
  progressed(): void {
    this.#deaths.progressed('anybody');
  }

  /** Forks a worker, unless too many died a moment ago, and hands it the job when it is ready. */
  fork(job: Job, events: WorkersEvents): void {
    if (this.#deaths.isHopeless) {
      throw fail('MIGRATION_FAILED', {
        message: `${job.migration.name}: ${this.#deaths.inVain} workers died in a row without committing a chunk`,
        detail: `the last one: ${this.#lastDeath}`,
        hint: 'lower --workers or --chunk-size, and check what update does',
      });
    }
    if (!this.#deaths.mayFork(performance.now())) return;
    const process = startWorker();
    let isGone = (): void => undefined;
    const member: Member = {
      process,
      gone: new Promise<void>((resolve) => (isGone = resolve)),
      job,
      events,
      busy: true,
      hasBegun: false,
      waiting: false,
      leaving: false,
      retiring: false,
    };
    this.#members.add(member);
    const end = (cause: string, code: number | null = null, signal: string | null = null): void => {
      this.#members.delete(member);
      isGone();
      if (!member.leaving) this.#bury(member, { cause, code, signal });
    };
    process.on('message', (message: ToPrimary) => this.#listen(member, message));
    process.on('exit', (code, signal) => end(causeOfDeath(code, signal, member.job), code, signal));
    // Also where a message does not reach it any more, which its end explains.
    process.on('error', (error) => {
      if (process.pid === undefined) end(messageOf(error));
    });
    this.#logger.debug({ event: 'worker.forked', worker: pidOf(member) });
  }

  /** Hands a job to the workers that are there and idle. */
  assign(job: Job, events: WorkersEvents): void {
    for (const member of this.#members) {
      if (member.busy || member.leaving || member.retiring) continue;
      Object.assign(member, { job, events, busy: true });
      this.#send(member, { type: 'work', job });
    }
  }

  /** Says something to all of them. */
  tell(message: Extract<ToWorker, { type: 'drain' | 'abort' | 'waits' | 'throttle' }>): void {
    for (const member of this.#members) this.#send(member, message);
  }

  /** Keeps so many workers; those that are too many finish their chunks and go. */
  keep(count: number): void {
    for (const member of this.#staying.slice(Math.max(0, count))) {
      member.retiring = true;
      if (member.busy) this.#send(member, { type: 'drain' });
      else this.#dismiss(member);
    }
  }

  /** Ends the workers that are still starting, since all is done by others: nobody waits for them. */
  endStarting(): void {
    for (const member of this.#members) {
      if (!member.busy || member.hasBegun || member.leaving) continue;
      member.leaving = true;
      member.process.kill('SIGKILL');
    }
  }

  /** Kills the workers that are still at work: they do not answer, and nothing is left for them to do. */
  killBusy(): void {
    for (const member of this.#members) {
      if (!member.busy || member.leaving) continue;
      member.leaving = true;
      const pid = pidOf(member);
      this.#logger.warn(
        { event: 'worker.killed', worker: pid },
        `worker ${pid} stopped responding and was killed`,
      );
      member.process.kill('SIGKILL');
    }
  }

  /** Tells all workers to leave, and kills those that have not left within `patienceMs`. */
  async leave(patienceMs: number): Promise<void> {
    await Promise.all(
      [...this.#members].map(async (member) => {
        this.#dismiss(member);
        const timer = new AbortController();
        const late = sleep(patienceMs, 'late', { signal: timer.signal }).catch(() => 'gone');
        if ((await Promise.race([member.gone, late])) === 'late') member.process.kill('SIGKILL');
        timer.abort();
        await member.gone;
      }),
    );
  }

  #dismiss(member: Member): void {
    member.leaving = true;
    this.#send(member, { type: 'leave' });
  }

  #send(member: Member, message: ToWorker): void {
    // It may have died a moment ago, which its end will say.
    if (member.process.connected) member.process.send(message, () => undefined);
  }

  #bury(member: Member, { cause, code, signal }: Death): void {
    const { job, events } = member;
    const pid = pidOf(member);
    this.#deaths.died(performance.now());
    this.#lastDeath = cause;
    this.#logger.warn(
      { event: 'worker.died', worker: pid, code, signal },
      `worker ${pid} died (${cause}); its chunk was rolled back`,
    );
    events.onDeath(pid);
    if (code === workerExit.byAuthor) events.onFailed(endedProcess(job.migration.name));
  }

  /** Where there are fewer connections than workers, the others continue: whether anybody can is seen by the primary. */
  #unavailable(member: Member, error: SentError): void {
    const { job, events } = member;
    member.busy = events.mayTryAgain();
    if (!member.busy) return events.onFailed(error);
    const pid = pidOf(member);
    const record = { event: 'worker.waiting', worker: pid, error: error.message } as const;
    if (!member.waiting) this.#logger.warn(record, `worker ${pid} cannot start: ${error.message}`);
    member.waiting = true;
    this.#send(member, { type: 'work', job });
  }

  #listen(member: Member, message: ToPrimary): void {
    const { job, events } = member;
    switch (message.type) {
      case 'hello':
        if (member.retiring) return this.#dismiss(member);
        this.#send(member, { type: 'work', job });
        return;
      case 'chunk':
        this.#deaths.progressed('worker');
        member.hasBegun = true;
        member.waiting = false;
        events.onChunk(message.report);
        return;
      case 'log':
        this.#logger[message.level](message.record, message.message);
        return;
      case 'told':
        return events.onTold(message.happening);
      case 'finished':
        member.busy = false;
        if (member.retiring) this.#dismiss(member);
        return;
      case 'failed':
        if (message.error.code === 'DATABASE_UNAVAILABLE') return this.#unavailable(member, message.error);
        member.busy = false;
        events.onFailed(message.error);
    }
  }
}

interface Death {
  readonly cause: string;
  readonly code: number | null;
  readonly signal: string | null;
}

/** 0 where its process did not start. */
function pidOf({ process }: Member): number {
  return process.pid ?? 0;
}

function causeOfDeath(code: number | null, signal: string | null, job: Job): string {
  if (code === workerExit.byAuthor) return 'process.exit';
  if (code === workerExit.blocked) {
    return `update blocked its event loop for more than ${job.config.tuning.ceilingMs / 1_000} s`;
  }
  return signal ?? `exit ${code}`;
}
