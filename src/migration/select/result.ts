import { fail } from '../../errors.ts';

/** The refusal of what `select` returned instead of a query. */
export function refuseResult(result: unknown, file: string): Error {
  if (result === undefined || result === null) {
    return refuse(file, `returned ${String(result)}; return the knex query`);
  }
  if (typeof (result as { toSQL?: unknown }).toSQL === 'function') {
    return refuse(
      file,
      'did not return a query for rows',
      'tables are changed in a schema migration: export up(db)',
    );
  }
  if (typeof (result as { then?: unknown }).then === 'function') {
    // The rows may still arrive, or fail: nobody is to be told of it.
    void Promise.resolve(result).catch(() => undefined);
    return refuse(
      file,
      'must return the query, not its result: remove await',
      'an async function runs the query that it returns: remove async as well',
    );
  }
  if (Array.isArray(result)) return refuse(file, 'must return the query, not its result: remove await');
  return refuse(file, `returned ${describe(result)}; return the knex query`);
}

function describe(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  return typeof value === 'object' ? 'an object that is not a knex query' : `a ${typeof value}`;
}

function refuse(file: string, message: string, hint?: string): Error {
  return fail('SELECT_REFUSED', { message: `${file}: select ${message}`, hint });
}
