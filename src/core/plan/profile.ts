import { grouped } from '../values/numbers.ts';

/** What a run spends its time on, in the order in which it happens, each with what it covers. */
export const stages = {
  start: 'from the start of the process to the first look at the database',
  plan: 'the ledger is read, the file loaded, select compiled and checked, the run registered',
  fork: 'from a fork until the worker says hello',
  load: 'a worker loads the rest of its code, its configuration and the migration',
  connect: 'a connection is opened',
  claim: 'a range is taken up or stolen, or the end of the run is seen',
  prepare: 'a handle for the author’s code is made, select compiled',
  open: 'BEGIN, settings, the range is locked, the commit guard opened',
  read: 'rows are locked and read, until the last byte has come',
  parse: 'the driver makes objects of what came',
  update: 'the author’s own code, without its statements',
  write: 'the statements of the author’s code',
  close: 'keys are looked after, the guard is closed, the cursor moves',
  commit: 'COMMIT',
  wait: 'a lane waits: for its turn, after an error, or because no range is free',
  finish: 'the run is ended and recorded',
} as const;

export type Stage = keyof typeof stages;

const order = Object.keys(stages) as Stage[];

/** Time spent on one stage. */
export interface StageTime {
  readonly times: number;
  readonly ms: number;
}

/** What one process has measured, or several together. */
export type StageTimes = Readonly<Partial<Record<Stage, StageTime>>>;

/** Both together. */
export function addTimes(one: StageTimes, other: StageTimes): StageTimes {
  const added: Partial<Record<Stage, StageTime>> = { ...one };
  for (const stage of order) {
    const more = other[stage];
    if (more === undefined) continue;
    const { times, ms } = added[stage] ?? { times: 0, ms: 0 };
    added[stage] = { times: times + more.times, ms: ms + more.ms };
  }
  return added;
}

/** A stage in a profile. */
export interface ProfileLine extends StageTime {
  readonly stage: Stage;
  /** Milliseconds for each committed chunk; null where there was none. */
  readonly perChunkMs: number | null;
  /** Of the time of all stages, 0 to 1. */
  readonly share: number;
}

/** Where the time of a command went, summed over its lanes and processes: more than has passed on the clock. */
export interface Profile {
  readonly chunks: number;
  readonly totalMs: number;
  /** Only stages that came to pass. */
  readonly stages: readonly ProfileLine[];
}

/** Makes the profile of what was measured. */
export function profileOf(times: StageTimes): Profile {
  const chunks = times.commit?.times ?? 0;
  const totalMs = order.reduce((sum, stage) => sum + (times[stage]?.ms ?? 0), 0);
  const lines = order.flatMap((stage) => {
    const spent = times[stage];
    if (spent === undefined) return [];
    const perChunkMs = chunks === 0 ? null : spent.ms / chunks;
    return [{ stage, ...spent, perChunkMs, share: totalMs === 0 ? 0 : spent.ms / totalMs }];
  });
  return { chunks, totalMs, stages: lines };
}

/** The profile as rows of cells, the head first, for a table. */
export function profileCells({ chunks, totalMs, stages: lines }: Profile): readonly (readonly string[])[] {
  const one = (ms: number): string => (ms < 10 ? ms.toFixed(2) : grouped(Math.round(ms)));
  return [
    ['stage', 'times', 'ms', 'ms/chunk', 'share', ''],
    ...lines.map(({ stage, times, ms, perChunkMs, share }) => [
      stage,
      grouped(times),
      one(ms),
      perChunkMs === null ? '' : one(perChunkMs),
      `${(share * 100).toFixed(1)}%`,
      stages[stage],
    ]),
    ['all', grouped(chunks), one(totalMs), '', '', 'lanes and processes added up; times: chunks'],
  ];
}
