import { setMaxListeners } from 'node:events';
import { type LaneWaits, lanesFor, usualLanes } from '../../core/size/lanes.ts';
import { lanesWithin } from '../../core/throttle/decision.ts';
import { Suspects } from '../../core/errors/isolation.ts';
import { UmzugClusterError } from '../../errors.ts';
import { listenForStrays } from '../../migration/handle/unhandled-errors.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { strayed } from './failure.ts';
import type { LaneProgress } from './isolator.ts';
import { type ChunkReport, type LaneLimit, runLane } from './lane.ts';
import { LoopWatch } from './loop-watch.ts';

/** The lanes of one process on one run. */
export interface LanePoolOptions {
  readonly work: ChunkWork;
  readonly process: string;
  /** Chunks in flight; or asks what they wait for, null as long as nothing is known: then it is as many as pay. */
  readonly lanes: number | (() => LaneWaits | null);
  readonly drain: AbortSignal;
  readonly abort: AbortSignal;
  readonly onChunk: (report: ChunkReport) => void;
  readonly progress: LaneProgress;
  readonly inherited: Takeover;
  /** Rows at which its only lane ends; left out: none. */
  readonly limit?: LaneLimit | null;
}

/** What a process takes over from dead ones. */
export interface Takeover {
  /** Beginnings of the names of their lanes. */
  readonly from: readonly string[];
  /** So many lanes begin at once, since so many ranges were left. */
  readonly lanes: number;
}

/** Of a process that replaces nobody. */
export const nothing: Takeover = { from: [], lanes: 1 };

/** What the lanes of a process share, as a run begins. */
export function newProgress(): LaneProgress {
  return {
    lastAt: performance.now(),
    nextReapAt: 0,
    recent: [],
    suspects: new Suspects(),
    trouble: null,
    lanes: 0,
  };
}

/**
 * Starts with one lane and adds the others when a chunk comes back full: one chunk needs no second
 * connection. A lane that is too many finishes its chunk and goes. Settles when all lanes have; rejects with the first error, after the others have finished
 * their chunk.
 */
export async function runLanes(options: LanePoolOptions): Promise<void> {
  const failed = new AbortController();
  const drain = AbortSignal.any([options.drain, failed.signal]);
  // Each lane listens to both, more than once; Node would take that for a leak.
  setMaxListeners(0, options.abort, drain);
  const lanes: Promise<void>[] = [];
  const working: AbortController[] = [];
  const { inherited } = options;
  const wantedLanes = laneNumber(options.lanes, inherited.lanes);
  let firstError: unknown;
  let rowsDone = 0;

  const start = (): void => {
    const worker = `${options.process}:${lanes.length + 1}`;
    const retire = new AbortController();
    working.push(retire);
    options.progress.lanes = working.length;
    const { work, abort, progress } = options;
    const retired = retire.signal;
    const lane = runLane({
      work,
      worker,
      drain,
      retired,
      abort,
      onChunk,
      progress,
      takeOverFrom: inherited.from,
      limit: options.limit ?? null,
    });
    const leave = (): void => {
      working.splice(working.indexOf(retire), 1);
      progress.lanes = working.length;
    };
    lanes.push(lane.catch(stop).finally(leave));
  };
  const onChunk = (report: ChunkReport): void => {
    options.onChunk(report);
    rowsDone += report.rows;
    if (!report.full || drain.aborted) return;
    const isAsked = typeof options.lanes === 'number';
    if (!isAsked && isLastChunk(options.work.run.estimatedRows - rowsDone, report.size)) return;
    const wanted = lanesWithin(wantedLanes(), options.work.env.throttle.decision.factor);
    while (working.length < wanted) start();
    for (const lane of working.slice(wanted)) lane.abort();
  };
  const stop = (error: unknown): void => {
    if (firstError === undefined || isMoreTelling(error, firstError)) firstError = error;
    failed.abort();
  };

  const stopListening = listenForStrays((error) => stop(strayed(error, options.work)));
  const first = Math.min(inherited.lanes, typeof options.lanes === 'number' ? options.lanes : Infinity);
  while (working.length < first) start();
  // Lanes may be added while the first ones are awaited.
  for (let index = 0; index < lanes.length; index += 1) await lanes[index];
  stopListening();
  // A lane that could not begin anything when it was told to begin nothing has not failed.
  if (firstError === undefined || (options.drain.aborted && isStopped(firstError))) return;
  throw firstError;
}

/**
 * What is left is one chunk, if anything: another lane would open its connection for nothing, which takes 15 ms of
 * CPU time. More than was estimated may be left; then it is less than nothing by the next chunk.
 */
function isLastChunk(rowsLeft: number, size: number): boolean {
  return rowsLeft >= 0 && rowsLeft <= size;
}

/** How many lanes there should be after each full chunk: the number that was asked for, or as many as pay. */
function laneNumber(lanes: LanePoolOptions['lanes'], first: number): () => number {
  if (typeof lanes === 'number') return () => lanes;
  const loop = new LoopWatch();
  let now = Math.max(usualLanes, first);
  return () => {
    const seen = lanes();
    if (seen !== null) now = lanesFor(now, seen, loop.busy());
    return now;
  };
}

function isMoreTelling(error: unknown, than: unknown): boolean {
  return error instanceof UmzugClusterError && isStopped(than);
}

function isStopped(error: unknown): boolean {
  return error instanceof UmzugClusterError && error.code === 'STOPPED';
}
