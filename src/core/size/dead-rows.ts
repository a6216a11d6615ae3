/** Rows of a table that nobody sees any more, and those that are there, as the server counts them. */
export interface DeadRows {
  readonly dead: number;
  readonly live: number;
}

// As autovacuum has it by default.
const worthShare = 0.2;

// Below this a vacuum costs more than the room that it makes.
const leastDead = 10_000;

/** Whether a vacuum is worth it; `kept`: dead rows that the one before had to leave. */
export function isWorthVacuuming({ dead, live }: DeadRows, kept: number): boolean {
  return dead - kept >= Math.max(leastDead, live * worthShare);
}
