import type { KnownUpdate } from './known-update.ts';

/** What the answers to statements say of the rows that they wrote. */
export interface Written {
  /** Some statement did more than read. */
  readonly hasWritten: boolean;
  /** Of the updates of a set-based chunk itself, how many there were, and the rows of the largest. */
  readonly ofChunk: { readonly updates: number; readonly rows: number };
  /** Rows that all statements wrote, in any table, as far as their answers say. */
  readonly changed: number;
  /** Rows that `updateRows` and `deleteRows` were given and did not find. */
  readonly missing: number;
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
  hasWritten: false,
  ofChunk: { updates: 0, rows: 0 },
  changed: 0,
  missing: 0,
  updated: 0,
  columns: [],
  tables: [],
  bindings: 0,
};

const writes: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);
const neverWrite: ReadonlySet<string> = new Set([
  'SELECT',
  'SHOW',
  'SET',
  'SAVEPOINT',
  'RELEASE',
  'ROLLBACK',
]);

interface Sent {
  readonly bindings: number;
  readonly known: KnownUpdate | undefined;
}

/**
 * Adds the answer to one more statement, of which it is known what it writes, or not. The rows of a SELECT are
 * read, not written; and what a function or a CTE writes does not show in the answer.
 */
export function withStatement(
  before: Written,
  { bindings, known }: Sent,
  answer: { readonly command: string; readonly rowCount: number | null },
): Written {
  const rows = writes.has(answer.command) ? (answer.rowCount ?? 0) : 0;
  const { updates, rows: most } = before.ofChunk;
  const isChunk = known?.isChunk === true;
  return {
    hasWritten: before.hasWritten || !neverWrite.has(answer.command),
    ofChunk: isChunk ? { updates: updates + 1, rows: Math.max(most, rows) } : before.ofChunk,
    changed: before.changed + rows,
    missing: before.missing + Math.max(0, (known?.given ?? rows) - rows),
    updated:
      known === undefined || known.columns === null || before.updated === null ? null : before.updated + rows,
    columns: union(before.columns, known?.columns ?? []),
    bindings: Math.max(before.bindings, bindings),
    tables: union(before.tables, known == null || known.table === null ? [] : [known.table]),
  };
}

function union(before: readonly string[], names: readonly string[]): readonly string[] {
  const added = names.filter((name) => !before.includes(name));
  return added.length === 0 ? before : [...before, ...added];
}
