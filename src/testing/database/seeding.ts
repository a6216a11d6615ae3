import { quote } from '../../core/values/quote.ts';
import type pgModule from 'pg';
import { fail, messageOf } from '../../errors.ts';
import type { SeedStep } from '../contract/messages.ts';

type Written = Extract<SeedStep, { kind: 'sql' | 'rows' }>;

/** Fills tables with what a step of the seed says. Throws USAGE with the error of Postgres. */
export async function seedWith(client: pgModule.Client, step: Written): Promise<void> {
  try {
    if (step.kind === 'sql') await client.query(step.sql);
    else await insertRows(client, step.table, step.rows);
  } catch (error) {
    const what = step.kind === 'sql' ? 'a statement of the seed' : `the seed of "${step.table}"`;
    throw fail('USAGE', { message: `testMigration: ${what} is refused: ${messageOf(error)}`, cause: error });
  }
}

/** Inserts rows that name their columns; a column that a row does not name gets its default. */
async function insertRows(client: pgModule.Client, table: string, rows: readonly object[]): Promise<void> {
  const written = table.split('.').map(quote).join('.');
  for (const alike of runsOfAlike(rows)) {
    const columns = columnsOf(alike[0] ?? {});
    const list = columns.map(quote).join(', ');
    await client.query(
      columns.length === 0
        ? `insert into ${written} default values`
        : `insert into ${written} (${list}) overriding system value
           select ${list} from jsonb_populate_recordset(null::${written}, $1::jsonb)`,
      columns.length === 0 ? [] : [JSON.stringify(alike, asJson)],
    );
  }
  await moveSequences(client, written);
}

/** Rows that follow each other and name the same columns. */
function runsOfAlike(rows: readonly object[]): readonly (readonly object[])[] {
  const runs: object[][] = [];
  let last: string | null = null;
  for (const row of rows) {
    const columns = columnsOf(row).join('\n');
    if (columns === last && columns !== '') runs.at(-1)?.push(row);
    else runs.push([row]);
    last = columns;
  }
  return runs;
}

function columnsOf(row: object): readonly string[] {
  return Object.entries(row).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}

/** What JSON has no form for, as Postgres reads it: bigint and bytea. A Buffer has put itself into JSON already. */
function asJson(this: Readonly<Record<string, unknown>>, name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  const bytes = this[name];
  return bytes instanceof Uint8Array ? `\\x${Buffer.from(bytes).toString('hex')}` : value;
}

/** The seed gave keys itself; the next row of the migration must not get one of them. */
async function moveSequences(client: pgModule.Client, written: string): Promise<void> {
  const { rows } = await client.query<{ column: string; sequence: string }>(
    `select attname as column, pg_get_serial_sequence($1, attname) as sequence
     from pg_attribute
     where attrelid = $1::regclass and attnum > 0 and not attisdropped
       and pg_get_serial_sequence($1, attname) is not null`,
    [written],
  );
  for (const { column, sequence } of rows) {
    await client.query(
      `select setval($1::regclass, max(${quote(column)})::bigint) from ${written} having max(${quote(column)}) >= 1`,
      [sequence],
    );
  }
}
