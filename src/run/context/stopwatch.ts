import { type Stage, type StageTimes, addTimes } from '../../core/plan/profile.ts';
import type { Session } from '../../postgres/session.ts';

/** Measures where time goes, for `--profile`. One per process. */
export interface Stopwatch {
  /** Does `work` and counts its time for `stage`. */
  time<T>(stage: Stage, work: () => Promise<T>): Promise<T>;
  /** The same for what is done at once. */
  measure<T>(stage: Stage, work: () => T): T;
  /** The same for what a connection answers: what of it the driver took to parse counts as `parse`. */
  read<T>(session: Session, work: () => Promise<T>): Promise<T>;
  /** The same for author code: what of it the connection was busy counts as `write`. */
  update<T>(session: Session, work: () => Promise<T>): Promise<T>;
  /** Counts time that was measured elsewhere. */
  add(stage: Stage, ms: number): void;
  /** Adds what another process has measured. */
  merge(times: StageTimes): void;
  /** Null where nothing is measured. */
  readonly times: StageTimes | null;
}

/** For runs without `--profile`: measures nothing. */
export const unwatched: Stopwatch = {
  time: (_stage, work) => work(),
  measure: (_stage, work) => work(),
  read: (_session, work) => work(),
  update: (_session, work) => work(),
  add: () => undefined,
  merge: () => undefined,
  times: null,
};

/** A stopwatch that measures. */
export function makeStopwatch(): Stopwatch {
  let times: StageTimes = {};
  const merge = (more: StageTimes): void => {
    times = addTimes(times, more);
  };
  const add = (stage: Stage, ms: number): void => merge({ [stage]: { times: 1, ms } });
  const parted = async <T>(
    whole: Stage,
    part: Stage,
    spent: () => number,
    work: () => Promise<T>,
  ): Promise<T> => {
    const [startedAt, before] = [performance.now(), spent()];
    try {
      return await work();
    } finally {
      const ofPart = spent() - before;
      add(part, ofPart);
      add(whole, performance.now() - startedAt - ofPart);
    }
  };
  return {
    add,
    merge,
    measure: (stage, work) => {
      const startedAt = performance.now();
      const result = work();
      add(stage, performance.now() - startedAt);
      return result;
    },
    time: async (stage, work) => {
      const startedAt = performance.now();
      try {
        return await work();
      } finally {
        add(stage, performance.now() - startedAt);
      }
    },
    read: (session, work) => parted('read', 'parse', () => session.parsedMs, work),
    update: (session, work) => parted('update', 'write', () => session.busyMs, work),
    get times() {
      return times;
    },
  };
}
