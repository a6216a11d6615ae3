import { closeSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Worker } from 'node:worker_threads';
import { pulse } from '../../run/context/loop-heartbeat.ts';

// Not before there is something to watch: a command that finds nothing to do pays 2 ms less.
const require = createRequire(import.meta.url);

/** What the watching thread is given. */
export interface ProcessWatchData {
  /** Where it is not the parent any more, the process is killed; null: its parent does not matter. */
  readonly parent: number | null;
  readonly pulse: typeof pulse;
}

/** What the watching thread is given of each migration. */
export interface BlockingLimit {
  /** How long the loop may stand still with a chunk open. */
  readonly limitMs: number;
  /** What is reported where the process itself no longer can. */
  readonly lastWords: LastWords;
}

/** What a process that is about to be killed leaves on its output. */
export interface LastWords {
  readonly stdout: string;
  /** Lines, or the fields of a log record, which gets the time when it is written. */
  readonly stderr: string | Readonly<Record<string, unknown>>;
}

/** For a process whose death its parent reports. */
export const noWords: LastWords = { stdout: '', stderr: '' };

const turnMs = 200;

// A chunk that can be given up in the usual way at its ceiling is.
const marginMs = 1_000;

const standardError = 2;

let watching: Worker | null = null;

/**
 * Has a thread end this process when its parent is gone, or when author code blocks its event loop for longer
 * than `limitBlocking` allows: no event, no timer of its own can do that (a loop of 6 s was seen to survive its
 * parent for 7 s).
 */
export function watchProcess({
  parent,
  onThread,
}: {
  readonly parent: number | null;
  /** Is called when the thread is there. */
  readonly onThread?: () => void;
}): void {
  if (watching !== null) return;
  setInterval(() => void Atomics.add(pulse.turns, 0, 1), turnMs).unref();
  const file = import.meta.url.endsWith('.ts') ? './process-watch-thread.ts' : './process-watch-thread.js';
  const workerData: ProcessWatchData = { parent, pulse };
  const { Worker } = require('node:worker_threads') as typeof import('node:worker_threads');
  const thread = new Worker(new URL(file, import.meta.url), {
    workerData,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2 },
  });
  // Without its watch the work continues all the same.
  thread.on('error', () => undefined);
  if (onThread !== undefined) thread.once('online', onThread);
  thread.unref();
  watching = thread;
}

/** Bounds how long the event loop may stand still in a chunk. Not under a debugger, whose breakpoints last. */
export function limitBlocking(ceilingMs: number, lastWords: LastWords): void {
  const { url } = require('node:inspector') as typeof import('node:inspector');
  if (url() !== undefined) return;
  const limit: BlockingLimit = { limitMs: ceilingMs + marginMs, lastWords };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  watching?.postMessage(limit);
}

/** Whether this process ends because its event loop stood still. */
export function wasBlocked(): boolean {
  return Atomics.load(pulse.blocked, 0) === 1;
}

/** To be called with the last words said: Node would add a line about a debugger that has to disconnect. */
export function endWithoutAWord(): void {
  closeSync(standardError);
}
