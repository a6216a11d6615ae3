import { performance } from 'node:perf_hooks';

// Over less, compiling what runs for the first time would pass for work.
const overMs = 1_000;

/** How busy this process is with JavaScript, of late. */
export class LoopWatch {
  #marks = [performance.eventLoopUtilization()];

  /** Share of its time in which the event loop did not wait, 0 to 1, over about the last second; to be asked often. */
  busy(): number {
    const now = performance.eventLoopUtilization();
    this.#marks.push(now);
    const since = (mark: typeof now): typeof now => performance.eventLoopUtilization(now, mark);
    const isOld = (mark: typeof now): boolean => since(mark).active + since(mark).idle >= overMs;
    // The youngest that is old enough comes first, or else the first of all.
    while (this.#marks[1] !== undefined && isOld(this.#marks[1])) this.#marks.shift();
    return since(this.#marks[0] ?? now).utilization;
  }
}
