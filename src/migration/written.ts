import type { KnownUpdate } from './known-update.ts';

/** What the answers to statements say of the rows that they wrote. */
export interface Written {
  /** Rows that the largest statement wrote, as far as its answer says. */
  readonly rows: number;
  /** False where a statement may have written more than its answer says. */
  readonly isCertain: boolean;
  /** Rows that all UPDATEs wrote, where of every statement it is known what it writes; else null. */
  readonly updated: number | null;
  /** What those set. */
  readonly columns: readonly string[];
  /** The tables that they name, as they name them. */
  readonly tables: readonly string[];
  /** Of the statement that had most of them. */
  readonly bindings: number;
}

export const nothingWritten: Written = {
  rows: 0,
  isCertain: true,
  updated: 0,
  columns: [],
  tables: [],
  bindings: 0,
};

const writes: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

interface Sent {
  readonly sql: string;
  readonly bindings: number;
  readonly known: KnownUpdate | undefined;
}

/**
 * Adds the answer to one more statement, of which it is known what it writes, or not. The rows of a SELECT are
 * read, not written; and what a function or a CTE writes does not show in the answer.
 */
export function withStatement(
  before: Written,
  { sql, bindings, known }: Sent,
  answer: { readonly command: string; readonly rowCount: number | null },
): Written {
  const isWrite = writes.has(answer.command);
  const rows = isWrite ? (answer.rowCount ?? 0) : 0;
  return {
    rows: Math.max(before.rows, rows),
    isCertain: before.isCertain && isWrite && !/\bwith\b/i.test(sql),
    updated: known === undefined || before.updated === null ? null : before.updated + rows,
    columns: union(before.columns, known?.columns ?? []),
    bindings: Math.max(before.bindings, bindings),
    tables: union(before.tables, known == null || known.table === null ? [] : [known.table]),
  };
}

function union(before: readonly string[], names: readonly string[]): readonly string[] {
  const added = names.filter((name) => !before.includes(name));
  return added.length === 0 ? before : [...before, ...added];
}
