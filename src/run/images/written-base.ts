import type { KnownUpdate } from '../../migration/handle/known-update.ts';
import type { BaseTable } from '../../migration/key/key.ts';

/** What statements may write of a base table. */
export interface NamedBase {
  readonly base: BaseTable;
  /** How statements name it for certain, quoted. */
  readonly names: readonly string[];
}

const reading = /^\s*(?:select|values|table|show|explain|set|savepoint|release|rollback)\b/i;
const writing = /\b(?:insert|update|delete|merge|call|do|execute)\b/i;
const written =
  /^\s*(?:insert\s+into|update|delete\s+from|merge\s+into)\s+(?:only\s+)?((?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))?)/i;

/**
 * The columns of the base table that a statement may change, by their names: those that it is known to name, none where
 * it only reads or names another table, else all. What a function, a trigger or a view writes shows in the server's counters.
 */
export function writtenBase(
  sql: string,
  known: KnownUpdate | undefined,
  { base, names }: NamedBase,
): readonly string[] | 'none' | 'all' {
  if (known?.table === null) return 'none';
  if (known?.table !== undefined) {
    if (!names.includes(known.table)) return isNamed(known.table, base) ? 'all' : 'none';
    return known.columns ?? 'all';
  }
  if (reading.test(sql)) return 'none';
  if (/^\s*with\b/i.test(sql)) return writing.test(sql) ? 'all' : 'none';
  const table = written.exec(sql)?.[1];
  return table === undefined || isNamed(table, base) ? 'all' : 'none';
}

/** Whether the last part of a written name is the table's, in whatever schema. */
function isNamed(table: string, { name }: BaseTable): boolean {
  const last = /(?:"((?:[^"]|"")+)"|([\w$]+))$/.exec(table);
  const quoted = last?.[1]?.replaceAll('""', '"');
  return (quoted ?? last?.[2]?.toLowerCase() ?? name) === name;
}
