/** How dense a table is in rows that match, by the planner's estimates; what they decide is corrected as chunks run. */
export interface Density {
  /** -1: the table was never analysed. */
  readonly tableRows: number;
  /** Rows that the planner expects of `select`; without statistics it guesses. */
  readonly matching: number;
}

/** Rows of a few chunks. So many need not be shared out among workers, nor looked for key by key. */
export const fewRows = 10_000;

/** Whether few rows match, of many. */
export function isSparse({ tableRows, matching }: Density): boolean {
  return tableRows >= fewRows && matching < fewRows;
}

/** Keys of the table for each row that matches, at least 1; 1 where it is not known. */
export function keysPerRow({ tableRows, matching }: Density): number {
  return tableRows < 0 ? 1 : Math.max(1, tableRows / Math.max(matching, 1));
}
