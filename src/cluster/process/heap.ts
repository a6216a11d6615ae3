import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/**
 * How V8 treats the heap of a process that migrates rows. Rows live as long as their chunk: in a large young space they
 * are copied to and fro, and an old space that may double is full of chunks that are over. 300,000 rows in one
 * process took 180 MB with V8's own limits, 168 with a young space of two times 4 MB, and 112 where the old space
 * may only grow by 30 % between two collections, for a tenth more of the client's CPU time; with 100 %, 128.
 */
const youngSpaceMb = 4;
const growth = '--heap-growing-percent=30';

/** For a process that is to be started. */
export const heapFlags: readonly string[] = [`--max-semi-space-size=${youngSpaceMb}`, growth];

let isThreadThere = false;

/** The same for this process, which runs already. */
export function holdHeap(): void {
  setFlagsFromString(growth);
  // It grows when it is collected, and never else: a timer that is in time for that would take 2 % of a core of a
  // process that waits for days.
  const collected = new PerformanceObserver(() => {
    // It begins with 1 MB, with which it would be collected all the time.
    if (youngSpace() < 2 * youngSpaceMb * 2 ** 20) return;
    setFlagsFromString('--semi-space-growth-factor=1');
    if (isThreadThere) collected.disconnect();
  });
  collected.observe({ entryTypes: ['gc'] });
}

/** Says that the last thread of this process has started: V8 forgets with each that the young space is not to grow. */
export function threadIsThere(): void {
  isThreadThere = true;
}

function youngSpace(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0;
}
