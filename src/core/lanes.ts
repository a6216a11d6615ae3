/** Chunks in flight in one process as soon as one came back full: while one waits for its commit, another computes. */
export const usualLanes = 2;

/** More than these wait for each other even where the disk is slow, and each costs the server a connection. */
export const mostLanes = 8;

/** A committed chunk, as far as the number of lanes is concerned. */
export interface LaneChunk {
  readonly rows: number;
  /** When it began and ended, in milliseconds of any clock. */
  readonly startedAt: number;
  readonly endedAt: number;
}

interface Rate {
  readonly lanes: number;
  readonly perMs: number;
}

// Twice as many lanes must bring a fifth more, or they are more load than help.
const worthwhile = 1.2;

// Half as many that lose less than this are enough.
const enough = 0.95;

// Chunks of a lane that tell its speed. Before their size has about settled they tell the effect of the size; lanes
// adapt theirs each by itself, so that equal ones are never seen.
const samplesPerLane = 2;
const settledWithin = 3;

// A run of a second or two is over before more lanes could pay; they only leave each other without ranges.
const firstTryMs = 2_000;

// After a number that did not pay, the next try is so much later, and then twice as much.
const firstPauseMs = 10_000;
const longestPauseMs = 160_000;

/**
 * How many chunks a process should have in flight, by feedback: twice as many while that makes it faster, which is
 * where the server waits for its disk, and back where it does not. Rows by uuid with 100 µs a page read: 378,
 * 193, 148 and 81 µs a row with 1, 2, 4 and 8; where the cores are what waits, more than 2 cost.
 */
export class LaneFeedback {
  readonly #most: number;
  #lanes: number;
  #changedAt = 0;
  #chunks: LaneChunk[] = [];
  /** What another number of lanes has brought, while this one is tried. */
  #before: Rate | null = null;
  #pauseMs = firstPauseMs;
  /** Null until the first chunk. */
  #nextTryAt: number | null = null;
  #next: 'more' | 'fewer' = 'more';

  /** `first`: what has paid before. */
  constructor(most: number = mostLanes, first: number = usualLanes) {
    this.#most = most;
    this.#lanes = Math.min(Math.max(usualLanes, first), most);
  }

  get lanes(): number {
    return this.#lanes;
  }

  /** Takes a full chunk into account; returns the number of lanes from now on. */
  add(chunk: LaneChunk): number {
    this.#nextTryAt ??= chunk.startedAt + firstTryMs;
    // What began under another number says nothing about this one.
    if (chunk.startedAt < this.#changedAt) return this.#lanes;
    const wanted = samplesPerLane * this.#lanes;
    this.#chunks = [...this.#chunks, chunk].slice(-wanted);
    if (this.#chunks.length < wanted || !isSettled(this.#chunks)) return this.#lanes;
    this.#decide({ lanes: this.#lanes, perMs: rateOf(this.#chunks, this.#lanes) }, chunk.endedAt);
    return this.#lanes;
  }

  #decide(now: Rate, atMs: number): void {
    const before = this.#before;
    this.#before = null;
    if (before === null) {
      if (atMs >= (this.#nextTryAt ?? 0)) this.#try(now, atMs);
      return;
    }
    const isMore = now.lanes > before.lanes;
    if (now.perMs >= before.perMs * (isMore ? worthwhile : enough)) {
      this.#pauseMs = firstPauseMs;
      const isAtEnd = isMore ? now.lanes >= this.#most : now.lanes <= usualLanes;
      // What was right once may be right twice.
      if (isAtEnd) this.#nextTryAt = atMs + this.#pauseMs;
      else this.#try(now, atMs);
      return;
    }
    this.#change(before.lanes, atMs);
    this.#next = isMore ? 'fewer' : 'more';
    this.#nextTryAt = atMs + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
  }

  /** Tries the next number in the direction of the last success, or away from the last failure. */
  #try(now: Rate, atMs: number): void {
    if (now.lanes >= this.#most) this.#next = 'fewer';
    else if (now.lanes <= usualLanes) this.#next = 'more';
    const wanted = this.#next === 'more' ? now.lanes * 2 : Math.floor(now.lanes / 2);
    const lanes = Math.min(this.#most, Math.max(usualLanes, wanted));
    if (lanes === now.lanes) return;
    this.#before = now;
    this.#change(lanes, atMs);
  }

  #change(lanes: number, atMs: number): void {
    this.#lanes = lanes;
    this.#changedAt = atMs;
    this.#chunks = [];
  }
}

/** Rows a millisecond of all lanes together: so many chunks side by side, each at its own speed. */
function rateOf(chunks: readonly LaneChunk[], lanes: number): number {
  const rows = chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
  const ms = chunks.reduce((sum, { startedAt, endedAt }) => sum + (endedAt - startedAt), 0);
  return (lanes * rows) / Math.max(ms, 1);
}

function isSettled(chunks: readonly LaneChunk[]): boolean {
  const rows = chunks.map((chunk) => chunk.rows);
  return Math.max(...rows) <= Math.min(...rows) * settledWithin;
}
