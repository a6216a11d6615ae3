import { counted } from '../values/numbers.ts';

/**
 * A bounded sample of a table's rows, drawn once before a run: what lies where, and how much of it `select` finds,
 * without any statistics of the planner. A position is a number of rows of the table, in the order of the key.
 */
export interface Survey {
  /** Rows of the table, by what was drawn. */
  readonly rows: number;
  /** They are counted. */
  readonly isCounted?: true;
  /** Keys of rows, in their order and about equally far apart; the last one is the largest that was drawn. */
  readonly keys: readonly (readonly string[])[];
  /** Rows up to each of `keys` that `select` finds; null: there was no time to tell. */
  readonly found: readonly number[] | null;
  /** What `select` finds are groups of rows, which a sample does not tell. */
  readonly isGrouped?: true;
  /** How many groups there are, counted; unset: there was no time for that. */
  readonly groups?: number;
  /** Rows of the table for which a row that was found stands; 1: all were looked at. */
  readonly each: number;
  /** Rows do not lie in the order of their keys. */
  readonly isShuffled: boolean;
}

/** Blocks of the table that are drawn, wherever they lie: each may cost a read of the disk. */
export const mostBlocks = 300;

/** Rows of a few chunks. So many need not be shared out among workers, nor looked for key by key. */
export const fewRows = 10_000;

/** Rows or groups that `select` finds, by the survey; null: not known, or none of the rows that were drawn was found. */
export function matchingOf(survey: Survey | undefined): number | null {
  if (survey?.isGrouped === true) return survey.groups ?? null;
  const matching = survey?.found?.at(-1) ?? null;
  return matching === 0 && survey?.each !== 1 ? null : matching;
}

/** Why it is not known how many rows `select` finds; null: it is. */
export function whyUnknown(survey: Survey | undefined): string | null {
  if (matchingOf(survey) !== null) return null;
  if (survey === undefined) return 'a sample of the table has no rows, or took too long';
  const has = `it has ${survey.isCounted ? '' : 'about '}${counted(survey.rows, 'row')}`;
  if (survey.isGrouped === true) return `counting the groups took too long; ${has}`;
  return survey.found === null
    ? `select took too long on a sample of the table; ${has}`
    : `a sample of the table has none; ${has}`;
}

/** Bytes that a row takes on disk, on average; 0: not known. `bytes` and `estimatedRows`: of the table. */
export function rowBytesOf(
  { bytes = 0, estimatedRows }: { readonly bytes?: number; readonly estimatedRows: number },
  survey: Survey | undefined,
): number {
  const rows = survey?.rows ?? estimatedRows;
  return rows > 0 ? bytes / rows : 0;
}

/** Whether few rows match, of many. */
export function isSparse(survey: Survey | undefined): boolean {
  return survey !== undefined && survey.rows >= fewRows && (survey.found?.at(-1) ?? Infinity) < fewRows;
}

/** Rows of the table for each that matches, at least 1; 1 where it is not known. */
export function keysPerRow(survey: Survey | undefined): number {
  const matching = survey?.found?.at(-1);
  return survey === undefined || matching === undefined
    ? 1
    : Math.max(1, survey.rows / Math.max(matching, 1));
}

/** Rows from one key of a survey to the next. */
export function stepOf({ rows, keys }: Survey): number {
  return rows / Math.max(keys.length, 1);
}

/** The keys of a survey between two positions, of which `first` is the number of the first. */
export function keysBetween(
  survey: Survey,
  from: number,
  to: number,
): { readonly first: number; readonly keys: Survey['keys'] } {
  const step = stepOf(survey);
  const first = step > 0 ? Math.min(Math.floor(from / step), survey.keys.length) : 0;
  return { first, keys: step > 0 ? survey.keys.slice(first, Math.ceil(to / step)) : [] };
}

/** Rows that match up to a position; null: not known. */
function foundUpTo(survey: Survey, position: number): number | null {
  const { found } = survey;
  if (found === null || found.length === 0) return null;
  const steps = Math.min(Math.max(position / stepOf(survey), 0), found.length);
  const below = Math.floor(steps);
  const at = (index: number): number => found[index - 1] ?? 0;
  return at(below) + (at(Math.min(below + 1, found.length)) - at(below)) * (steps - below);
}

/** Rows that match in stretches, each from a position on and so many rows of the table long; null: not known. */
export function foundIn(
  survey: Survey,
  parts: readonly (readonly [at: number, length: number])[],
): number | null {
  let sum = 0;
  for (const [at, length] of parts) {
    const [before, behind] = [foundUpTo(survey, at), foundUpTo(survey, at + length)];
    if (before === null || behind === null) return null;
    sum += behind - before;
  }
  return sum;
}

/** The survey for work on nothing but what a run has done: `rows` of it, where `open` is what it has not done. */
export function surveyOfDone(
  survey: Survey,
  { rows, open }: { readonly rows: number; readonly open: readonly (readonly [number, number])[] },
): Survey {
  const [all, left] = [matchingOf(survey), foundIn(survey, open)];
  if (survey.found === null || all === null || left === null || all <= left)
    return { ...survey, found: null };
  const factor = rows / (all - left);
  return { ...survey, found: survey.found.map((found) => found * factor) };
}
