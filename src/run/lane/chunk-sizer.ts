import { firstChunkSize } from '../../core/size/chunk-size.ts';
import {
  type ChunkLimits,
  leastRowsAtEnd,
  mostRows,
  halveKeys,
  nextLimits,
  nextSetLimits,
} from '../../core/size/chunk-limits.ts';
import { isSparse, keysPerRow, rowBytesOf } from '../../core/size/survey.ts';
import { isSweep } from '../../core/size/sweep.ts';
import type { Run } from '../../ledger/run/rows.ts';
import { rowsWithinBindings } from '../../core/errors/statement-limits.ts';
import type { ChunkOutcome } from '../chunk/chunk.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import type { RateLimiter } from './rate-limiter.ts';
import type { Thief } from './steal.ts';

/**
 * How far the chunks of one lane go: it begins with what is known of the table, learns from each of them, and stays
 * within what an operator has set.
 */
export class ChunkSizer {
  readonly #work: ChunkWork;
  readonly #limiter: RateLimiter;
  /** Rows are weighed: what is a number of rows here is one of weight. */
  readonly #isWeighed: boolean;
  /** Chunks are cut by keys, or by the blocks that hold about so many, rather than by the rows that are found. */
  readonly #byKeys: boolean;
  #adapting: ChunkLimits;
  /** Rows that are worth a chunk when a run ends. */
  #leastRows = leastRowsAtEnd({ rows: 0, durationMs: 0 });
  /** Rows of the table for each that matches, by the chunk before. */
  #keysPerRow: number;

  constructor(work: ChunkWork, limiter: RateLimiter) {
    const { env, run, step } = work;
    this.#work = work;
    this.#limiter = limiter;
    const rows = firstChunkSize(rowBytesOf(run.plan.base, run.plan.survey), env.tuning.maxBytes);
    // The rows of a set-based chunk are not counted before they are written, so it goes by keys; where few rows
    // match at all, these few are one chunk.
    const { survey } = run.plan;
    this.#keysPerRow = keysPerRow(survey);
    this.#isWeighed = run.plan.weight !== undefined;
    const isSet = step.setBased && !this.#isWeighed;
    const isGrouped = run.plan.base.isGrouped === true;
    this.#byKeys = isSet || isGrouped || isInBlocks(run);
    this.#adapting = {
      rows,
      keys: isGrouped || isInBlocks(run) || (isSet && !isSparse(survey) && !isSweep(run)) ? rows : null,
    };
  }

  /** Of the next chunk. */
  get limits(): ChunkLimits {
    const { rows, keys } = this.#adapting;
    const isKeys = this.#byKeys && keys !== null;
    const { chunkSize, pace } = this.#limiter.steering;
    const isRough = chunkSize === null && pace === null;
    const most = this.#limiter.size(rows);
    return {
      rows: most,
      ...(this.#isWeighed ? { weight: most } : {}),
      keys: isKeys ? this.#limiter.size(keys) : keys,
      isRough,
      keysPerRow: this.#keysPerRow,
      leastRows: this.#leastRows,
    };
  }

  /** Rows that the next chunk would have at most if nobody had set anything. */
  get adaptingRows(): number {
    return mostRows(this.#adapting, this.#byKeys);
  }

  /** Keys that a chunk passes, by the estimate. */
  get chunkKeys(): Omit<Thief, 'worker'> {
    const { rows, keys } = this.limits;
    return { keysEach: keys ?? rows * this.#keysPerRow, leastKeys: this.#leastRows * this.#keysPerRow };
  }

  /** Takes the measure of a chunk that was committed; `wanted`: what it was asked for. */
  learn(chunk: Extract<ChunkOutcome, { kind: 'advanced' }>, wanted: ChunkLimits): void {
    const { env, step } = this.#work;
    const { last, isCut, isFull, limits } = chunk;
    // One that was cut by its weight is as full as one can be.
    const rows = this.#isWeighed && isCut ? Math.max(chunk.weight, wanted.rows) : chunk.weight;
    this.#leastRows = leastRowsAtEnd({ ...chunk, rows: chunk.weight });
    if (chunk.rows > 0) this.#keysPerRow = Math.max(chunk.rows, chunk.passed) / chunk.weight;
    const isHeld = mostRows(limits, this.#byKeys) < mostRows(wanted, this.#byKeys);
    // A chunk that was held small says nothing about a large one.
    if (!last && isHeld && (!isCut || this.#isWeighed)) return;
    const { maxBytes } = env.tuning;
    // The bindings of a set-based chunk do not go by its rows.
    const fitting = step.setBased ? Infinity : rowsWithinBindings(chunk.weight, chunk.bindings);
    const maxRows = Math.min(env.tuning.maxRows, fitting);
    this.#adapting = (this.#byKeys ? nextSetLimits : nextLimits)({
      ...chunk,
      rows,
      limits: wanted,
      isFull: isFull || isCut,
      hasMore: !last,
      targetMs: this.#limiter.steering.targetMs,
      maxRows,
      maxBytes,
    });
  }

  /** Goes over fewer keys from now on; false where that is not possible. */
  narrow(): boolean {
    const limits = halveKeys(this.#adapting);
    if (limits !== null) this.#adapting = limits;
    return limits !== null;
  }
}

/** Whether the present pass of a run goes over blocks. */
function isInBlocks({ plan, pass }: Run): boolean {
  return plan.rowsPerBlock !== undefined && !isSweep({ pass, plan });
}
