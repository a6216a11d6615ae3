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
       and s.relname operator(pg_catalog.<>) all ('{umzug_cluster_guard,umzug_cluster_images}'::pg_catalog.name[])
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
export function isPartOf({ oid, ancestors }: TableWrites, base: Pick<BaseTable, 'oid'>): boolean {
  return oid === base.oid || ancestors.includes(base.oid);
}

/**
 * Locks of whole tables that the open transaction holds and others wait for: `AccessExclusiveLock on public.t`; or that
 * process `pid` of the server holds, of tables that others know.
 */
export async function strongLocks(session: Session, pid: number | null = null): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select distinct l.mode || ' on ' || n.nspname || '.' || c.relname as held
     from pg_catalog.pg_locks as l
     join pg_catalog.pg_class as c on c.oid = l.relation and c.relpersistence <> 't' and c.relkind in ('r', 'p')
     join pg_catalog.pg_namespace as n on n.oid = c.relnamespace and n.nspname not like 'pg\\_%'
     where l.pid = coalesce($1::integer, pg_catalog.pg_backend_pid()) and l.locktype = 'relation'
       and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
     order by 1`,
    [pid],
  );
  return rows.map((row) => String(row['held']));
}

/** Locks of others on the table for which every chunk would wait, or which wait and block whoever comes after. */
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
  /** Triggers that fire, and foreign keys that are checked. */
  readonly triggers: readonly string[];
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
  const fired = await firedTriggers(session, base, changed, writes);
  const names = (isKey: boolean): readonly string[] =>
    fired.filter((row) => row['is_key'] === isKey).map((row) => String(row['name']));
  const indexes = await touchedIndexes(session, base, changed);
  return { triggers: names(false), foreignKeys: names(true), indexes };
}

/** Foreign keys are triggers too; which columns of other tables than the base were changed is not known. */
async function firedTriggers(
  session: Session,
  base: BaseTable,
  changed: readonly string[],
  writes: readonly TableWrites[],
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { rows } = await session.query(
    `select distinct coalesce(k.conname, t.tgname)::text as name, k.oid is not null as is_key
     from unnest($1::oid[], $2::bool[], $3::int4[], $4::int4[]) as w (oid, is_base, events, updates)
     join pg_catalog.pg_trigger as t on t.tgrelid = w.oid and t.tgenabled in ('O', 'A')
     left join pg_catalog.pg_constraint as k on k.oid = t.tgconstraint and k.contype = 'f'
     cross join lateral (select case when k.oid is null then t.tgattr::int2[]
                                     when k.conrelid = w.oid then k.conkey else k.confkey end as nos) as c
     where (k.oid is not null or not t.tgisinternal)
       and (t.tgtype & w.events <> 0 or t.tgtype & w.updates <> 0 and case
         when not w.is_base or c.nos = '{}' then k.oid is null
         else exists (select from pg_catalog.pg_attribute as a
                      where a.attrelid = w.oid and a.attnum = any (c.nos) and a.attname = any ($5::text[])) end)
     order by 1`,
    [
      writes.map(({ oid }) => oid),
      writes.map((one) => isPartOf(one, base)),
      // As in pg_trigger.tgtype.
      writes.map(({ inserted, deleted }) => (inserted > 0 ? 4 : 0) + (deleted > 0 ? 8 : 0)),
      writes.map(({ updated }) => (updated > 0 ? 16 : 0)),
      changed,
    ],
  );
  return rows;
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
