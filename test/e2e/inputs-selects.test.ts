import { type BadInput, itAnswers } from '../support/bad-input.ts';
import { file, select, tables, update } from '../support/bad-files.ts';

/** A `select` of one expression. */
const query = (
  what: string,
  expression: string,
  says: BadInput['says'],
  more: Partial<BadInput> = {},
): BadInput => file(`select ${what}`, `export const select = (db) => ${expression};\n${update}`, says, more);
itAnswers(
  [
    file(
      'that is awaited',
      `export const select = async (db) => await db('t').select('id');\n${update}`,
      /select must return the query, not its result: remove await/,
    ),
    query('that returns undefined', 'undefined', /select returned undefined; return the knex query/),
    query('that throws', `{ throw new Error('no luck'); }`, /0007_x.*no luck/),
    query('of an unknown table', `db('nope').select('id')`, [/"nope" does not exist/, /search_path|schema/]),
    query('of an unknown schema', `db('nope.t').select('id')`, /nope/),
    query('of an unknown column', `db('t').select('id', 'nope')`, /"?nope"? does not exist/),
    query('with a table in capitals', `db('T').select('id')`, /"T" does not exist/),
    query('with a condition on an unknown column', `db('t').select('id').where('nope', 1)`, /nope/),
    query('with a type that does not fit', `db('t').select('id').whereRaw('id = ?', ['x'])`, /integer/),
    query('with broken SQL', `db('t').select('id').whereRaw('id = = 1')`, /syntax error/),
    query(
      'with LIMIT',
      `db('t').select('id').limit(5)`,
      /must not use limit: umzug-cluster does the chunking/,
    ),
    query('with OFFSET', `db('t').select('id').offset(5)`, /must not use offset/),
    query('with GROUP BY without an index', `db('t').select('n').groupBy('n')`, [
      /groups "t" by \("n"\), and no index begins with that/,
      /create index concurrently on "public"\."t" \("n"\)/,
    ]),
    query(
      'with DISTINCT in a join',
      `db('t').join('u', 'u.t_id', 't.id').distinct('t.id')`,
      /must not use distinct/,
    ),
    query('with UNION', `db('t').select('id').union(db('u').select('id'))`, /must not use union/),
    query('with an aggregate', `db('t').max('id')`, /must not use an aggregate/),
    query('with FOR UPDATE', `db('t').select('id').forUpdate()`, /must not lock/),
    query('that inserts', `db('t').insert({ id: 1 })`, /it is a query to insert/),
    query('that deletes', `db('t').delete()`, /it is a query to delete/),
    query(
      'that writes in a CTE',
      `db('t').with('x', db.raw('delete from u returning id')).select('id').whereIn('id', db('x').select('id'))`,
      /select|read-only|25006|with/i,
    ),
    query(
      'that calls a function that writes',
      `db('t').select('id').whereRaw('noisy(id) > 0')`,
      /read-only|writes/i,
    ),
    query('with an ambiguous key', `db('t').join('u', 't.id', 'u.t_id').select('id')`, /ambiguous/),
    query('of a view', `db('v').select('id')`, /it is a view/),
    query('of a materialized view', `db('m').select('id')`, /it is a materialized view/),
    query('of a sequence', `db('s').select('last_value')`, /it is a sequence/),
    query('of a system catalog', `db('pg_catalog.pg_class').select('oid')`, /system catalog/),
    query(
      'of a partitioned table without a key',
      `db('keyless').select('id')`,
      /"keyless" is partitioned and has no key[^]*for each partition/,
    ),
    file(
      'with a key that may be null',
      `export const select = (db) => db('nullable').select('id'); ${update} export const options = { key: ['id'] };`,
      /needs a NOT NULL unique key[^]*leave out options.key/,
    ),
    file(
      'with a key of a column that is not there',
      `${select} ${update} export const options = { key: ['nope'] };`,
      /nope/,
    ),
    file(
      'with a key that is not unique',
      `${select} ${update} export const options = { key: ['n'] };`,
      /unique/,
    ),
  ],
  tables,
);
