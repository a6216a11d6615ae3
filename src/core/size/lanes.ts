/** Chunks in flight in one process as soon as one came back full: while one waits for its commit, another computes. */
export const usualLanes = 2;

/** More than these wait for each other even where the disk is slow, and each costs the server a connection. */
export const mostLanes = 8;

/** What the chunks of all hosts were at when the server was looked at. */
export interface LaneLook {
  readonly chunks: number;
  /** They wait for the server's disk. */
  readonly onDisk: number;
  /** They wait for their client, which computes, or whose network is slow. */
  readonly onClient: number;
}

/** The same as shares of all their time, 0 to 1. */
export interface LaneWaits {
  readonly disk: number;
  readonly client: number;
}

// Looks count for about so long, since what one of them sees is chance.
const memoryMs = 4_000;

// As if a chunk had been seen at work before the first look: one look alone proves little.
const doubt = 1;

/** Sums up looks, the younger the more they count. */
export class LaneWatch {
  #chunks = 0;
  #onDisk = 0;
  #onClient = 0;
  #atMs = 0;

  /** Takes a look into account that was taken at `atMs`, of any clock. */
  add({ chunks, onDisk, onClient }: LaneLook, atMs: number): LaneWaits {
    const kept = Math.exp(-Math.max(0, atMs - this.#atMs) / memoryMs);
    this.#atMs = atMs;
    this.#chunks = this.#chunks * kept + chunks;
    this.#onDisk = this.#onDisk * kept + onDisk;
    this.#onClient = this.#onClient * kept + onClient;
    const all = this.#chunks + doubt;
    return { disk: this.#onDisk / all, client: this.#onClient / all };
  }
}

// Looks are few, and with twice as many lanes each waits for a core more often than before: without a gap between the
// two the number would go to and fro. In between, the larger number costs little where chunks wait.
const upFrom = 1.35;
const downFrom = 0.52;

/**
 * How many chunks a process should have in flight, from what those that there are wait for: as many as keep as busy
 * what two would keep busy that never wait, by doubling and halving. A chunk that waits for the disk, or for a message
 * on its way, leaves room for another; one that has a core, or queues for one, does not. So the number follows from
 * the present moment, and not from trials with other numbers, which take several chunks each: a run of 50,000 rows
 * with 100 µs a page read has no more of them than that. `loopBusy`: share of its time in which this process
 * computes, 0 to 1.
 */
export function lanesFor(
  now: number,
  { disk, client }: LaneWaits,
  loopBusy: number,
  most = mostLanes,
): number {
  const working = Math.max(1 - disk - client * (1 - loopBusy), Number.EPSILON);
  const wanted = usualLanes / working;
  let lanes = Math.min(Math.max(now, usualLanes), most);
  while (lanes < most && wanted >= lanes * upFrom) lanes = Math.min(lanes * 2, most);
  if (lanes > now) return lanes;
  while (lanes > usualLanes && wanted <= lanes * downFrom)
    lanes = Math.max(Math.floor(lanes / 2), usualLanes);
  return lanes;
}
