import type { BaseTable } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';

/** Rows of one table that the open transaction has written, as the server counts them. */
export interface TableWrites {
  readonly oid: string;
  /** Of a partition: the tables that it is part of, itself included. */
  readonly ancestors: readonly string[];
  /** `schema.name`. */
  readonly table: string;
  readonly inserted: number;
  readonly updated: number;
  /** Updated without new entries in the table's indexes (HOT). */
  readonly hot: number;
  readonly deleted: number;
}

/** What this connection has written so far, by table; take the difference of two readings. */
export async function readWrites(session: Session): Promise<readonly TableWrites[]> {
  const { rows } = await session.query(
    `select s.relid::pg_catalog.text as oid,
            array(select relid::pg_catalog.oid::pg_catalog.text
                  from pg_catalog.pg_partition_ancestors(s.relid)) as ancestors,
            pg_catalog.concat(s.schemaname, '.', s.relname) as name, s.n_tup_ins as inserted,
            s.n_tup_upd as updated, s.n_tup_hot_upd as hot, s.n_tup_del as deleted
     from pg_catalog.pg_stat_xact_user_tables as s
     where greatest(s.n_tup_ins, s.n_tup_upd, s.n_tup_del) operator(pg_catalog.>) 0
       and s.relname operator(pg_catalog.<>) 'umzug_cluster_guard'::pg_catalog.name
     order by name`,
  );
  return rows.map((row) => ({
    oid: String(row['oid']),
    ancestors: row['ancestors'] as readonly string[],
    table: String(row['name']),
    inserted: Number(row['inserted']),
    updated: Number(row['updated']),
    hot: Number(row['hot']),
    deleted: Number(row['deleted']),
  }));
}

/** What was written between two readings. */
export function writesBetween(
  before: readonly TableWrites[],
  after: readonly TableWrites[],
): readonly TableWrites[] {
  const differences = after.map((now) => {
    const then = before.find(({ oid }) => oid === now.oid);
    return {
      ...now,
      inserted: now.inserted - (then?.inserted ?? 0),
      updated: now.updated - (then?.updated ?? 0),
      hot: now.hot - (then?.hot ?? 0),
      deleted: now.deleted - (then?.deleted ?? 0),
    };
  });
  return differences.filter(({ inserted, updated, deleted }) => inserted + updated + deleted > 0);
}

/** Whether a written table is the base table, or a partition of it. */
export function isPartOf({ oid, ancestors }: TableWrites, base: BaseTable): boolean {
  return oid === base.oid || ancestors.includes(base.oid);
}

/** Locks of whole tables that the open transaction holds and others wait for: `AccessExclusiveLock on public.t`. */
export async function strongLocks(session: Session): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select distinct l.mode || ' on ' || n.nspname || '.' || c.relname as held
     from pg_catalog.pg_locks as l
     join pg_catalog.pg_class as c on c.oid = l.relation and c.relpersistence <> 't' and c.relkind in ('r', 'p')
     join pg_catalog.pg_namespace as n on n.oid = c.relnamespace and n.nspname not like 'pg\\_%'
     where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation'
       and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
     order by 1`,
  );
  return rows.map((row) => String(row['held']));
}

/** Locks of others on the table for which every chunk would wait, or which wait and let nobody pass. */
export async function foreignLocks(session: Session, base: BaseTable): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select l.pid, l.mode, l.granted, extract(epoch from clock_timestamp() - a.xact_start)::float8 as age
     from pg_catalog.pg_locks as l
     left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
     where l.locktype = 'relation' and l.relation = $1::oid and l.pid <> pg_catalog.pg_backend_pid()
       and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
       and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`,
    [base.oid],
  );
  return rows.map((row) => {
    const age = row['age'] === null ? '' : `, ${Math.round(row['age'] as number)} s old`;
    return `pid ${String(row['pid'])} ${row['granted'] === true ? 'holds' : 'waits for'} ${String(row['mode'])}${age}`;
  });
}

/** What a change of these columns brings about besides. */
export interface Consequences {
  /** `note_write (after update, each row)`. */
  readonly triggers: readonly string[];
  /** Foreign keys that are checked: `orders_person_fkey`. */
  readonly foreignKeys: readonly string[];
  /** Indexes that hold a changed column: every changed row gets a new entry in all indexes. */
  readonly indexes: readonly string[];
}

/** Triggers, foreign keys and indexes of the written tables that what was written concerns. */
export async function consequencesOf(
  session: Session,
  base: BaseTable,
  changed: readonly string[],
  writes: readonly TableWrites[],
): Promise<Consequences> {
  const [triggers, foreignKeys, indexes] = [
    await firedTriggers(session, base, changed, writes),
    await checkedKeys(session, base, changed, writes),
    await touchedIndexes(session, base, changed),
  ];
  return { triggers, foreignKeys, indexes };
}

const inserts = 4;
const deletes = 8;
const updates = 16;

async function firedTriggers(
  session: Session,
  base: BaseTable,
  changed: readonly string[],
  writes: readonly TableWrites[],
): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select t.tgrelid::text as oid, c.relname::text as table, t.tgname::text as name, t.tgtype as type,
            array(select a.attname::text from pg_catalog.pg_attribute as a
                  where a.attrelid = t.tgrelid and a.attnum = any (t.tgattr::int2[])) as columns
     from pg_catalog.pg_trigger as t
     join pg_catalog.pg_class as c on c.oid = t.tgrelid
     where t.tgrelid = any ($1::oid[]) and not t.tgisinternal and t.tgenabled in ('O', 'A')
     order by 2, 3`,
    [writes.map(({ oid }) => oid)],
  );
  const found = rows.flatMap((row) => {
    const done = writes.find(({ oid }) => oid === row['oid']);
    const type = Number(row['type']);
    const columns = row['columns'] as readonly string[];
    const isOfBase = done !== undefined && isPartOf(done, base);
    const isOfOthers = isOfBase && columns.length > 0 && !columns.some((one) => changed.includes(one));
    const events = [
      done !== undefined && done.inserted > 0 && (type & inserts) !== 0 ? ['insert'] : [],
      done !== undefined && done.updated > 0 && (type & updates) !== 0 && !isOfOthers ? ['update'] : [],
      done !== undefined && done.deleted > 0 && (type & deletes) !== 0 ? ['delete'] : [],
    ].flat();
    if (events.length === 0) return [];
    const when = (type & 2) === 0 ? 'after' : 'before';
    const each = (type & 1) === 0 ? 'each statement' : 'each row';
    return [
      `${String(row['name'])} on ${isOfBase ? base.name : String(row['table'])} (${when} ${events.join(' or ')}, ${each})`,
    ];
  });
  return [...new Set(found)];
}

async function checkedKeys(
  session: Session,
  base: BaseTable,
  changed: readonly string[],
  writes: readonly TableWrites[],
): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select k.conname::text as name, k.conrelid::text as own, k.confrelid::text as other,
            array(select a.attname::text from pg_catalog.pg_attribute as a
                  where a.attrelid = k.conrelid and a.attnum = any (k.conkey)) as own_columns,
            array(select a.attname::text from pg_catalog.pg_attribute as a
                  where a.attrelid = k.confrelid and a.attnum = any (k.confkey)) as other_columns
     from pg_catalog.pg_constraint as k
     where k.contype = 'f' and (k.conrelid = any ($1::oid[]) or k.confrelid = any ($1::oid[]))
     order by 1`,
    [writes.map(({ oid }) => oid)],
  );
  const parts = new Set([base.oid, ...writes.filter((one) => isPartOf(one, base)).map(({ oid }) => oid)]);
  const isChanged = (oid: unknown, columns: unknown): boolean =>
    parts.has(String(oid)) && (columns as readonly string[]).some((column) => changed.includes(column));
  const found = rows.filter((row) => {
    const own = writes.find(({ oid }) => oid === row['own']);
    const other = writes.find(({ oid }) => oid === row['other']);
    return (
      (own?.inserted ?? 0) > 0 ||
      (other?.deleted ?? 0) > 0 ||
      isChanged(row['own'], row['own_columns']) ||
      isChanged(row['other'], row['other_columns'])
    );
  });
  return [...new Set(found.map((row) => String(row['name'])))];
}

async function touchedIndexes(
  session: Session,
  base: BaseTable,
  changed: readonly string[],
): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select distinct c.relname::text as name
     from pg_catalog.pg_index as i
     join pg_catalog.pg_class as c on c.oid = i.indexrelid
     join pg_catalog.pg_am as m on m.oid = c.relam and m.amname <> 'brin' -- which HOT updates bear
     join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attname = any ($2::text[])
     where i.indrelid = $1::oid
       and (a.attnum = any (i.indkey::int2[])
            or exists (select from pg_catalog.pg_depend as d -- in an expression or a predicate
                       where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = i.indexrelid
                         and d.refobjid = i.indrelid and d.refobjsubid = a.attnum))
     order by 1`,
    [base.oid, changed],
  );
  return rows.map((row) => String(row['name']));
}
