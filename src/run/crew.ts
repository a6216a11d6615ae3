import { UmzugClusterError } from '../errors.ts';
import { listenForStrays } from '../migration/strays.ts';
import type { ChunkWork } from './chunk.ts';
import { strayed } from './failure.ts';
import type { LaneProgress } from './isolator.ts';
import { type ChunkReport, runLane } from './lane.ts';

/** The lanes of one process on one run. */
export interface CrewOptions {
  readonly work: ChunkWork;
  readonly process: string;
  readonly lanes: number;
  readonly drain: AbortSignal;
  readonly abort: AbortSignal;
  readonly onChunk: (report: ChunkReport) => void;
  readonly progress: LaneProgress;
}

/** What the lanes of a process share, as a run begins. */
export function newProgress(): LaneProgress {
  return { lastAt: performance.now(), nextReapAt: 0, recent: [] };
}

/**
 * Starts with one lane and adds the others when a chunk comes back full: one chunk needs no second
 * connection. Settles when all lanes have; rejects with the first error, after the others have finished
 * their chunk.
 */
export async function runCrew(options: CrewOptions): Promise<void> {
  const failed = new AbortController();
  const drain = AbortSignal.any([options.drain, failed.signal]);
  const lanes: Promise<void>[] = [];
  let firstError: unknown;

  const start = (): void => {
    const worker = `${options.process}:${lanes.length + 1}`;
    const onChunk = (report: ChunkReport): void => {
      options.onChunk(report);
      if (report.full && lanes.length < options.lanes && !drain.aborted) start();
    };
    const { work, abort, progress } = options;
    lanes.push(runLane({ work, worker, drain, abort, onChunk, progress }).catch(stop));
  };
  const stop = (error: unknown): void => {
    if (firstError === undefined || isMoreTelling(error, firstError)) firstError = error;
    failed.abort();
  };

  const stopListening = listenForStrays((error) => stop(strayed(error, options.work)));
  start();
  // Lanes may be added while the first ones are awaited.
  for (let index = 0; index < lanes.length; index += 1) await lanes[index];
  stopListening();
  // A lane that could not begin anything when it was told to begin nothing has not failed.
  if (firstError === undefined || (options.drain.aborted && isStopped(firstError))) return;
  throw firstError;
}

function isMoreTelling(error: unknown, than: unknown): boolean {
  return error instanceof UmzugClusterError && isStopped(than);
}

function isStopped(error: unknown): boolean {
  return error instanceof UmzugClusterError && error.code === 'STOPPED';
}
