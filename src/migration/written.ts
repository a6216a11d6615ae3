/** What the answers to statements say of the rows that they wrote. */
export interface Written {
  /** Rows that the largest statement wrote, as far as its answer says. */
  readonly rows: number;
  /** False where a statement may have written more than its answer says. */
  readonly isCertain: boolean;
}

export const nothingWritten: Written = { rows: 0, isCertain: true };

const writes: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

/**
 * Adds the answer to one more statement. The rows of a SELECT are read, not written; and what a function or a
 * CTE writes does not show in the answer.
 */
export function withStatement(
  before: Written,
  sql: string,
  answer: { readonly command: string; readonly rowCount: number | null },
): Written {
  const isWrite = writes.has(answer.command);
  return {
    rows: Math.max(before.rows, isWrite ? (answer.rowCount ?? 0) : 0),
    isCertain: before.isCertain && isWrite && !/\bwith\b/i.test(sql),
  };
}
