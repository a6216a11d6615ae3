import type { KnownUpdate } from './known-update.ts';

/** What the answers to statements say of the rows that they wrote. */
export interface Written {
  /** Some statement did more than read. */
  readonly hasWritten: boolean;
  /** Of the statements of a set-based chunk itself: how many updates, the rows of the largest, and all that are deleted. */
  readonly ofChunk: { readonly updates: number; readonly rows: number; readonly deleted: number };
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
  ofChunk: { updates: 0, rows: 0, deleted: 0 },
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
  const isDelete = known?.columns === null;
  return {
    hasWritten: before.hasWritten || !neverWrite.has(answer.command),
    ofChunk: known?.isChunk === true ? withChunk(before.ofChunk, rows, isDelete) : before.ofChunk,
    changed: before.changed + rows,
    missing: before.missing + Math.max(0, (known?.given ?? rows) - rows),
    updated: known === undefined || before.updated === null ? null : before.updated + (isDelete ? 0 : rows),
    columns: union(before.columns, known?.columns ?? []),
    bindings: Math.max(before.bindings, bindings),
    tables: union(before.tables, known == null || known.table === null ? [] : [known.table]),
  };
}

function withChunk(
  { updates, rows: most, deleted }: Written['ofChunk'],
  rows: number,
  isDelete: boolean,
): Written['ofChunk'] {
  return isDelete
    ? { updates, rows: most, deleted: deleted + rows }
    : { updates: updates + 1, rows: Math.max(most, rows), deleted };
}

function union(before: readonly string[], names: readonly string[]): readonly string[] {
  const added = names.filter((name) => !before.includes(name));
  return added.length === 0 ? before : [...before, ...added];
}
