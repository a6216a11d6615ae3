import { maxKey, lockedChunk, pickKeys, rowsByKeys, setBasedChunk } from '../migration/chunk-queries.ts';
import { type QueryFn, resolveBaseTable } from '../migration/base-table.ts';
import { relationsSql } from '../migration/catalog-sql.ts';
import { guardDatabase } from '../migration/guard.ts';
import type { BaseTable } from '../migration/key.ts';
import type { Statement } from '../migration/key-sql.ts';
import type { RefusedClause } from '../migration/refused-clauses.ts';
import { type Relation, readAsWhole, refusedAbove, refusedAtTop } from '../migration/select-plan.ts';
import { type SelectShape, clauseRefusal } from '../migration/select-shape.ts';
import { resolveWholeBase } from '../migration/whole-base.ts';
import { native, wholeText } from '../migration/whole-select.ts';
import type { Session } from '../postgres/session.ts';
import { setLocal } from '../postgres/transaction.ts';
import type { AuthorSelect } from './author-select.ts';
import { explain, describe, refusalOf } from './explain.ts';

/** What is known of a select before anything is written. */
export interface Understood {
  readonly shape: SelectShape;
  readonly base: BaseTable;
  readonly warnings: readonly string[];
}

/** Finds the base table and key of a select, has Postgres plan it, and refuses what stands between the two. */
export async function understand(author: AuthorSelect, inspected: SelectShape): Promise<Understood> {
  const { session, migration } = author;
  const { key } = migration.options;
  const query: QueryFn = (text, values) => session.query(text, values);
  if (inspected.kind === 'table') {
    const base = await resolveBaseTable(query, inspected.table, key);
    const plan = await explain(author, native(inspected.query));
    refuseClause(author, refusedAtTop(plan));
    const relations = await relationsOf(session, base);
    refuseClause(author, refusedAbove(plan, { relations, found: inspected.table }));
    return { shape: inspected, base, warnings: [] };
  }
  const plan = await explain(author, native(inspected.query));
  refuseClause(author, refusedAtTop(plan));
  const columns = await describe(author, wholeText(inspected));
  const { base, keyAs } = await resolveWholeBase(query, columns, key, migration.path);
  const found = { output: columns.findIndex(({ name }) => name === keyAs[0]) };
  const planned = { relations: await relationsOf(session, base), found };
  refuseClause(author, refusedAbove(plan, planned));
  const warnings = readAsWhole(plan, planned).map(
    (name) =>
      `${migration.path}: each chunk reads the CTE "${name}" as a whole: begin with db('${base.name}')`,
  );
  return { shape: { ...inspected, keyAs }, base, warnings };
}

/**
 * Plans the statements of a chunk, and reads one row in the way of a chunk: a raw fragment that is not
 * complete by itself shows, and a function that writes.
 */
export async function tryChunk(author: AuthorSelect, { shape, base }: Understood): Promise<void> {
  const { session } = author;
  const last = maxKey(base);
  const upTo = (await session.query(last.text, last.values)).rows[0]?.['key'] as
    readonly string[] | undefined;
  if (upTo === undefined) return;
  const range = { after: null, upTo, limit: 1 };
  if (author.step.setBased) {
    await explain(
      author,
      native(setBasedChunk(shape, base, guardDatabase(session, author.env.knexConfig).builder, range)),
      'chunk',
    );
  } else if (shape.plain) {
    await explain(author, lockedChunk(shape, base, range), 'chunk');
  } else {
    await explain(author, rowsByKeys(shape, base, [upTo]), 'chunk');
  }
  await readOne(author, shape, base, pickKeys(shape, base, range));
}

// Long enough where the planner walks the key; a sparse select need not find a row.
const trialMs = 1_000;

async function readOne(
  author: AuthorSelect,
  shape: SelectShape,
  base: BaseTable,
  pick: Statement,
): Promise<void> {
  const { session, env, step } = author;
  const timeoutMs = Math.min(trialMs, env.tuning.statementTimeoutMs);
  await session.query('savepoint trial');
  await session.query(setLocal([['statement_timeout', `${timeoutMs}ms`]]));
  try {
    const { rows } = await session.query(pick.text, pick.values);
    const keys = rows.map((row) => row['key'] as readonly string[]);
    const read = rowsByKeys(shape, base, keys);
    if (keys.length > 0 && !step.setBased) await session.authorQuery(read.text, read.values);
  } catch (error) {
    const refusal = refusalOf(author, error, 'trial');
    if (refusal !== null) throw refusal;
    // Bad data, or a table in which a row is hard to find: the chunks will tell.
    if (!session.usable) throw error;
  }
  await session.query('rollback to savepoint trial');
}

async function relationsOf(session: Session, base: BaseTable): Promise<readonly Relation[]> {
  const { rows } = await session.query(relationsSql, [base.oid]);
  return rows as unknown as readonly Relation[];
}

function refuseClause({ migration }: AuthorSelect, clause: RefusedClause | null): void {
  if (clause !== null) throw clauseRefusal(migration.path, clause);
}
