/** What the answers to statements say of the rows that they wrote. */
export interface Written {
  /** Rows that the largest statement wrote, as far as its answer says. */
  readonly rows: number;
  /** False where a statement may have written more than its answer says. */
  readonly isCertain: boolean;
  /** Rows that all UPDATEs wrote whose columns are known (see `known-update`). */
  readonly updated: number;
  /** What those set. */
  readonly columns: readonly string[];
}

export const nothingWritten: Written = { rows: 0, isCertain: true, updated: 0, columns: [] };

const writes: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

/**
 * Adds the answer to one more statement, which is known to set `columns`, or not known. The rows of a SELECT are
 * read, not written; and what a function or a CTE writes does not show in the answer.
 */
export function withStatement(
  before: Written,
  { sql, columns }: { readonly sql: string; readonly columns: readonly string[] | undefined },
  answer: { readonly command: string; readonly rowCount: number | null },
): Written {
  const isWrite = writes.has(answer.command);
  const rows = isWrite ? (answer.rowCount ?? 0) : 0;
  const added = (columns ?? []).filter((name) => !before.columns.includes(name));
  return {
    rows: Math.max(before.rows, rows),
    isCertain: before.isCertain && isWrite && !/\bwith\b/i.test(sql),
    updated: before.updated + (columns === undefined ? 0 : rows),
    columns: added.length === 0 ? before.columns : [...before.columns, ...added],
  };
}
