import { type Overrides, type Steering, steer } from '../../core/config/steering.ts';
import { mostPacedRows } from '../../core/size/pace.ts';
import type { RunReading } from '../../ledger/run/controls.ts';
import type { PacedTurn } from '../../ledger/run/ranges.ts';
import type { Session } from '../../postgres/session.ts';
import { inOneTrip } from '../../postgres/transaction.ts';
import type { ChunkWork } from '../context/chunk-work.ts';

// Of less than that, the cost of a chunk is the larger part.
const leastTargetMs = 10;

/**
 * What an operator lets one lane do: the size of its chunks and, under a pace, its turns. A lane has no range
 * while it waits for its turn: one that is claimed and left alone passes for a dead worker's.
 */
export class RateLimiter {
  readonly #work: ChunkWork;
  #overrides: Overrides | null = null;
  /** Rows of the turn before that there were not. */
  #unused = 0;

  constructor(work: ChunkWork) {
    this.#work = work;
  }

  get steering(): Steering {
    const { env, migration } = this.#work;
    const steering = steer(env.tuning, migration.options, this.#overrides ?? {});
    const { factor } = env.throttle.decision;
    // Smaller chunks, by the time that they are to take: sizes follow from it as ever.
    return factor === 1
      ? steering
      : { ...steering, targetMs: Math.max(leastTargetMs, steering.targetMs * factor) };
  }

  /** Rows of the next chunk: fixed, or those that adapt, within the pace. */
  size(adapting: number): number {
    const { chunkSize, pace, targetMs } = this.steering;
    return Math.min(chunkSize ?? adapting, mostPacedRows(pace, targetMs));
  }

  /** What a claim has to ask for; null where no pace is set. The first time it asks the ledger whether one is. */
  async turn(session: Session, adapting: number): Promise<PacedTurn | null> {
    if (this.#overrides === null) {
      const { env, run } = this.#work;
      const read = (): Promise<RunReading> => env.ledger(session).controls.read(run.id);
      this.#overrides = (await inOneTrip(session, env.pinned, read)).overrides;
    }
    const { pace } = this.steering;
    return pace === null ? null : { rows: this.size(adapting), unused: this.#unused, pace };
  }

  /** Notes what is set by now. With another pace all starts again. */
  learn(overrides: Overrides): void {
    if (overrides.pace !== this.#overrides?.pace) this.#unused = 0;
    this.#overrides = overrides;
  }

  /** Notes a turn that came with a range. */
  taken(turn: PacedTurn | null): void {
    this.#unused = turn?.rows ?? 0;
  }

  /** Notes the rows that its chunk had. */
  used(rows: number): void {
    this.#unused = Math.max(0, this.#unused - rows);
  }
}
