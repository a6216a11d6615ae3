import { types } from 'node:util';
import type { Knex } from 'knex';
import { fail } from '../../errors.ts';

const withKnex = "write it with knex: db('people').where(…), or db.raw('select …', [values])";

/** Queries of other libraries, by a method that no other has; of several that fit, the first. */
const otherQueries = [
  ['toKnexQuery', 'a query of an Objection model', 'return its knex query: Model.query(db).toKnexQuery()'],
  ['getKnexQuery', 'a query of MikroORM', withKnex],
  ['toOperationNode', 'a query of Kysely', 'return what it compiles to: query.compile()'],
  [
    'getQueryAndParameters',
    'a query of TypeORM',
    'const [sql, params] = query.getQueryAndParameters(); return { sql, params }',
  ],
  ['getSQL', 'a query of Drizzle', 'return what it compiles to: query.toSQL()'],
] as const;

/** The refusal of what `select` returned instead of a query. Nothing in it is called: to await it might run it. */
export function refuseResult(result: unknown, file: string): Error {
  if (result === undefined || result === null) {
    return refuse(file, `returned ${String(result)}; return the knex query`);
  }
  const other = otherQueries.find(([method]) => hasMethod(result, method));
  if (other !== undefined) return refuse(file, `returned ${other[1]}, not of knex`, other[2]);
  if (Object.prototype.toString.call(result) === '[object PrismaPromise]') {
    return refuse(file, 'returned a query of Prisma, not of knex', withKnex);
  }
  if (hasMethod(result, 'toSQL')) {
    return refuse(
      file,
      'did not return a query for rows',
      'tables are changed in a schema migration: export up(db)',
    );
  }
  if (hasMethod(result, 'then')) {
    // The rows may still arrive, or fail: nobody is to be told of it.
    if (types.isPromise(result)) void result.catch(() => undefined);
    return refuse(
      file,
      'must return the query, not its result: remove await',
      `an async function runs the query that it returns: remove async as well; what a model finds, as with Sequelize, are rows: ${withKnex}`,
    );
  }
  if (Array.isArray(result)) return refuse(file, 'must return the query, not its result: remove await');
  return refuse(file, `returned ${describe(result)}; return the knex query`);
}

/** Refuses a query that another knex than `db` made, as of a model without `query(db)`: a write of it would run there. */
export function refuseOtherKnex(result: unknown, db: Knex, file: string): void {
  const client = (result as { readonly client?: unknown } | null | undefined)?.client;
  if (client === undefined || client === db.client) return;
  throw refuse(
    file,
    'returned a query of another knex instance',
    'make it of the db that select is given; of a model: Model.query(db).toKnexQuery()',
  );
}

function hasMethod(value: unknown, name: string): boolean {
  return typeof (value as Readonly<Record<string, unknown>>)[name] === 'function';
}

function describe(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  return typeof value === 'object' ? 'an object that is not a knex query' : `a ${typeof value}`;
}

function refuse(file: string, message: string, hint?: string): Error {
  return fail('SELECT_REFUSED', { message: `${file}: select ${message}`, hint });
}
