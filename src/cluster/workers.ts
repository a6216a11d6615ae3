import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fail } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Job, SentError, ToPrimary, ToWorker } from './protocol.ts';

export interface WorkersEvents {
  readonly onChunk: (report: Extract<ToPrimary, { type: 'chunk' }>['report']) => void;
  readonly onFailed: (error: SentError) => void;
  /** A worker died without having been asked to leave. */
  readonly onDeath: (pid: number) => void;
}

interface Member {
  readonly worker: Worker;
  busy: boolean;
  /** Set once the worker was told to go. */
  leaving: boolean;
}

// A migration that kills its workers again and again must not be restarted for ever.
// Enough for its chunk to be halved down to the row that kills.
const mostDeaths = 16;

/** The forked processes of this host: forks, hands out jobs, counts deaths, sees them off. */
export class Workers {
  readonly #logger: Logger;
  readonly #members = new Map<number, Member>();
  #deaths = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get count(): number {
    return this.#members.size;
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
        detail: 'out of memory, or process.exit in update',
        hint: 'lower --workers or --chunk-size, and look at what update does',
      });
    }
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
    cluster.setupPrimary({
      exec: fileURLToPath(new URL(file, import.meta.url)),
      args: [],
      execArgv: [],
      serialization: 'advanced',
    });
    const worker = cluster.fork();
    const member: Member = { worker, busy: true, leaving: false };
    const pid = worker.process.pid ?? 0;
    this.#members.set(pid, member);
    worker.on('message', (message: ToPrimary) => this.#listen(member, message, job, events));
    worker.on('error', () => undefined);
    worker.on('exit', (code, signal) => {
      this.#members.delete(pid);
      if (member.leaving) return;
      this.#deaths += 1;
      this.#logger.warn(
        { event: 'worker.died', pid, code, signal },
        `worker ${pid} died (${signal ?? `exit ${code}`}); its chunk was rolled back`,
      );
      events.onDeath(pid);
    });
    this.#logger.debug({ event: 'worker.forked', pid });
  }

  /** Hands a job to the workers that are there and idle. */
  assign(job: Job, events: WorkersEvents): void {
    for (const member of this.#members.values()) {
      if (member.busy || member.leaving) continue;
      member.busy = true;
      member.worker.removeAllListeners('message');
      member.worker.on('message', (message: ToPrimary) => this.#listen(member, message, job, events));
      this.#send(member, { type: 'work', job });
    }
  }

  drain(): void {
    for (const member of this.#members.values()) this.#send(member, { type: 'drain' });
  }

  abort(): void {
    for (const member of this.#members.values()) this.#send(member, { type: 'abort' });
  }

  /** Kills the workers that are still at work: they do not answer, and nothing is left for them to do. */
  killBusy(): void {
    for (const member of this.#members.values()) {
      if (!member.busy || member.leaving) continue;
      member.leaving = true;
      const { pid } = member.worker.process;
      this.#logger.warn({ event: 'worker.killed', pid }, `worker ${pid} does not answer: killed`);
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

  #send(member: Member, message: ToWorker): void {
    if (member.worker.isConnected()) member.worker.send(message);
  }

  #listen(member: Member, message: ToPrimary, job: Job, events: WorkersEvents): void {
    switch (message.type) {
      case 'hello':
        this.#send(member, { type: 'work', job });
        return;
      case 'chunk':
        this.#deaths = 0;
        events.onChunk(message.report);
        return;
      case 'log':
        this.#logger[message.level](message.fields, message.message);
        return;
      case 'finished':
        member.busy = false;
        return;
      case 'failed':
        member.busy = false;
        events.onFailed(message.error);
    }
  }
}
