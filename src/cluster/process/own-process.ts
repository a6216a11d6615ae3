import type { UmzugClusterError } from '../../errors.ts';
import { blockedLoop, endedProcess } from '../../migration/handle/mistakes.ts';
import { holdHeap, threadIsThere } from './heap.ts';
import { type LastWords, limitBlocking, noWords, wasBlocked, watchProcess } from './process-watch.ts';

/**
 * The command line's own process, in which author code runs too: it may end it or block it. An application's
 * process is its own business.
 */

let isOwned = false;
let doing = 'the command';
let limitMs = 0;
let wordsFor: (error: UmzugClusterError) => LastWords = () => noWords;

/**
 * Says that this process serves one command and nothing else. `lastWords`: how the error that it is killed for is
 * reported by this process instead.
 */
export function ownProcess(lastWords: (error: UmzugClusterError) => LastWords): void {
  isOwned = true;
  wordsFor = lastWords;
  hushDeprecations();
  holdHeap();
  // As Node has it since 21. Without, pg looks at `Response` to tell where it runs, which loads all of fetch:
  // 20 ms of each start.
  if (!('navigator' in globalThis)) {
    Object.defineProperty(globalThis, 'navigator', {
      value: { userAgent: `Node.js/${process.versions.node.split('.')[0]}` },
      configurable: true,
    });
  }
}

/** Whether this process serves one command and nothing else. */
export function isOwnProcess(): boolean {
  return isOwned;
}

/**
 * Keeps Node from writing what packages tell their developers, such as pg where a password comes from ~/.pgpass,
 * unless it was started to show that: nobody who runs a command can do anything about it, and with
 * `--log-format json` every line is to be a record.
 */
export function hushDeprecations(): void {
  if (!process.traceDeprecation && !process.throwDeprecation) process.noDeprecation = true;
}

/** Says which migration this process works on from now on, and how long a chunk of it may take. */
export function workOn(migration: string, ceilingMs: number): void {
  if (!isOwned) return;
  doing = migration;
  limitMs = ceilingMs;
  watchProcess({ parent: null, onThread: threadIsThere });
  limitBlocking(ceilingMs, wordsFor(blockedLoop(migration, ceilingMs)));
}

/** What to say where the process ends before its command is done, which nobody but author code makes it do. */
export function endedEarly(): UmzugClusterError {
  return wasBlocked() ? blockedLoop(doing, limitMs) : endedProcess(doing);
}
