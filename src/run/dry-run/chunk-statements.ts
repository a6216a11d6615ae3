import { type PlanNode, readPlan } from '../../core/plan/query-plan.ts';
import { keysNoted } from '../../migration/chunk/set-keys.ts';
import { isTargetLookup } from '../../migration/write-rows/target-columns.ts';
import type { Session } from '../../postgres/session.ts';
import { emptySearchPath, underAuthorPath } from '../../postgres/transaction.ts';
import { inSavepoint } from './sample-chunk.ts';

/** A statement of a chunk, how often it ran, and its plan where Postgres explains it. */
export interface ChunkStatement {
  readonly sql: string;
  readonly times: number;
  readonly plan: PlanNode | null;
}

/** Statements by their text, with the values of the first of each. */
type Sent = Map<string, { times: number; readonly values: readonly unknown[] }>;

const ofCounting = new RegExp(
  `^set local search_path|^select pg_catalog.set_config\\('search_path'|pg_stat_get_xact_tuples_|pg_stat_xact_user_tables|${keysNoted}`,
);

/** Notes what is sent from now on, until `session.onStatement` is reset. */
export function recordStatements(session: Session): Sent {
  const sent: Sent = new Map();
  session.onStatement = (text, values) => {
    // The counts of a set-based chunk are no part of its work, nor is what updateRows asks once.
    if (text === emptySearchPath || ofCounting.test(text) || isTargetLookup(text)) return;
    const known = sent.get(text);
    if (known === undefined) sent.set(text, { times: 1, values });
    else known.times += 1;
  };
  return sent;
}

// An update that builds a statement of its own for every row has as many texts as rows.
const mostExplained = 20;

/** What was sent, with the plan of each statement that has one; in the transaction in which it ran. */
export async function explainAll(
  session: Session,
  searchPath: readonly string[] | null,
  sent: Sent,
): Promise<readonly ChunkStatement[]> {
  const statements: ChunkStatement[] = [];
  for (const [sql, { times, values }] of sent) {
    const isKnown = /^\s*(?:select|insert|update|delete|with|merge)\b/i.test(sql);
    const explain = async (): Promise<PlanNode | null> => {
      const answer = await session.authorQuery(`explain (verbose, format json) ${sql}`, values);
      return readPlan(answer.rows[0]?.['QUERY PLAN']);
    };
    const plan =
      isKnown && statements.length < mostExplained
        ? await inSavepoint(session, () => underAuthorPath(session, searchPath, explain)).catch(() => null)
        : null;
    statements.push({ sql, times, plan });
  }
  return statements;
}
