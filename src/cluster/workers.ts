import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { StageTimes } from '../core/profile.ts';
import { fail } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { endedProcess } from '../migration/mistakes.ts';
import { heapFlags } from './heap.ts';
import { type Job, type SentError, type ToPrimary, type ToWorker, workerExit } from './protocol.ts';

export interface WorkersEvents {
  readonly onChunk: (report: Extract<ToPrimary, { type: 'chunk' }>['report']) => void;
  readonly onFailed: (error: SentError) => void;
  /** Whether a worker that cannot reach the database is to go on trying. */
  readonly mayTryAgain: () => boolean;
  /** A worker died without having been asked to leave. */
  readonly onDeath: (pid: number) => void;
  /** A worker is there, so long after its fork. */
  readonly onHello: (ms: number) => void;
  /** What a worker has measured of the job that it finished. */
  readonly onTimes: (times: StageTimes) => void;
}

interface Member {
  readonly worker: Worker;
  /** What it works on, or worked on last. */
  job: Job;
  events: WorkersEvents;
  readonly forkedAt: number;
  busy: boolean;
  /** It has no connection, which is said once. */
  waiting: boolean;
  /** Set once the worker was told to go. */
  leaving: boolean;
  /** Set once it is to go when its chunks are done. */
  retiring: boolean;
}

// A migration that kills its workers again and again must not be restarted for ever.
// Enough for its chunk to be halved down to the row that kills.
const mostDeaths = 16;

/** The forked processes of this host: forks, hands out jobs, counts deaths, sees them off. */
export class Workers {
  readonly #logger: Logger;
  readonly #members = new Map<number, Member>();
  #deaths = 0;
  #lastDeath = '';

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Workers that are to stay. */
  get count(): number {
    return this.#staying.length;
  }

  get #staying(): readonly Member[] {
    return [...this.#members.values()].filter((member) => !member.leaving && !member.retiring);
  }

  /** Workers that are at work on the present job. */
  get busy(): number {
    return [...this.#members.values()].filter((member) => member.busy).length;
  }

  /** Forks a worker and hands it the job when it is ready. */
  fork(job: Job, events: WorkersEvents): void {
    if (this.#deaths >= mostDeaths) {
      throw fail('MIGRATION_FAILED', {
        message: `${job.migration.name}: ${this.#deaths} workers died`,
        detail: `the last one: ${this.#lastDeath}`,
        hint: 'lower --workers or --chunk-size, and look at what update does',
      });
    }
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
    cluster.setupPrimary({
      exec: fileURLToPath(new URL(file, import.meta.url)),
      args: [],
      execArgv: [...heapFlags],
      serialization: 'advanced',
    });
    const worker = cluster.fork();
    const member: Member = {
      worker,
      job,
      events,
      forkedAt: performance.now(),
      busy: true,
      waiting: false,
      leaving: false,
      retiring: false,
    };
    const pid = worker.process.pid ?? 0;
    this.#members.set(pid, member);
    worker.on('message', (message: ToPrimary) => this.#listen(member, message));
    worker.on('error', () => undefined);
    worker.on('exit', (code, signal) => {
      this.#members.delete(pid);
      if (!member.leaving) this.#bury(member, pid, code, signal);
    });
    this.#logger.debug({ event: 'worker.forked', worker: pid });
  }

  /** Hands a job to the workers that are there and idle. */
  assign(job: Job, events: WorkersEvents): void {
    for (const member of this.#members.values()) {
      if (member.busy || member.leaving || member.retiring) continue;
      Object.assign(member, { job, events, busy: true });
      this.#send(member, { type: 'work', job });
    }
  }

  /** Says something to all of them. */
  tell(message: Extract<ToWorker, { type: 'drain' | 'abort' | 'waits' }>): void {
    for (const member of this.#members.values()) this.#send(member, message);
  }

  /** Keeps so many workers; those that are too many finish their chunks and go. */
  keep(count: number): void {
    for (const member of this.#staying.slice(Math.max(0, count))) {
      member.retiring = true;
      if (member.busy) this.#send(member, { type: 'drain' });
      else this.#dismiss(member);
    }
  }

  /** Kills the workers that are still at work: they do not answer, and nothing is left for them to do. */
  killBusy(): void {
    for (const member of this.#members.values()) {
      if (!member.busy || member.leaving) continue;
      member.leaving = true;
      const { pid = 0 } = member.worker.process;
      this.#logger.warn({ event: 'worker.killed', worker: pid }, `worker ${pid} does not answer: killed`);
      member.worker.process.kill('SIGKILL');
    }
  }

  /** Tells all workers to leave, and kills those that have not left within `patienceMs`. */
  async leave(patienceMs: number): Promise<void> {
    const members = [...this.#members.values()];
    await Promise.all(
      members.map(async (member) => {
        member.leaving = true;
        const exit = member.worker.isDead() ? Promise.resolve() : once(member.worker, 'exit');
        this.#send(member, { type: 'leave' });
        const timer = new AbortController();
        const late = sleep(patienceMs, 'late', { signal: timer.signal }).catch(() => 'gone');
        if ((await Promise.race([exit, late])) === 'late') member.worker.process.kill('SIGKILL');
        timer.abort();
        await exit;
      }),
    );
  }

  #dismiss(member: Member): void {
    member.leaving = true;
    this.#send(member, { type: 'leave' });
  }

  #send(member: Member, message: ToWorker): void {
    if (member.worker.isConnected()) member.worker.send(message);
  }

  #bury({ job, events }: Member, pid: number, code: number, signal: string | null): void {
    this.#deaths += 1;
    this.#lastDeath = causeOfDeath(code, signal, job);
    this.#logger.warn(
      { event: 'worker.died', worker: pid, code, signal },
      `worker ${pid} died (${this.#lastDeath}); its chunk was rolled back`,
    );
    events.onDeath(pid);
    if (code === workerExit.byAuthor) events.onFailed(endedProcess(job.migration.name));
  }

  /** Where there are fewer connections than workers, the others go on: whether anybody can is seen by the primary. */
  #unavailable(member: Member, error: SentError): void {
    const { job, events, worker } = member;
    member.busy = events.mayTryAgain();
    if (!member.busy) return events.onFailed(error);
    const { pid = 0 } = worker.process;
    const record = { event: 'worker.waiting', worker: pid, error: error.message } as const;
    if (!member.waiting) this.#logger.warn(record, `worker ${pid} cannot work: ${error.message}`);
    member.waiting = true;
    this.#send(member, { type: 'work', job });
  }

  #listen(member: Member, message: ToPrimary): void {
    const { job, events } = member;
    switch (message.type) {
      case 'hello':
        events.onHello(performance.now() - member.forkedAt);
        if (member.retiring) return this.#dismiss(member);
        this.#send(member, { type: 'work', job });
        return;
      case 'chunk':
        this.#deaths = 0;
        member.waiting = false;
        events.onChunk(message.report);
        return;
      case 'log':
        this.#logger[message.level](message.record, message.message);
        return;
      case 'finished':
        member.busy = false;
        if (message.times !== null) events.onTimes(message.times);
        if (member.retiring) this.#dismiss(member);
        return;
      case 'failed':
        if (message.error.code === 'DATABASE_UNAVAILABLE') return this.#unavailable(member, message.error);
        member.busy = false;
        events.onFailed(message.error);
    }
  }
}

function causeOfDeath(code: number, signal: string | null, job: Job): string {
  if (code === workerExit.byAuthor) return 'process.exit';
  if (code === workerExit.blocked) {
    return `update blocked its event loop for more than ${job.config.tuning.ceilingMs / 1_000} s`;
  }
  return signal ?? `exit ${code}`;
}
