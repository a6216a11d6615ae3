import { type UmzugClusterError, fail } from '../errors.ts';
import type { Statement } from '../migration/key-sql.ts';
import { codeOf } from '../migration/mistake-behind.ts';
import type { PlanNode } from '../migration/select-plan.ts';
import type { ResultColumn } from '../migration/whole-base.ts';
import { ledgerTypes } from '../postgres/parsers.ts';
import type { AuthorSelect } from './author-select.ts';

/** What was asked of Postgres: the author's own statement, one of a chunk, or to run one of a chunk. */
type Asked = 'select' | 'chunk' | 'trial';

/** The plan of a statement of the author; refuses it where Postgres does. */
export async function explain(
  author: AuthorSelect,
  { text, values }: Statement,
  asked: Asked = 'select',
): Promise<PlanNode> {
  const explained = `explain (verbose, format json) ${text}`;
  const { rows } = await ask(author, asked, () =>
    author.session.authorQuery(explained, values, { types: ledgerTypes }),
  );
  const [row] = rows as [{ readonly 'QUERY PLAN': [{ readonly Plan: PlanNode }] }];
  return row['QUERY PLAN'][0].Plan;
}

/** The columns of a select that is taken as it stands; reads no row. */
export async function describe(
  author: AuthorSelect,
  { text, values }: Statement,
): Promise<readonly ResultColumn[]> {
  const none = `select s.* from (${text}) as s limit 0`;
  return (await ask(author, 'select', () => author.session.authorQuery(none, values))).fields;
}

async function ask<T>(author: AuthorSelect, asked: Asked, query: () => Promise<T>): Promise<T> {
  const { session } = author;
  const [, answer] = await Promise.allSettled([session.query('savepoint asked'), query()]);
  if (answer.status === 'fulfilled') return answer.value;
  const error: unknown = answer.reason;
  const refusal = refusalOf(author, error, asked);
  if (refusal === null) throw error;
  if (codeOf(error) !== '42P01') throw refusal;
  await session.query('rollback to savepoint asked');
  const { rows } = await session.query(`select pg_catalog.current_setting('search_path') as path`);
  const { code, message, hint } = refusal;
  throw fail(code, { message, detail: `search_path is ${String(rows[0]?.['path'])}`, hint });
}

/** The refusal for what Postgres says of a select, or null where it is not the select's fault. */
export function refusalOf(
  { migration }: AuthorSelect,
  error: unknown,
  asked: Asked,
): UmzugClusterError | null {
  const code = codeOf(error);
  if (!(error instanceof Error) || code === undefined) return null;
  const refused = asked === 'trial' ? /^(42|0A|25006)/ : /^(42|0A|25006|22)/;
  if (!refused.test(code)) return null;
  const detail = `SQLSTATE ${code}`;
  if (code === '25006') {
    const hint = 'write in update(db, rows)';
    const message = `${migration.path}: select must not write: ${error.message}`;
    return fail('SELECT_REFUSED', { message, detail, hint });
  }
  if (asked === 'chunk') {
    return fail('SELECT_REFUSED', {
      message: `${migration.path}: select cannot be cut into chunks: ${error.message}`,
      detail,
      hint: 'each raw fragment must be complete by itself: the tool adds conditions and columns',
    });
  }
  return fail(code === '42501' ? 'PERMISSION' : 'SELECT_REFUSED', {
    message: `${migration.name}: select is refused by Postgres: ${error.message}`,
    detail,
    hint: `see ${migration.path}`,
  });
}
