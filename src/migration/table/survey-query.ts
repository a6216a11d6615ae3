import { mostBlocks } from '../../core/size/survey.ts';
import { quote } from '../../core/values/quote.ts';
import type { Knex } from 'knex';
import { keyIn, restrict } from '../chunk/queries.ts';
import { type BaseTable, namedAs } from '../key/key.ts';
import { type Statement, asText, isPlaced, oneOfQuery, orderBy, tableName } from '../key/sql.ts';
import { escapeMarksInNames } from '../sql/marks.ts';
import { type SelectShape, groupWhere } from '../select/shape.ts';

// Rows of them that are put in order: more take longer, and tell where the others lie no better than the blocks do.
const mostSampled = 8_000;

// Keys that are kept of them.
const mostKeys = 1_000;

// Where the planner has no count.
const usualRowsPerBlock = 50;

// Each row may be looked up in the tables of a join: any select but a plain one is asked for about so many.
const mostLookedUp = 1_000;

/** A survey as a statement, and for how many rows of the table one stands that it draws, or finds. */
export interface SurveyQuery extends Statement {
  readonly each: number;
  readonly foundEach: number;
  /** All blocks are drawn. */
  readonly isWhole: boolean;
}

/**
 * Draws blocks of the table, puts their rows in the order of the key, and says which of them `shape` finds: rows of
 * `key text[]`, `found` up to it, the number `drawn` in all, and its `correlation` with the order in which the rows are
 * stored. Where all blocks are drawn and only a part of their rows is put in order, all are counted: `counted`, and by a
 * plain select `matching`. `shape` null: asks for no more than the keys. Runs under the author's search path.
 */
export function surveyQuery(base: BaseTable, shape: SelectShape | null): SurveyQuery {
  const percent = Math.min(100, (mostBlocks * 100) / Math.max(base.blocks, 1));
  const rows = base.estimatedRows < 0 ? base.blocks * usualRowsPerBlock : base.estimatedRows;
  const every = Math.max(1, (rows * percent) / 100 / mostSampled);
  const lookedUp =
    shape === null || shape.plain
      ? 1
      : Math.max(1, Math.round((rows * percent) / 100 / every / mostLookedUp));
  const from = `${tableName(base)} as "t" tablesample system (${percent}) repeatable (1)`;
  const names = base.key.map((_, index) => `k${index}`);
  const placed = base.key.map((column, index) => namedAs(column, `k${index}`));
  const columns = base.key.map((column, index) => `${orderBy('t', [column])} as k${index}`);
  const found = shape === null ? null : foundQuery(base, shape, { percent, every, lookedUp });
  const each = (every * 100) / percent;
  const isWhole = percent === 100;
  const all = !isWhole || every === 1 ? 'null' : `(select pg_catalog.count(*) from ${tableName(base)})`;
  const matching =
    !isWhole || every === 1 || shape?.plain !== true
      ? 'null'
      : `(select pg_catalog.count(*) from (${foundQuery(base, shape, { percent, every: 1, lookedUp }).text}) as m)`;
  return {
    each,
    isWhole,
    foundEach: each * lookedUp,
    text: `with ${drawn} as materialized (
        select ${columns.join(', ')}, pg_catalog.row_number() over () as n from ${from} where ${partOfRows('t', every)} and ${isPlaced('t', base)}
      ), counted as (
        select ${names.join(', ')}, n, pg_catalog.count(n) over placed as place, pg_catalog.count(*) over placed as met
        from (select ${names.join(', ')}, n from ${drawn}${found === null ? '' : ` union all ${found.text}`}) as marked
        window placed as (order by ${names.join(', ')}, n nulls first rows unbounded preceding)
      ), kept as (
        select ${names.join(', ')}, place, met operator(pg_catalog.-) place as found, pg_catalog.count(*) over () as drawn,
               pg_catalog.corr(place, n) over () as correlation
        from counted where n is not null
      )
      select ${asText('kept', placed)} as key, found, drawn, correlation, ${all} as counted, ${matching} as matching from kept
      where (place operator(pg_catalog.*) ${mostKeys}::pg_catalog.int8) operator(pg_catalog.%) drawn
            operator(pg_catalog.<) ${mostKeys}::pg_catalog.int8
      order by place`,
    values: found?.values ?? [],
  };
}

/** One of `every` rows, the same ones each time, wherever in its block it lies. */
function partOfRows(alias: string, every: number): string {
  if (every === 1) return 'true';
  const most = Math.round(2 ** 32 / every - 2 ** 31);
  return `pg_catalog.hashtid(${quote(alias)}.ctid) operator(pg_catalog.<) ${most}::pg_catalog.int8`;
}

// No name of the author's: it hides a table of the same name from the select.
const drawn = '"__umzug_drawn"';

/** The keys of what a select finds among the rows of the drawn blocks. */
function foundQuery(
  base: BaseTable,
  shape: SelectShape,
  {
    percent,
    every,
    lookedUp,
  }: { readonly percent: number; readonly every: number; readonly lookedUp: number },
): Statement {
  const { alias, name } = shape.table;
  const query = groupWhere(shape.builder).clearSelect();
  const { client } = query as unknown as { readonly client: Pick<Knex, 'raw'> };
  const key = keyIn(shape, base);
  const select = (): Statement => {
    query.select(client.raw(escapeMarksInNames(`${orderBy(alias, key)}, null::pg_catalog.int8`)));
    const { sql, bindings } = query.toSQL().toNative();
    return { text: sql, values: bindings };
  };
  if (shape.plain) {
    const as = alias === name ? '' : ` as ${quote(alias)}`;
    const source = `${tableName(base)}${as} tablesample system (${percent}) repeatable (1)`;
    query.from(client.raw(escapeMarksInNames(source)) as never);
    restrict(query, { text: partOfRows(alias, every), values: [] });
    return select();
  }
  const [before, behind] = oneOfQuery(alias, key);
  const given = key.map((column, index) => `k${index}::${column.type}`);
  const asked = `select ${given.join(', ')} from ${drawn} where n operator(pg_catalog.%) ${lookedUp} operator(pg_catalog.=) 0`;
  restrict(query, { text: `${before}${asked}${behind}`, values: [] });
  return select();
}
