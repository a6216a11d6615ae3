import type { Survey } from '../core/survey.ts';
import type { BaseTable } from '../migration/key.ts';
import type { SelectShape } from '../migration/select-shape.ts';
import { surveyQuery } from '../migration/survey-query.ts';
import { inOrder, setLocal } from '../postgres/transaction.ts';
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
  return (await drawn(author, base, shape)) ?? (await drawn(author, base, null)) ?? undefined;
}

async function drawn(
  { session, env }: AuthorSelect,
  base: BaseTable,
  shape: SelectShape | null,
): Promise<Survey | null> {
  const { text, values, each, foundEach } = surveyQuery(base, shape);
  const timeoutMs = Math.min(surveyMs, env.tuning.statementTimeoutMs);
  let survey: Survey | null = null;
  try {
    const [, , { rows }] = await inOrder([
      session.query('savepoint survey'),
      session.query(setLocal([['statement_timeout', `${timeoutMs}ms`]])),
      session.authorQuery(text, values),
    ]);
    survey = surveyOf(rows, each, shape === null ? null : foundEach);
  } catch (error) {
    // What is wrong with `select` has been said by now, or the chunks will tell.
    if (!session.usable) throw error;
  }
  await session.query('rollback to savepoint survey');
  return survey;
}

function surveyOf(
  rows: readonly Record<string, unknown>[],
  each: number,
  foundEach: number | null,
): Survey | null {
  if (rows.length === 0) {
    return each === 1 ? { rows: 0, keys: [], found: [0], each, isShuffled: false } : null;
  }
  let kept = rows;
  while (JSON.stringify(kept.map(({ key }) => key)).length > mostBytes && kept.length > 1) {
    kept = kept.filter((_, index) => (kept.length - 1 - index) % 2 === 0);
  }
  return {
    rows: Math.round(Number(rows[0]?.['drawn']) * each),
    keys: kept.map(({ key }) => key as readonly string[]),
    found: foundEach === null ? null : kept.map(({ found }) => Math.round(Number(found) * foundEach)),
    each: foundEach ?? each,
    isShuffled: Math.abs(Number(rows[0]?.['correlation'] ?? 1)) < mostCorrelated,
  };
}

// Of random keys it is about 0, of those that only grow 1.
const mostCorrelated = 0.3;
