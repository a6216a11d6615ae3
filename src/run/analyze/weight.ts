import type { Knex } from 'knex';
import { fail, messageOf } from '../../errors.ts';
import type { RunPlan } from '../../ledger/run/rows.ts';
import { fittingChunk } from '../../migration/chunk/queries.ts';
import type { ColumnSize, WeighedBy } from '../../migration/chunk/row-sizes.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import { asKnexQuery } from '../../migration/select/compiled-query.ts';
import type { DataMigration } from '../context/step.ts';
import type { AuthorSelect } from './author-select.ts';
import { explain } from './explain.ts';
import type { Understood } from './preflight.ts';

/** A selected column, in its place. */
interface Named {
  readonly name: string;
}

/** How the rows of a chunk are weighed by `options.weigh`; null: they are not. Refuses what cannot be a weight. */
export async function weightOf(
  author: AuthorSelect,
  { shape, base, keyAs }: Understood,
  columns: readonly Named[],
): Promise<Required<RunPlan>['weight'] | null> {
  const { migration, step, session, env } = author;
  const { weigh } = migration.options;
  // The way back has a select of its own.
  if (weigh === undefined || step !== migration) return null;
  const kind = typeof weigh === 'string' ? placeOf(migration, weigh, columns) : 'query';
  if (kind === 'query' && keyAs !== undefined) {
    throw refused(
      migration,
      'select is taken as it stands, so that no query for each of its rows can be added',
      `select the weight as a column, and name it: weigh: 'lines'`,
    );
  }
  const guard = guardDatabase(session, env.knexConfig);
  const by = weighedBy(migration, kind, guard.builder);
  guard.close();
  if (by === null) return null;
  const range = { after: null, upTo: base.key.map(() => null) as never, limit: 1 };
  const sizes = columns.map((): ColumnSize => 'fixed');
  const bound = { sizes, maxBytes: 1, weight: { by, most: 1 } };
  await explain(author, fittingChunk(shape, base, range, bound), 'weight');
  return kind;
}

/** What weighs the rows of a chunk; null: each of them weighs the same. */
export function weighedBy(migration: DataMigration, kind: RunPlan['weight'], db: Knex): WeighedBy | null {
  const { weigh } = migration.options;
  if (kind === undefined || kind !== 'query') return kind ?? null;
  return typeof weigh === 'function' ? queryOf(migration, weigh, db) : null;
}

function queryOf(
  migration: DataMigration,
  weigh: Extract<DataMigration['options']['weigh'], Function>,
  db: Knex,
): WeighedBy {
  let given: unknown;
  try {
    given = asKnexQuery(weigh(db, migration.context), db);
  } catch (error) {
    throw refused(migration, `it threw: ${messageOf(error)}`, `see ${migration.path}`, error);
  }
  if (typeof (given as Partial<Knex.Raw> | null | undefined)?.toSQL === 'function') return given as Knex.Raw;
  // Where it was async, its query may fail: nobody is to be told of it.
  if (given instanceof Promise) void given.catch(() => undefined);
  throw refused(
    migration,
    'it must return a query for one row, or db.raw(…), and not await it',
    `weigh: (db) => db('order_lines').count().whereColumn('order_lines.order_id', 'orders.id')`,
  );
}

function placeOf(migration: DataMigration, name: string, columns: readonly Named[]): number {
  const places = columns.flatMap((column, index) => (column.name === name ? [index] : []));
  const [place] = places;
  if (place !== undefined && places.length === 1) return place;
  const returned =
    places.length === 0
      ? `select returns no column "${name}"`
      : `select returns ${places.length} columns "${name}"`;
  throw refused(migration, returned, `its columns: ${columns.map((column) => column.name).join(', ')}`);
}

function refused({ name }: DataMigration, why: string, hint: string, cause?: unknown): Error {
  return fail('SELECT_REFUSED', {
    message: `${name}: options.weigh cannot be used: ${why}`,
    detail: 'nothing was changed',
    hint,
    cause,
  });
}
