import { selectGrant } from '../../core/errors/missing-grant.ts';
import { type PlanNode, readPlan } from '../../core/plan/query-plan.ts';
import { type UmzugClusterError, fail, codeOf } from '../../errors.ts';
import type { Statement } from '../../migration/key/sql.ts';
import { ledgerTypes } from '../../postgres/parsers.ts';
import type { Result } from '../../postgres/session.ts';
import type { AuthorSelect } from './author-select.ts';

/** What is asked of Postgres: the author's own statement, one of a chunk, to run one, to compare keys, to weigh rows. */
export type Asked = 'select' | 'chunk' | 'trial' | 'key' | 'weight';

/** The plan of a statement, with the names of its output columns; refuses it where Postgres does. Runs nothing. */
export async function explain(
  author: Pick<AuthorSelect, 'session' | 'migration'>,
  { text, values }: Statement,
  asked: Asked,
): Promise<PlanNode> {
  const explained = `explain (verbose, format json) ${text}`;
  const { rows } = await ask(author, asked, () =>
    author.session.authorQuery(explained, values, { types: ledgerTypes }),
  );
  const root = readPlan(rows[0]?.['QUERY PLAN']);
  if (root === null) throw new Error('EXPLAIN gave no plan');
  return root;
}

/** The columns of a select that is in parentheses; reads no row. */
export async function resultColumns(
  author: AuthorSelect,
  { text, values }: Statement,
): Promise<Required<Result>['fields']> {
  // On a line of its own: the text may end in a comment.
  const none = `select s.* from (${text}\n) as s limit 0`;
  const { fields = [] } = await ask(author, 'select', () => author.session.authorQuery(none, values));
  return fields;
}

async function ask<T>(
  { session, migration }: Pick<AuthorSelect, 'session' | 'migration'>,
  asked: Asked,
  query: () => Promise<T>,
): Promise<T> {
  const [, answer] = await Promise.allSettled([session.query('savepoint asked'), query()]);
  if (answer.status === 'fulfilled') return answer.value;
  const error: unknown = answer.reason;
  const refusal = refusalOf(migration, error, asked);
  if (refusal === null) throw error;
  const sqlstate = codeOf(error);
  if (sqlstate !== '42P01' && sqlstate !== '42501') throw refusal;
  await session.query('rollback to savepoint asked');
  const { rows } = await session.query(
    `select pg_catalog.current_setting('search_path') as path, pg_catalog.quote_ident(current_user) as role`,
  );
  const { code, message } = refusal;
  const { path, role } = rows[0] ?? {};
  if (sqlstate === '42501') throw fail(code, { message, hint: selectGrant(message, String(role)) });
  throw fail(code, { message, detail: `search_path is ${String(path)}`, hint: refusal.hint });
}

/** The refusal for what Postgres says of a select, or null where it is not the select's fault. */
export function refusalOf(
  { name, path }: AuthorSelect['migration'],
  error: unknown,
  asked: Asked,
): UmzugClusterError | null {
  const code = codeOf(error);
  if (!(error instanceof Error) || code === undefined) return null;
  // XX000: Postgres 18.4 cannot estimate a comparison of "char" (cache lookup failed for collation 0).
  const refused = {
    select: /^(42|0A|22|25006)/,
    chunk: /^(42|0A|22)/,
    trial: /^(42|0A|25006)/,
    key: /^(42|0A|22|XX)/,
    weight: /^(42|0A|22|25006)/,
  };
  if (!refused[asked].test(code)) return null;
  const detail = `SQLSTATE ${code}`;
  if (code === '25006') {
    const hint = 'write in update(db, rows)';
    return fail('SELECT_REFUSED', {
      message: `${path}: select must not write: ${error.message}`,
      detail,
      hint,
    });
  }
  if (asked === 'chunk') {
    return fail('SELECT_REFUSED', {
      message: `${path}: select cannot be split into chunks: ${error.message}`,
      detail,
      hint: 'each raw fragment must be complete in itself: umzug-cluster adds conditions and columns',
    });
  }
  const what = { key: 'the comparison of its keys', weight: 'options.weigh' }[asked as string] ?? 'select';
  return fail(code === '42501' ? 'PERMISSION' : 'SELECT_REFUSED', {
    message: `${name}: ${what} is refused by Postgres: ${error.message}`,
    detail,
    hint: `see ${path}`,
  });
}
