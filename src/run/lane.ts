import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../core/backoff.ts';
import { initialChunkSize, nextChunkSize } from '../core/chunk-size.ts';
import { judge } from '../core/verdict.ts';
import { UmzugClusterError, fail, messageOf } from '../errors.ts';
import { recordFailure } from '../ledger/chunks.ts';
import { claim, totals } from '../ledger/ranges.ts';
import type { Range } from '../ledger/rows.ts';
import { Session } from '../postgres/session.ts';
import { type ChunkOutcome, type ChunkWork, runChunk } from './chunk.ts';
import { steal } from './steal.ts';

/** What a lane tells after each committed chunk. */
export interface ChunkReport {
  readonly rows: number;
  readonly size: number;
  readonly durationMs: number;
  /** The chunk came back full: there is more to do. */
  readonly full: boolean;
}

export interface LaneOptions {
  readonly work: ChunkWork;
  /** `host:pid:lane`, shown in the ledger. */
  readonly worker: string;
  /** Aborts when no further chunk is to begin. */
  readonly drain: AbortSignal;
  /** Aborts when running chunks are to be destroyed. */
  readonly abort: AbortSignal;
  readonly onChunk: (report: ChunkReport) => void;
  /** Shared by the lanes of a process: when the run last made progress here. */
  readonly progress: { lastAt: number };
}

const idlePollMs = 100;
const retryBaseMs = 50;
const retryCapMs = 2_000;

/**
 * Works on a run until no range is open, the run is stopped, or `drain` aborts: claim a range, or steal
 * part of one, then chunk after chunk. Rejects with what stops the run.
 */
export async function runLane(options: LaneOptions): Promise<void> {
  const lane = new Lane(options);
  try {
    await lane.loop();
  } finally {
    await lane.close();
  }
}

class Lane {
  readonly #options: LaneOptions;
  #session: Session | null = null;
  #size: number;
  #failures = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#size = this.#fixedSize() ?? initialChunkSize;
  }

  async loop(): Promise<void> {
    while (!this.#options.drain.aborted) {
      const next = await this.#withRetry(() => this.#findRange());
      if (next === 'finished') return;
      if (next === 'idle') await this.#idle(idlePollMs);
      else if ((await this.#workRange(next)) === 'stopped') return;
    }
  }

  async close(): Promise<void> {
    await this.#session?.end();
  }

  #fixedSize(): number | null {
    const { migration, env } = this.#options.work;
    return env.tuning.chunkSize ?? migration.options.chunkSize ?? null;
  }

  async #connected(): Promise<Session> {
    if (this.#session?.usable) return this.#session;
    this.#session = await Session.open(this.#options.work.env.session);
    return this.#session;
  }

  async #findRange(): Promise<Range | 'idle' | 'finished'> {
    const { work, worker } = this.#options;
    const session = await this.#connected();
    const range = await claim(session, work.env.names, work.run.id, worker);
    if (range !== null) return range;
    const { rangesOpen } = await totals(session, work.env.names, work.run.id);
    if (rangesOpen === 0) return 'finished';
    await steal(session, work.env, work.run, this.#size, worker);
    return (await claim(session, work.env.names, work.run.id, worker)) ?? 'idle';
  }

  async #workRange(range: Range): Promise<'next' | 'stopped'> {
    let attempt = range.stalls;
    while (!this.#options.drain.aborted) {
      const outcome = await this.#tryChunk(range.no, attempt);
      if (outcome === 'failed') {
        attempt += 1;
        if (this.#session?.usable !== true) return 'next';
        continue;
      }
      attempt = 1;
      if (outcome.kind === 'stopped') return 'stopped';
      if (outcome.kind === 'gone') return 'next';
      this.#succeeded(outcome);
      if (outcome.last) return 'next';
    }
    return 'next';
  }

  async #tryChunk(no: number, attempt: number): Promise<ChunkOutcome | 'failed'> {
    const { work, abort } = this.#options;
    try {
      const session = await this.#connected();
      return await runChunk(session, work, { no, size: this.#size, attempt, signal: abort });
    } catch (error) {
      if (abort.aborted) throw error;
      await this.#failed(no, error);
      return 'failed';
    }
  }

  #succeeded(outcome: Extract<ChunkOutcome, { kind: 'advanced' }>): void {
    const { work, onChunk, progress } = this.#options;
    this.#failures = 0;
    progress.lastAt = performance.now();
    const full = !outcome.last;
    onChunk({ rows: outcome.rows, size: outcome.limit, durationMs: outcome.durationMs, full });
    const { tuning } = work.env;
    this.#size =
      this.#fixedSize() ??
      nextChunkSize({
        current: this.#size,
        rows: full ? outcome.limit : outcome.rows,
        durationMs: outcome.durationMs,
        targetMs: work.migration.options.targetMs ?? tuning.targetMs,
        maxRows: tuning.maxRows,
      });
  }

  /** Waits before the next try of a transient failure; throws what must stop the run. */
  async #failed(no: number, error: unknown): Promise<void> {
    const verdict = judge(asJudged(error, this.#session));
    const { work } = this.#options;
    if (verdict === 'stop' || verdict === 'shrink') {
      await this.#record(no, error, null, 0);
      throw stopping(error, work, no);
    }
    const waitMs = this.#backoff(verdict === 'retry-slow', error);
    if (verdict === 'once-then-shrink') {
      if (this.#size === 1) throw stopping(error, work, no);
      this.#size = Math.max(1, Math.floor(this.#size / 2));
    }
    work.logger.warn(
      { event: 'chunk.retry', range: no, error: messageOf(error), waitMs: Math.round(waitMs) },
      `chunk of range ${no} is tried again: ${messageOf(error)}`,
    );
    await this.#idle(waitMs);
  }

  #backoff(slow: boolean, error: unknown): number {
    const { work, progress } = this.#options;
    const idleMs = performance.now() - progress.lastAt;
    if (idleMs > work.env.tuning.retryBudgetMs) {
      throw fail('DATABASE_UNAVAILABLE', {
        message: `no progress for ${Math.round(idleMs / 1_000)} s: ${messageOf(this.#session?.lost ?? error)}`,
        hint: 'progress is safe; run `up` again',
        cause: error,
      });
    }
    this.#failures += 1;
    const baseMs = slow ? retryBaseMs * 10 : retryBaseMs;
    return backoffMs(this.#failures, Math.random, { baseMs, capMs: retryCapMs });
  }

  async #withRetry<T>(action: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await action();
      } catch (error) {
        const verdict = judge(asJudged(error, this.#session));
        if (verdict === 'stop' || verdict === 'shrink') throw error;
        await this.#idle(this.#backoff(verdict === 'retry-slow', error));
        if (this.#options.drain.aborted) throw error;
      }
    }
  }

  async #record(no: number, error: unknown, maxRows: number | null, waitMs: number): Promise<void> {
    const { work } = this.#options;
    const failure = { runId: work.run.id, no, error: messageOf(error), maxRows, waitMs };
    // Best effort: the error itself is what the user sees.
    await this.#connected()
      .then((session) => recordFailure(session, work.env.names, failure))
      .catch(() => undefined);
  }

  async #idle(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#options.drain }).catch(() => undefined);
  }
}

/** The cause of a lost connection comes on the client's `error` event, not on the rejected query. */
function asJudged(error: unknown, session: Session | null): Parameters<typeof judge>[0] {
  const cause = session?.lost ?? error;
  if (error instanceof UmzugClusterError) return { message: error.message, isDatabase: false };
  const code = codeOf(error) ?? codeOf(cause);
  return { ...(code === undefined ? {} : { code }), message: messageOf(error), isDatabase: true };
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

function stopping(error: unknown, { migration, run }: ChunkWork, no: number): Error {
  const where = `${migration.name}, ${run.direction}, range ${no}`;
  if (error instanceof UmzugClusterError && error.code !== 'MIGRATION_FAILED') return error;
  const code = codeOf(error);
  const known = error instanceof UmzugClusterError ? error : null;
  return fail('MIGRATION_FAILED', {
    message: `${where}: ${messageOf(error)}`,
    detail: known?.detail ?? (code === undefined ? undefined : `SQLSTATE ${code}`),
    hint:
      known?.hint ??
      `the chunk was rolled back, earlier chunks are safe; mend ${migration.path} and run \`up\` again`,
    cause: error,
  });
}
