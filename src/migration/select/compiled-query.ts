import type { Knex } from 'knex';
import type { CompiledQuery } from '../contract/contract.ts';
import { fail } from '../../errors.ts';
import { fromDollars } from '../sql/marks.ts';

/** What `select` or `verify` returned: a compiled query of another library as one of knex, anything else as it is. */
export function asKnexQuery(result: unknown, db: Knex): unknown {
  if (!isCompiled(result)) return result;
  const values = 'params' in result ? result.params : result.parameters;
  const marked = fromDollars(result.sql, values);
  if (marked === null) {
    throw fail('SELECT_REFUSED', {
      message: 'the compiled query has a backslash before a question mark, which knex cannot pass on',
      hint: 'give the text that it is in as a value: $1',
    });
  }
  return db.raw(marked.sql, marked.bindings as Knex.RawBinding[]);
}

function isCompiled(result: unknown): result is CompiledQuery {
  if (typeof result !== 'object' || result === null) return false;
  const { sql, params, parameters } = result as Readonly<Record<string, unknown>>;
  return typeof sql === 'string' && Array.isArray(params ?? parameters);
}
