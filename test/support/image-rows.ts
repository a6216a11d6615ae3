import type pg from 'pg';
import { quote } from '../../src/core/values/quote.ts';

/** An image as the ledger keeps it, with the names of its columns. */
export interface Image {
  readonly kind: 'update' | 'delete' | 'insert';
  /** Schema, name and key of another table. */
  readonly relation: readonly string[] | null;
  readonly key: readonly string[];
  readonly names: readonly string[];
  readonly types: readonly string[];
  readonly before: readonly (string | null)[] | null;
  readonly after: readonly (string | null)[] | null;
}

/** All images, the latest first. */
export async function imagesOf(client: pg.Client): Promise<readonly Image[]> {
  const { rows } = await client.query<Image>(
    `select case when i.before is null then 'insert' when i.after is null then 'delete' else 'update' end as kind,
       i.relation, i.key::text[] as key, i.before::text[] as before, i.after::text[] as after,
       array(select coalesce(c ->> 'name', n.name) from unnest(i.columns::text[]) with ordinality as n (name, no)
         left join jsonb_array_elements(r.plan #> '{undo,columns}') as c on i.relation is null and c ->> 'attnum' = n.name order by no) as names,
       array(select coalesce(c ->> 'type', 'text') from unnest(i.columns::text[]) with ordinality as n (name, no)
         left join jsonb_array_elements(r.plan #> '{undo,columns}') as c on i.relation is null and c ->> 'attnum' = n.name order by no) as types
     from umzug_cluster.images as i join umzug_cluster.runs as r on r.id = i.run_id
     order by i.no`,
  );
  return rows;
}

/** Every value of a table by its type's own output, in the order of the rows' texts. */
export async function snapshot(client: pg.Client, table: string): Promise<readonly string[]> {
  const { rows } = await client.query<{ row: string }>(
    `select t::text as row from ${table} as t order by t::text collate "C"`,
  );
  return rows.map(({ row }) => row);
}

/** Goes back over all images by hand, row by row: the plainest way back that there is. */
export async function restore(client: pg.Client, table: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select a.attname as name from pg_index as i cross join unnest(i.indkey::int2[]) with ordinality as k (attnum, no)
     join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
     where i.indrelid = $1::regclass and i.indisprimary order by k.no`,
    [table],
  );
  const isRow = rows.map(({ name }, at) => `${quote(name)}::text = $${at + 1}`).join(' and ');
  for (const { kind, key, names, types, before } of await imagesOf(client)) {
    const values = types.map(
      (type, at) => `$${at + 1 + (kind === 'update' ? key.length : 0)}::text::${type}`,
    );
    const list = names.map(quote).join(', ');
    if (kind === 'delete') {
      await client.query(`insert into ${table} (${list}) values (${values.join(', ')})`, [...(before ?? [])]);
    } else {
      const set = `(${list}) = row (${values.join(', ')})`;
      await client.query(`update ${table} set ${set} where ${isRow}`, [...key, ...(before ?? [])]);
    }
  }
}
