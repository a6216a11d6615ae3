import { quote } from '../../core/values/quote.ts';
import { codeOf, messageOf } from '../../errors.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';
import { setLocal, withTransaction } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { warnedOf, whyNotMaintained } from './rights.ts';

/** What an ended run has changed. */
export interface Changed {
  /** Rows that it has passed to `update`. */
  readonly rows: number;
  /** Rows of the table, as far as is known. */
  readonly tableRows: number | null;
  /** Columns that its statements have set, none where they only delete; null: some statement does not say which. */
  readonly columns: readonly string[] | null;
}

/** `columns` null: all of them. */
export type Analyzed =
  | { readonly kind: 'analyzed'; readonly columns: readonly string[] | null; readonly durationMs: number }
  | { readonly kind: 'skipped'; readonly reason: string };

// Plans over fewer rows are good enough with whatever the planner guesses, and autovacuum comes soon.
const leastRows = 10_000;

// As autovacuum has it by default.
const leastShare = 0.1;

/** Whether a run has changed so much of its table that plans made by the old statistics may be bad ones. */
export function isWorthAnalyzing({ rows, tableRows, columns }: Changed): boolean {
  return columns?.length !== 0 && rows >= leastRows && rows >= (tableRows ?? 0) * leastShare;
}

/** Analyzing takes no longer: 30,000 rows are sampled, whatever the table's size, and are read in 0.1 to 3 s. */
export const analyzeMs = 10_000;

/**
 * Has the planner's statistics made for the columns that a run has changed; waits for no lock. Never rejects for what
 * the server refuses: the run is done, and autovacuum will come by.
 */
export async function analyzeChanged(
  session: Session,
  env: RunEnvironment,
  base: BaseTable,
  { columns }: Changed,
): Promise<Analyzed> {
  const limits = setLocal([['statement_timeout', `${analyzeMs}ms`]]);
  const startedAt = performance.now();
  try {
    return await withTransaction(session, `${env.pinned}; ${limits}`, async () => {
      const why = await whyNotMaintained(session, base);
      if (why !== null) return { kind: 'skipped', reason: why };
      const names = columns === null ? null : await analyzable(session, base, columns);
      if (names?.length === 0) return { kind: 'skipped', reason: 'none of its columns was set' };
      const list = names === null ? '' : ` (${names.map(quote).join(', ')})`;
      const analyze = `analyze (skip_locked) ${quote(base.schema)}.${quote(base.name)}${list}`;
      const warning = await warnedOf(session, () => session.query(analyze));
      if (warning !== null) return { kind: 'skipped', reason: warning };
      return { kind: 'analyzed', columns: names, durationMs: performance.now() - startedAt };
    });
  } catch (error) {
    if (!session.usable || codeOf(error) === undefined) throw error;
    return { kind: 'skipped', reason: messageOf(error) };
  }
}

/**
 * Those of the columns that the table has, and those that are generated; null: analyze all of them, since what an index
 * or extended statistics hold of expressions is analyzed with the whole table only.
 */
async function analyzable(
  session: Session,
  { oid }: BaseTable,
  columns: readonly string[],
): Promise<readonly string[] | null> {
  const { rows } = await session.query(
    `select a.attname::pg_catalog.text as name,
            exists (select from pg_catalog.pg_index as i
                    where i.indrelid operator(pg_catalog.=) a.attrelid and i.indexprs is not null)
              or exists (select from pg_catalog.pg_statistic_ext as s
                         where s.stxrelid operator(pg_catalog.=) a.attrelid) as is_whole
     from pg_catalog.pg_attribute as a
     where a.attrelid operator(pg_catalog.=) $1::pg_catalog.oid
       and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped
       and (a.attname::pg_catalog.text operator(pg_catalog.=) any ($2::pg_catalog.text[])
            or a.attgenerated operator(pg_catalog.=) 's')
     order by a.attnum`,
    [oid, columns],
  );
  if (rows.some((row) => row['is_whole'] === true)) return null;
  const names = rows.map((row) => String(row['name']));
  return names.some((name) => columns.includes(name)) ? names : [];
}
