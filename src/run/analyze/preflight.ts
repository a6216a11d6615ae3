import type { Knex } from 'knex';
import { columnsAsked } from '../../core/plan/query-plan.ts';
import { type QueryFn, catalogOf, resolveBaseTable } from '../../migration/table/base-table.ts';
import { fail } from '../../errors.ts';
import type { AskedGroups } from '../../migration/table/group-choice.ts';
import { relationsSql } from '../../migration/table/catalog-sql.ts';
import { lockedChunk, pickKeys, raw, rowsByKeys } from '../../migration/chunk/queries.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { Statement } from '../../migration/key/sql.ts';
import { comparisons, maxKey } from '../../migration/key/queries.ts';
import { foreignKeyNames, refuseSharedNames } from '../../migration/table/column-names.ts';
import type { RefusedClause } from '../../migration/select/refused-clauses.ts';
import { type Relation, readAsWhole, refusedAbove, refusedAtTop } from '../../migration/select/plan.ts';
import { type SelectShape, type WholeSelect, clauseRefusal } from '../../migration/select/shape.ts';
import { resolveWholeBase } from '../../migration/table/raw-base.ts';
import { setBasedChunk } from '../../migration/chunk/set-chunk.ts';
import { asSubquery, unended } from '../../migration/select/raw.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder, setLocal } from '../../postgres/transaction.ts';
import type { AuthorSelect } from './author-select.ts';
import { explain, resultColumns, refusalOf } from './explain.ts';

/** What is known of a select before anything is written. */
export interface Understood {
  readonly shape: SelectShape;
  readonly base: BaseTable;
  /** Under which names a select that is taken as it stands returns the key. */
  readonly keyAs?: readonly string[];
  readonly warnings: readonly string[];
  /** Columns of the base table that its condition asks for. */
  readonly asked: readonly string[];
}

/** Finds the base table and key of a select, has Postgres plan it, and refuses what stands between the two. */
export async function understand(
  author: AuthorSelect,
  selected: SelectShape | WholeSelect,
): Promise<Understood> {
  const { session, env, migration } = author;
  const query = catalogOf(session, env.searchPath);
  if (selected.kind === 'whole') return await understandWhole(author, query, selected);
  const { table, groups } = selected;
  const isGrouped = groups !== undefined;
  if (isGrouped) refuseOnGroups(author);
  const asked = groups && { ...groups, written: asWritten(author, selected) };
  const base = await resolveBaseTable(query, table, migration.options.key, asked);
  const plan = await explain(author, native(selected), 'select');
  refuseClause(author, refusedAtTop(plan, isGrouped));
  const relations = await relationsOf(session, base);
  refuseClause(author, refusedAbove(plan, { relations, found: table }, isGrouped));
  // Set-based, no row is made of its columns.
  const columns = author.step.setBased ? [] : await resultColumns(author, native(selected));
  refuseSharedNames(columns, plan, base, migration.path);
  const warnings = [...selected.warnings, ...foreignKeyNames(columns, plan, base, migration.path)];
  return { shape: selected, base, warnings, asked: columnsAsked(plan, relations) };
}

/** How Postgres writes expressions over the table of a select, in the author's search path: the same what is the same. */
function asWritten(author: AuthorSelect, { builder }: SelectShape): AskedGroups['written'] {
  return async (expressions) => {
    const query = builder
      .clone()
      .clear('select')
      .clear('where')
      .clear('group')
      .clear('having')
      .clear('order');
    const list = expressions.map((one) => (typeof one === 'string' ? raw(query, one) : one));
    return (await explain(author, native({ builder: query.select(list) }), 'select')).output;
  };
}

/** What is of no use, or has no meaning, where the rows of a select are groups. */
function refuseOnGroups({ migration, step }: AuthorSelect): void {
  const { key, weigh } = migration.options;
  const refuse = (message: string, hint: string): void => {
    throw fail('SELECT_REFUSED', {
      message: `${migration.name}: ${message}`,
      detail: 'nothing was changed',
      hint,
    });
  };
  if (step.setBased) {
    refuse(
      'select groups its rows, and setBased works on rows',
      'use update(db, rows): it gets one row for each group',
    );
  }
  if (key !== undefined)
    refuse(
      'select groups its rows: options.key is of no use',
      'leave it out: a group is identified by what select groups by',
    );
  if (weigh !== undefined && step === migration)
    refuse(
      'select groups its rows: options.weigh is of no use',
      'leave it out: the chunks of groups go by the rows of the table',
    );
}

async function understandWhole(
  author: AuthorSelect,
  query: QueryFn,
  selected: WholeSelect,
): Promise<Understood> {
  const { migration } = author;
  const { text, values } = native(selected);
  const plan = await explain(author, { text, values }, 'select');
  refuseClause(author, refusedAtTop(plan));
  const columns = await resultColumns(author, { text: unended(text), values });
  const { base, keyAs } = await resolveWholeBase(query, columns, migration.options.key, migration.path);
  if (!author.step.setBased) refuseSharedNames(columns, plan, base, migration.path);
  const found = { output: columns.findIndex(({ name }) => name === keyAs[0]) };
  const planned = { relations: await relationsOf(author.session, base), found };
  refuseClause(author, refusedAbove(plan, planned));
  const shape = asSubquery(selected, base, keyAs);
  const slow = readAsWhole(plan, planned).map(
    (name) =>
      `${migration.path}: each chunk reads the CTE "${name}" as a whole: start with db('${base.name}')`,
  );
  const asked = columnsAsked(plan, planned.relations);
  return { shape, base, keyAs, warnings: [...selected.warnings, ...slow], asked };
}

/**
 * Plans the statements of a chunk, and reads one row in the way of a chunk: keys that cannot be compared show, a
 * raw fragment that is not complete by itself, and a function that writes.
 */
export async function tryChunk(author: AuthorSelect, { shape, base }: Understood): Promise<void> {
  const { session } = author;
  const last = maxKey(base);
  const found = await session.query(last.text, last.values);
  const upTo = (found.rows[0]?.['key'] as readonly string[] | undefined) ?? null;
  const compared = comparisons(base, upTo);
  if (upTo === null) return void (await explain(author, compared, 'key'));
  const chunk = statementOfChunk(author, shape, base, upTo);
  await inOrder([explain(author, compared, 'key'), explain(author, chunk, 'chunk')]);
  await readOne(author, shape, base, upTo);
}

function statementOfChunk(
  { step }: AuthorSelect,
  shape: SelectShape,
  base: BaseTable,
  upTo: readonly string[],
): Statement {
  const range = { after: null, upTo, limit: 1 };
  if (step.setBased) return native({ builder: setBasedChunk(shape, base, range) });
  return shape.plain ? lockedChunk(shape, base, range) : rowsByKeys(shape, base, [upTo]);
}

// Long enough where the planner walks the key; a sparse select need not find a row.
const trialMs = 300;

// Asked for one row alone, the planner would walk the key and read a page for each row that does not match.
const trialRows = 1_000;

async function readOne(
  author: AuthorSelect,
  shape: SelectShape,
  base: BaseTable,
  upTo: readonly string[],
): Promise<void> {
  const { session, env, step, migration } = author;
  const timeoutMs = Math.min(trialMs, env.tuning.statementTimeoutMs);
  const pick = pickKeys(shape, base, { after: null, upTo, limit: trialRows });
  try {
    const [, , { rows }] = await inOrder([
      session.query('savepoint trial'),
      session.query(setLocal([['statement_timeout', `${timeoutMs}ms`]])),
      session.query(pick.text, pick.values),
    ]);
    const read = rowsByKeys(
      shape,
      base,
      rows.slice(0, 1).map((row) => row['key'] as readonly string[]),
    );
    if (rows.length > 0 && !step.setBased) await session.authorQuery(read.text, read.values);
  } catch (error) {
    const refusal = refusalOf(migration, error, 'trial');
    if (refusal !== null) throw refusal;
    // Bad data, or a table in which a row is hard to find: the chunks will tell.
    if (!session.usable) throw error;
  }
  await session.query('rollback to savepoint trial');
}

/** A table by its names in the catalog, with its partitions. */
export async function relationsOf(session: Session, base: BaseTable): Promise<readonly Relation[]> {
  const { rows } = await session.query(relationsSql, [base.oid]);
  return rows as unknown as readonly Relation[];
}

function native({ builder }: { readonly builder: Pick<Knex.Raw, 'toSQL'> }): Statement {
  const { sql, bindings } = builder.toSQL().toNative();
  return { text: sql, values: bindings };
}

function refuseClause({ migration }: AuthorSelect, clause: RefusedClause | null): void {
  if (clause !== null) throw clauseRefusal(migration.path, clause);
}
