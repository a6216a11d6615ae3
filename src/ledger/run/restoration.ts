import { quote } from '../../core/values/quote.ts';
import { fail } from '../../errors.ts';
import type { BaseTable, Key } from '../../migration/key/key.ts';
import { asText, chosen, equalToChosen, orderBy, tableName } from '../../migration/key/sql.ts';
import { type StoredColumn, outputText, valueText } from '../../migration/key/stored-columns.ts';
import { authorSearchPath, emptySearchPath, inOrder } from '../../postgres/transaction.ts';
import { LedgerPart } from '../part.ts';

/** A column whose values are kept, as it is now; `cast`: its type, qualified and quoted. */
export type RestoredColumn = StoredColumn & { readonly cast: string };

/** What images are about in a table other than the run's. */
export interface OtherContents {
  /** As images name it: schema, name, and the columns of its key. */
  readonly relation: readonly string[];
  readonly names: readonly string[];
}

/** A table other than the run's whose rows helpers have written. */
export interface OtherTable extends OtherContents {
  /** With the key by which its rows are found. */
  readonly table: BaseTable;
  /** Those of which there are values. */
  readonly columns: readonly RestoredColumn[];
}

/** What a rollback goes over that restores stored values, as its plan keeps it. */
export interface WayBack {
  /** The run that has stored them. */
  readonly runId: string;
  /** Their table. */
  readonly images: { readonly schema: string; readonly name: string };
  /** Rows that were changed since are restored, too. */
  readonly overwrite: boolean;
  /** A row may have several images. */
  readonly isMerged: boolean;
  /** The table whose rows were changed. */
  readonly table: BaseTable;
  /** Its columns that were changed, by the numbers that they had then. */
  readonly columns: readonly RestoredColumn[];
  readonly others: readonly OtherTable[];
  /** So many rows were quarantined when they were tried again. */
  readonly tried?: number;
}

/** Images `(after, upTo]`, by their numbers. */
export interface ImageRange {
  readonly after: string | null;
  readonly upTo: string;
}

/** A column, and where its values are in the lists of an image. */
type Placed = RestoredColumn & { readonly at: number };

/** Images of one kind that changed the same columns. */
interface Group {
  readonly kind: 'update' | 'delete' | 'insert';
  readonly table: BaseTable;
  readonly columns: readonly Placed[];
  /** A condition on the images, `i`; its placeholders are for `values`, from $4 on. */
  readonly where: string;
  readonly values: readonly unknown[];
}

/** What one chunk has come to. */
export interface Restored {
  /** Rows that it was about. */
  readonly rows: number;
  /** Rows that it wrote. */
  readonly written: number;
}

/** Restores rows from their images, in the transaction of a chunk. */
export class Restoration extends LedgerPart {
  /** Of the images of one range; `runId`: of the rollback, in whose list what is left alone is written down. */
  async restore(
    back: WayBack,
    { runId, after, upTo }: ImageRange & { readonly runId: string },
    searchPath: readonly string[] | null,
  ): Promise<Restored> {
    const source = sourceOf(back);
    const values = [after, upTo, back.runId];
    const [, found] = await inOrder([
      this.session.query(asStored),
      this.session.query(groupsOf(source), values),
      this.session.query(lockRows(source, back.table), values),
    ]);
    const groups = found.rows.map((row) => groupOf(back, row));
    const at: At = { runId, source, values, overwrite: back.overwrite, path: underAuthor(searchPath) };
    let written = 0;
    for (const group of groups.toSorted((one, other) => turns[one.kind] - turns[other.kind])) {
      written +=
        group.kind === 'delete' ? await this.#insert(group, at) : (await this.#put(group, at)).length;
    }
    const rows = found.rows.reduce((sum, row) => sum + Number(row['rows']), 0);
    return { rows, written };
  }

  /** Makes the images of one row easy to find, where a row may have several. */
  async indexKeys({ schema, name }: WayBack['images']): Promise<void> {
    const index = quote(`${name}_key`);
    await this.session.query(
      `create index if not exists ${index} on ${quote(schema)}.${quote(name)} using hash (key)`,
    );
  }

  /** What the images of a run are about; `isRepeated`: some row has several of them. */
  async contents({ schema, name }: WayBack['images']): Promise<{
    readonly attnums: readonly number[];
    readonly others: readonly OtherContents[];
    readonly isRepeated: boolean;
  }> {
    const images = `${quote(schema)}.${quote(name)}`;
    const [{ rows }, repeated] = await inOrder([
      this.session.query(
        `select relation, pg_catalog.array_agg(distinct c.name) as names
         from (select distinct relation, columns from ${images}) as i
         cross join lateral pg_catalog.unnest(i.columns::pg_catalog.text[]) as c (name)
         group by relation`,
      ),
      this.session.query(
        `select from ${images} group by relation, key having pg_catalog.count(*) operator(pg_catalog.>) 1 limit 1`,
      ),
    ]);
    return {
      attnums: rows.flatMap(({ relation, names }) =>
        relation === null ? (names as string[]).map(Number) : [],
      ),
      others: rows.flatMap(({ relation, names }) =>
        relation === null ? [] : [{ relation, names } as OtherContents],
      ),
      isRepeated: repeated.rows.length > 0,
    };
  }

  /** The key of the row that an image is about; before it the name of its table, where that is another one. */
  async keyOf(back: WayBack, no: string): Promise<Key | null> {
    const { rows } = await this.session.query(
      `select case when relation is null then key::pg_catalog.text[]
                   else ${nameOf('e')} operator(pg_catalog.||) key::pg_catalog.text[] end as key
       from ${imagesTable(back)} as e
       where run_id operator(pg_catalog.=) $1::pg_catalog.int8 and no operator(pg_catalog.=) $2::pg_catalog.int8`,
      [back.runId, no],
    );
    return (rows[0]?.['key'] as Key | undefined) ?? null;
  }

  /** Updates rows that are as they were left, or deletes those that were inserted; the numbers of their images. */
  async #put(group: Group, at: At): Promise<readonly string[]> {
    const { kind, columns, values } = group;
    const [, { rows }] = await inOrder([
      this.session.query(asStored),
      this.session.query(matched(this.names.conflicts, group, at), [
        ...at.values,
        ...values,
        at.runId,
        columns.map(({ name }) => name),
      ]),
    ]);
    const nos = (rows[0]?.['nos'] ?? []) as readonly string[];
    if (nos.length === 0) return [];
    const text = kind === 'insert' ? deleted(group, at.source) : updated(group, at.source);
    const [, done] = await inOrder([
      this.session.query(at.path),
      this.session.query(text, [...at.values, nos]),
    ]);
    const written = done.rows.map(({ no }) => String(no));
    // It returned nothing: no error, and no row.
    if (written.length < nos.length) throw new Error('a trigger has kept the row as it is');
    return written;
  }

  /** Inserts rows that were deleted; those whose keys are there again get the old values only where that is asked for. */
  async #insert(group: Group, at: At): Promise<number> {
    const key = new Set(group.table.key.map(({ name }) => name));
    const others = group.columns.filter(({ name }) => !key.has(name));
    const overwritten =
      at.overwrite && others.length > 0 ? await this.#put({ ...group, columns: others }, at) : [];
    const [, , { rows }] = await inOrder([
      this.session.query(asStored),
      this.session.query(at.path),
      this.session.query(insertedAgain(this.names.conflicts, group, at.source), [
        ...at.values,
        ...group.values,
        at.runId,
        overwritten,
      ]),
    ]);
    return Number(rows[0]?.['rows']) + overwritten.length;
  }
}

interface At {
  readonly runId: string;
  readonly source: string;
  readonly values: readonly unknown[];
  readonly overwrite: boolean;
  readonly path: string;
}

const imagesTable = ({ images }: WayBack): string => `${quote(images.schema)}.${quote(images.name)}`;

// Rows come back before what refers to them; what was inserted goes when nothing does any more.
const turns = { delete: 0, update: 1, insert: 2 } as const;

/** Values are compared as they were stored: as text, under these settings. */
const asStored = `${emptySearchPath}, pg_catalog.set_config('timezone', 'UTC', true),
  -- a chunk is small, whatever the planner makes of images that nobody has analyzed
  pg_catalog.set_config('enable_hashjoin', 'off', true), pg_catalog.set_config('enable_mergejoin', 'off', true)`;

/** Triggers fire under the settings of the application, as they always do. */
const underAuthor = (path: readonly string[] | null): string =>
  `${authorSearchPath(path)}; set local timezone to default`;

/** What became of the row of an image. */
const kindOf = (alias: string): string =>
  `case when ${alias}.before is null then 'insert' when ${alias}.after is null then 'delete' else 'update' end`;

/** The name of its table, where that is another one than the run's. */
const nameOf = (alias: string): string => `pg_catalog.array_to_string((${alias}.relation)[1:2], '.')`;

/**
 * The images of a range; of a row that has several, one, by the latest: its first old values, and its last new ones. None of
 * a row that was inserted and deleted again. Not pulled up into other queries, which would read each list for each column.
 */
function sourceOf(back: WayBack): string {
  const images = imagesTable(back);
  const range = `e.run_id operator(pg_catalog.=) $3::pg_catalog.int8 and ($1::pg_catalog.int8 is null or e.no operator(pg_catalog.>) $1::pg_catalog.int8)
     and e.no operator(pg_catalog.<=) $2::pg_catalog.int8`;
  const list = (column: string): string => `${column}::pg_catalog.text[]`;
  const found = (values: string, where: string): string =>
    `select e.no, ${kindOf(values)} as kind, e.relation, ${list('e.key')} as key, ${values}.columns,
       ${list(`${values}.before`)} as before, ${list(`${values}.after`)} as after
     from ${images} as e ${where} offset 0`;
  if (!back.isMerged) return found('e', `where ${range}`);
  // The table is the run's alone. Its number would be one more index for a planner without statistics to choose.
  const same = (alias: string): string => `${alias}.key operator(pg_catalog.=) e.key
    and (${alias}.relation operator(pg_catalog.=) e.relation or ${alias}.relation is null and e.relation is null)`;
  // Numbers count down: the smallest is the latest.
  const wasThere = `(select o.before is not null from ${images} as o where ${same('o')} order by o.no desc limit 1)`;
  const all = (value: string): string => `pg_catalog.array_agg(c.${value} order by c.name)::pg_catalog.text`;
  const merged = `select ${all('name')} as columns, case when ${wasThere} then ${all('before')} end as before,
      case when e.after is not null then ${all('after')} end as after
    from (
      select u.name,
        (pg_catalog.array_agg(u.before order by o.no desc) filter (where o.before is not null))[1] as before,
        (pg_catalog.array_agg(u.after order by o.no) filter (where o.after is not null))[1] as after
      from ${images} as o cross join lateral rows from (pg_catalog.unnest(${list('o.columns')}),
        pg_catalog.unnest(${list('o.before')}), pg_catalog.unnest(${list('o.after')})) as u (name, before, after)
      where ${same('o')}
      group by u.name
    ) as c`;
  const isLatest = `not exists (select from ${images} as l where ${same('l')} and l.no operator(pg_catalog.<) e.no)`;
  return found(
    'm',
    `cross join lateral (${merged}) as m
     where ${range} and ${isLatest} and (m.before is not null or m.after is not null)`,
  );
}

const groupsOf = (source: string): string =>
  `select i.kind, i.relation, i.columns, i.columns::pg_catalog.text[] as names, pg_catalog.count(*) as rows from (${source}) as i
   group by i.kind, i.relation, i.columns`;

function groupOf(back: WayBack, row: Readonly<Record<string, unknown>>): Group {
  const kind = row['kind'] as Group['kind'];
  const relation = row['relation'] as readonly string[] | null;
  const names = row['names'] as readonly string[];
  const other = back.others.find((one) => JSON.stringify(one.relation) === JSON.stringify(relation));
  if (relation !== null && other === undefined) throw unknownImage();
  const { table, columns } = other ?? back;
  const isNamed = (column: RestoredColumn, name: string): boolean =>
    relation === null ? column.attnum === Number(name) : column.name === name;
  return {
    kind,
    table,
    columns: names.map((name, at) =>
      placed(
        columns.find((column) => isNamed(column, name)),
        at,
      ),
    ),
    where: `i.kind operator(pg_catalog.=) '${kind}' and i.columns operator(pg_catalog.=) $4::pg_catalog.text
      and (i.relation operator(pg_catalog.=) $5::pg_catalog.text[] or i.relation is null and $5::pg_catalog.text[] is null)`,
    values: [row['columns'], relation],
  };
}

function placed(column: RestoredColumn | undefined, at: number): Placed {
  if (column === undefined) throw unknownImage();
  return { ...column, at: at + 1 };
}

/** Its plan was made when no image could be added any more. */
function unknownImage(): Error {
  return fail('LEDGER_DAMAGED', {
    message: 'a stored row has columns that its run did not have',
    hint: 'the table of images was changed by hand: restore it from a backup',
  });
}

/** The key of an image as columns of `chosen`. */
function keyColumns({ key }: BaseTable): string {
  return key.map(({ type }, index) => `(i.key)[${index + 1}]::${type} as k${index}`).join(', ');
}

/** Locks the rows of a range in the order of their keys, as every chunk does. */
function lockRows(source: string, table: BaseTable): string {
  return `select pg_catalog.count(*) from (
    select from (select ${keyColumns(table)} from (${source}) as i
                 where i.kind operator(pg_catalog.=) 'update' and i.relation is null) as ${chosen}
    join ${tableName(table)} as t on ${equalToChosen('t', table.key)}
    order by ${orderBy('t', table.key)}
    for no key update of t) as locked`;
}

/**
 * Finds the rows of a group that are as they were left, and lists those that are not: one row with the numbers of the
 * images to be applied. A row that has its old values has nothing to be restored.
 */
function matched(
  conflicts: string,
  { kind, table, columns, where, values }: Group,
  { source, overwrite }: At,
): string {
  const next = 4 + values.length;
  // Read by its type and written again: the same value may have been stored in the words of another time zone.
  const list = (of: 'before' | 'after'): string =>
    textList(columns.map((column) => outputText(valueOf(column, `i.${of}`), column)));
  const now = textList(columns.map((column) => valueText('t', column)));
  const isSame = kind === 'insert' ? 'false' : 'f.now operator(pg_catalog.=) f.before';
  const isLeft = overwrite ? 'true' : 'f.now operator(pg_catalog.=) f.after';
  const listed = `$${next}::pg_catalog.int8, f.no, ${nameOf('f')}, f.key`;
  // Of a row that was inserted, or deleted, nothing is amiss if it is not there.
  const gone =
    kind !== 'update'
      ? ''
      : `union all select ${listed}, '{}', 'gone' from own as f
         where not exists (select from found as r where r.no operator(pg_catalog.=) f.no)`;
  return `with own as materialized (
      select i.no, i.relation, i.key, ${list('before')} as before, ${list('after')} as after, ${keyColumns(table)}
      from (${source}) as i where ${where}
    ), found as materialized (
      select ${chosen}.*, ${now} as now
      from own as ${chosen} join ${tableName(table)} as t on ${equalToChosen('t', table.key)}
      order by ${orderBy('t', table.key)}
      for ${kind === 'insert' ? '' : 'no key '}update of t -- what is found is what will be written
    ), listed as (
      insert into ${conflicts} (run_id, no, relation, key, columns, reason)
      select ${listed}, array(
               select c.name
               from rows from (pg_catalog.unnest($${next + 1}::pg_catalog.text[]), pg_catalog.unnest(f.now),
                 pg_catalog.unnest(f.after)) as c (name, now, after)
               where not coalesce(c.now collate pg_catalog."C" operator(pg_catalog.=) c.after, c.now is null and c.after is null)
             ), 'changed'
      from found as f where not (${isLeft} or ${isSame})
      ${gone}
    )
    select pg_catalog.array_agg(f.no::pg_catalog.text) as nos from found as f where ${isLeft} and not (${isSame})`;
}

// Compared byte by byte.
const textList = (texts: readonly string[]): string =>
  `(array[${texts.join(', ')}]::pg_catalog.text[] collate pg_catalog."C")`;

/** What the images say, for those whose numbers are in the last placeholder. */
const imagesOf = (source: string, table: BaseTable): string =>
  `(select i.no, i.before, ${keyColumns(table)} from (${source}) as i
    where i.no operator(pg_catalog.=) any ($4::pg_catalog.int8[]) order by i.no) as ${chosen}`;

const valueOf = ({ at, cast }: Placed, values: string): string => `(${values})[${at}]::${cast}`;

function updated({ table, columns }: Group, source: string): string {
  const set = columns.map((column) => `${quote(column.name)} = ${valueOf(column, `${chosen}.before`)}`);
  return `update ${tableName(table)} as t set ${set.join(', ')}
    from ${imagesOf(source, table)} where ${equalToChosen('t', table.key)} returning ${chosen}.no`;
}

function deleted({ table }: Group, source: string): string {
  return `delete from ${tableName(table)} as t using ${imagesOf(source, table)}
    where ${equalToChosen('t', table.key)} returning ${chosen}.no`;
}

/** Inserts the rows of a group, but for those in the last placeholder, and lists those whose keys are there again. */
function insertedAgain(conflicts: string, { table, columns, where, values }: Group, source: string): string {
  const next = 4 + values.length;
  const images = `(${source}) as i where ${where} and i.no operator(pg_catalog.<>) all ($${next + 1}::pg_catalog.int8[])`;
  const names = columns.map(({ name }) => quote(name)).join(', ');
  return `with inserted as (
      insert into ${quote(table.schema)}.${quote(table.name)} as t (${names}) overriding system value
      select ${columns.map((column) => valueOf(column, 'i.before')).join(', ')} from ${images} order by i.no
      on conflict do nothing
      returning ${asText('t', table.key)} as key
    ), listed as (
      insert into ${conflicts} (run_id, no, relation, key, columns, reason)
      select $${next}::pg_catalog.int8, i.no, ${nameOf('i')}, i.key, '{}', 'exists' from ${images}
        and not exists (select from inserted as n where n.key operator(pg_catalog.=) i.key)
    )
    select pg_catalog.count(*) as rows from inserted`;
}
