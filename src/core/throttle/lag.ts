/** How far a replica has come, in bytes of WAL, and what the server takes for its lag in time. */
export interface ReplicaPosition {
  readonly at: number;
  readonly serverLagMs: number | null;
}

// A moment every half second for an hour; of a longer lag only that it is at least that.
const mostMarks = 7_200;

/**
 * For how long a replica is behind: since when the server has been at the position that the replica has reached. What
 * the server says itself stands still while replay is paused.
 */
export class LagClock {
  readonly #marks: { readonly wal: number; readonly atMs: number }[] = [];

  /** Notes where the server is now. */
  mark(wal: number, atMs: number): void {
    if ((this.#marks.at(-1)?.wal ?? -1) >= wal) return;
    this.#marks.push({ wal, atMs });
    if (this.#marks.length > mostMarks) this.#marks.shift();
  }

  /** Milliseconds by which a replica is behind, at least. */
  lagMs({ at, serverLagMs }: ReplicaPosition, nowMs: number): number {
    const passed = this.#marks.findIndex(({ wal }) => wal > at);
    const [mark] = passed === -1 ? [] : this.#marks.slice(passed);
    if (mark === undefined) return 0;
    const own = nowMs - mark.atMs;
    // It was behind before anybody looked.
    return passed === 0 ? Math.max(own, serverLagMs ?? 0) : own;
  }
}

/** WAL per second, over about the last two seconds: a checkpoint makes a moment of it look like much. */
export class WalRate {
  readonly #marks: { readonly wal: number; readonly atMs: number }[] = [];

  /** Bytes per second; null: not known yet. */
  add(wal: number, atMs: number): number | null {
    this.#marks.push({ wal, atMs });
    while (this.#marks.length > 2 && atMs - (this.#marks[1]?.atMs ?? atMs) >= overMs) this.#marks.shift();
    const [first] = this.#marks;
    if (first === undefined || atMs - first.atMs < leastMs) return null;
    return ((wal - first.wal) * 1_000) / (atMs - first.atMs);
  }
}

const overMs = 2_000;
const leastMs = 400;
