import type { Survey } from '../../core/size/survey.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { Statement } from '../../migration/key/sql.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import { type SurveyQuery, surveyQuery } from '../../migration/table/survey-query.ts';
import { inOrder, setLocal } from '../../postgres/transaction.ts';
import type { AuthorSelect } from './author-select.ts';

// Enough for blocks that have to be read from a disk, and for looking rows up elsewhere; nobody waits longer for it.
const surveyMs = 500;

// Every host of a run reads them. Longer keys are fewer.
const mostBytes = 200_000;

/**
 * Draws the survey of a table, in an open transaction under the author's search path. Where there is no time to tell
 * what `select` finds, it knows the keys alone; undefined where there is not even for those, or none was drawn.
 */
export async function takeSurvey(
  author: AuthorSelect,
  { shape, base }: { readonly shape: SelectShape; readonly base: BaseTable },
): Promise<Survey | undefined> {
  if (base.isGrouped === true) {
    const survey = await drawn(author, base, null);
    if (survey === null) return undefined;
    const groups = await countGroups(author, shape);
    return { ...survey, isGrouped: true, ...(groups === null ? {} : { groups }) };
  }
  return (await drawn(author, base, shape)) ?? (await drawn(author, base, null)) ?? undefined;
}

async function drawn(
  author: AuthorSelect,
  base: BaseTable,
  shape: SelectShape | null,
): Promise<Survey | null> {
  const query = surveyQuery(base, shape);
  const rows = await inTime(author, query);
  return rows === null ? null : surveyOf(rows, query, shape !== null);
}

/** Of groups a sample tells nothing, since most of their rows are outside of it: all are counted; null: no time for that. */
async function countGroups(author: AuthorSelect, { builder }: SelectShape): Promise<number | null> {
  const { sql, bindings } = builder.toSQL().toNative();
  const all = { text: `select pg_catalog.count(*) as groups from (${sql}\n) as g`, values: bindings };
  const rows = await inTime(author, all);
  return rows === null ? null : Number(rows[0]?.['groups']);
}

/** The answer to a query that there need not be one to; null where it takes too long. */
async function inTime(
  { session, env }: AuthorSelect,
  { text, values }: Statement,
): Promise<readonly Record<string, unknown>[] | null> {
  const timeoutMs = Math.min(surveyMs, env.tuning.statementTimeoutMs);
  let found: readonly Record<string, unknown>[] | null = null;
  try {
    const [, , { rows }] = await inOrder([
      session.query('savepoint survey'),
      session.query(setLocal([['statement_timeout', `${timeoutMs}ms`]])),
      session.authorQuery(text, values),
    ]);
    found = rows;
  } catch (error) {
    // What is wrong with `select` has been reported by now, or the chunks will tell.
    if (!session.usable) throw error;
  }
  await session.query('rollback to savepoint survey');
  return found;
}

function surveyOf(
  rows: readonly Record<string, unknown>[],
  { each, foundEach, isWhole }: SurveyQuery,
  isAsked: boolean,
): Survey | null {
  if (rows.length === 0) {
    if (!isWhole) return null;
    return { rows: 0, isCounted: true, keys: [], found: [0], each: 1, isShuffled: false };
  }
  let kept = rows;
  while (JSON.stringify(kept.map(({ key }) => key)).length > mostBytes && kept.length > 1) {
    kept = kept.filter((_, index) => (kept.length - 1 - index) % 2 === 0);
  }
  const { drawn, counted, matching } = rows[0] ?? {};
  const last = Number(rows.at(-1)?.['found']);
  const all = matching == null ? last * foundEach : Number(matching);
  const upTo = ({ found }: Record<string, unknown>, index: number): number =>
    Math.round(last > 0 ? (Number(found) * all) / last : (all * (index + 1)) / kept.length);
  return {
    rows: Math.round(counted == null ? Number(drawn) * each : Number(counted)),
    ...(isWhole ? { isCounted: true } : {}),
    keys: kept.map(({ key }) => key as readonly string[]),
    found: isAsked ? kept.map(upTo) : null,
    each: matching == null ? foundEach : 1,
    isShuffled: Math.abs(Number(rows[0]?.['correlation'] ?? 1)) < mostCorrelated,
  };
}

// Of random keys it is about 0, of those that only grow 1.
const mostCorrelated = 0.3;
