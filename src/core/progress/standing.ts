import { type Survey, foundIn, matchingOf, mostBlocks } from '../size/survey.ts';
import { isSweep } from '../size/sweep.ts';

/** What the ledger says of a run, as far as it tells how much is done. */
export interface Sums {
  readonly rows: number;
  /** Rows that are quarantined. */
  readonly quarantined: number;
  /** Rows of the table behind the cursors of the present pass, whether they matched or not. */
  readonly passed: number;
  /** Rows of the table in front of them. */
  readonly estimatedLeft: number;
  readonly rangesDone: number;
  readonly rangesOpen: number;
  /** Position and length of what is left of each open range. */
  readonly open: readonly (readonly [at: number, left: number])[];
}

/** What is known of a run from its beginning. */
export interface Known {
  readonly pass: number;
  /** Rows that it is expected to pass to `update`; -1: not known. */
  readonly estimatedRows: number;
  readonly plan: {
    readonly survey?: Survey;
    readonly rowsPerBlock?: number;
    readonly sweeps?: boolean;
    readonly mainPass?: number;
    readonly droppedPasses?: number;
    readonly auto?: { readonly state: string };
  };
}

/** How a run stands. Every number that anybody is shown of a run is one of these, or follows from them. */
export interface Standing {
  /** Share done, 0 to 0.999: that it is done is for the ledger to say; null: not known. */
  readonly fraction: number | null;
  readonly rowsDone: number;
  /** Done, quarantined and left; null: not known. */
  readonly rowsEstimated: number | null;
  readonly rowsLeft: number | null;
  /** Rows of the table that are left, whether they match or not; null: not known. */
  readonly keysLeft: number | null;
  readonly keysPassed: number;
}

// That the end is near is no news, that it is there is.
const mostUnfinished = 0.999;

/** The one place where share and total are made. `read` null: nothing is read yet. */
export function standingOf(known: Known, read: Sums | null): Standing {
  const sums = read === null ? null : withRest(known, read);
  const rowsDone = sums?.rows ?? 0;
  const { rangesDone = 0, rangesOpen = 0, passed = 0, estimatedLeft = 0, quarantined = 0 } = sums ?? {};
  const isMeasured = known.plan.survey !== undefined || known.plan.rowsPerBlock !== undefined;
  const rowsLeft = sums === null ? rowsAtFirst(known) : leftOf(known, sums);
  const all = passed + estimatedLeft;
  const ranges = rangesDone + rangesOpen;
  const share = isMeasured && all > 0 ? passed / all : ranges > 1 ? rangesDone / ranges : null;
  return {
    fraction: sums === null || share === null ? null : Math.min(share, mostUnfinished),
    rowsDone,
    rowsLeft,
    rowsEstimated: rowsLeft === null ? null : Math.round(rowsDone + quarantined + rowsLeft),
    keysLeft: isMeasured && sums !== null ? estimatedLeft : null,
    keysPassed: passed,
  };
}

/** With what is not laid out yet, as long as the order of a run is not decided. */
function withRest({ plan: { auto, survey } }: Known, sums: Sums): Sums {
  const laidOut = sums.passed + sums.estimatedLeft;
  const rest = auto?.state === 'undecided' && survey !== undefined ? survey.rows - laidOut : 0;
  if (rest <= 0) return sums;
  const { estimatedLeft, open, rangesOpen } = sums;
  return {
    ...sums,
    estimatedLeft: estimatedLeft + rest,
    open: [...open, [laidOut, rest]],
    rangesOpen: rangesOpen + 1,
  };
}

function rowsAtFirst({ estimatedRows }: Known): number | null {
  return estimatedRows < 0 ? null : estimatedRows;
}

// Less of the table than this says little about the rest.
const tellingShare = 0.05;

// So many of what the survey has drawn weigh as much as those rows that chunks have found.
const trust = 20;

/** Rows that are left: those that are expected in front of the cursors, corrected by what was found behind them. */
function leftOf(known: Known, sums: Sums): number | null {
  const { estimatedRows, plan } = known;
  const { rows, passed, estimatedLeft } = sums;
  if (sums.rangesOpen === 0) return 0;
  // A sweep is expected to find nothing.
  if (isSweep(known)) return 0;
  // What it found in the passes that it has dropped says nothing of where the others lie.
  if (plan.droppedPasses !== undefined) return null;
  // Some groups have many rows: how many are left does not follow from how much of the table is.
  if (plan.survey?.isGrouped === true) {
    return estimatedRows < 0 ? null : Math.max(estimatedRows - rows - sums.quarantined, 0);
  }
  const all = passed + estimatedLeft;
  if (estimatedRows < 0) {
    const isTelling = rows > 0 && passed >= all * tellingShare;
    return isTelling ? (rows * estimatedLeft) / passed : null;
  }
  const left = expectedLeft(known, sums) ?? (all > 0 ? (estimatedRows * estimatedLeft) / all : 0);
  const { each = 1, isShuffled = false } = plan.survey ?? {};
  // Neighbours by key lie in one block: it is blocks that were drawn of them, and not rows.
  const drawn = isShuffled ? each : Math.max(each, estimatedRows / mostBlocks);
  // What was counted is corrected by as much only.
  const weight = each === 1 ? Math.max(estimatedRows, trust) : trust * drawn;
  return (left * (rows + weight)) / (Math.max(estimatedRows - left, 0) + weight);
}

/** By where the rows lie that the survey has found; null where it does not say. */
function expectedLeft({ plan: { survey, rowsPerBlock } }: Known, { open }: Sums): number | null {
  if (survey === undefined || rowsPerBlock !== undefined || (matchingOf(survey) ?? 0) === 0) return null;
  return foundIn(survey, open);
}

/** How fast a run is; null where that is not known. */
export interface Speed {
  readonly rowsPerSecond: number | null;
  /** Rows of the table, whether they match or not. */
  readonly keysPerSecond: number | null;
}

// Fewer rows take no time that anybody would notice.
const noticeable = 1_000;

/**
 * The time left: until the rest of the table is passed, and until all rows that match are written, whichever takes
 * longer. No faster than `pace` rows a second. Null: not known.
 */
export function secondsLeft(
  now: Standing,
  { rowsPerSecond, keysPerSecond }: Speed,
  pace: number | null = null,
): number | null {
  const { rowsDone, rowsLeft, keysLeft, keysPassed } = now;
  if (keysLeft === null || keysPerSecond === null || keysPerSecond <= 0) return null;
  const paced = pace === null || rowsDone === 0 ? Infinity : (pace * keysPassed) / rowsDone;
  const byKeys = keysLeft / Math.min(keysPerSecond, paced);
  if (rowsLeft === null || rowsLeft < noticeable) return byKeys;
  const rate = Math.min(rowsPerSecond ?? 0, pace ?? Infinity);
  return rate > 0 ? Math.max(byKeys, rowsLeft / rate) : null;
}

/** What is left as a multiple of what is done, in the time that it takes; null: not known. */
export function leftInDone({ rowsDone, rowsLeft, keysLeft, keysPassed }: Standing): number | null {
  if (keysLeft === null || keysPassed <= 0) return null;
  const byKeys = keysLeft / keysPassed;
  if (rowsLeft === null || rowsLeft < noticeable) return byKeys;
  return rowsDone > 0 ? Math.max(byKeys, rowsLeft / rowsDone) : null;
}
