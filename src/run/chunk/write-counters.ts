import type { BaseTable } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';
import { fail } from '../../errors.ts';
import type { Keys } from '../../migration/key/list.ts';
import { countKeys } from '../../migration/key/queries.ts';
import { setsKey } from '../../migration/handle/known-update.ts';
import type { Written } from '../../migration/handle/written.ts';

/**
 * Rows of the base table that this connection has written, as the server's own statistics count them: also in a
 * CTE, a function or a trigger, of which the answer to a statement says nothing. They continue from one transaction
 * to the next, so only a difference means something.
 */
export interface WriteCounters {
  readonly inserted: number;
  readonly updated: number;
  /** Of those, without new entries in the table's indexes. */
  readonly hot: number;
  readonly deleted: number;
  /** The server counts them. */
  readonly isCounted: boolean;
  /** A trigger that runs before an update, or a rule, may write other columns than it was told. */
  readonly isRewritten: boolean;
  /** A trigger that runs after an update, or a rule, may change what it wrote. */
  readonly isFollowed: boolean;
  /** An update or a delete fires a trigger of somebody's own, or a rule. */
  readonly hasTriggers: boolean;
}

/** Where nothing is written. */
export const noWrites: WriteCounters = {
  inserted: 0,
  updated: 0,
  hot: 0,
  deleted: 0,
  isCounted: false,
  isRewritten: false,
  isFollowed: false,
  hasTriggers: false,
};

// What fires a trigger, in pg_trigger.tgtype.
const fires = { before: 2, delete: 8, update: 16 };

const counts = ['inserted', 'updated', 'hot_updated', 'deleted'] as const;

/** Of each of the tables that a condition on `c` names. */
const counted = (where: string): string =>
  `select ${counts.map((what) => `pg_catalog.pg_stat_get_xact_tuples_${what}(c.oid) as ${what}`).join(', ')},
     c.relhasrules as rules, array(
       select t.tgtype::pg_catalog.int4 from pg_catalog.pg_trigger as t
       where t.tgrelid operator(pg_catalog.=) c.oid and not t.tgisinternal) as triggers
   from pg_catalog.pg_class as c where ${where}`;

const isCounted = "pg_catalog.current_setting('track_counts') operator(pg_catalog.=) 'on' as counted";

const asText = (triggers: string): string => `pg_catalog.array_to_string(${triggers}, ',') as triggers`;

// Planned and run in half the time of the one below.
const ofTable = `select ${counts.join(', ')}, rules, ${asText('triggers')}, ${isCounted}
  from (${counted('c.oid operator(pg_catalog.=) $1::pg_catalog.oid')}) as one`;

const ofPartitions = `with every as materialized (${counted(`c.oid operator(pg_catalog.=) any (
    select relid::pg_catalog.oid from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass))`)})
  select ${counts.map((what) => `pg_catalog.sum(${what}) as ${what}`).join(', ')}, pg_catalog.bool_or(rules) as rules,
    ${asText('array(select distinct pg_catalog.unnest(triggers) from every)')}, ${isCounted} from every`;

/** Asks for the counters; 0 where `track_counts` is off. */
export async function readWriteCounters(
  session: Session,
  { oid, isPartitioned }: BaseTable,
): Promise<WriteCounters> {
  const { rows } = await session.query(isPartitioned === true ? ofPartitions : ofTable, [oid]);
  const { inserted, updated, hot_updated: hot, deleted, rules, triggers, counted: is } = rows[0] ?? {};
  const types = String(triggers ?? '')
    .split(',')
    .map(Number);
  const onUpdate = types.filter((type) => (type & fires.update) > 0);
  const onDelete = types.some((type) => (type & fires.delete) > 0);
  const hasRules = rules === true;
  return {
    inserted: Number(inserted ?? 0),
    updated: Number(updated ?? 0),
    hot: Number(hot ?? 0),
    deleted: Number(deleted ?? 0),
    isCounted: is === true,
    isRewritten: hasRules || onUpdate.some((type) => (type & fires.before) > 0),
    isFollowed: hasRules || onUpdate.some((type) => (type & fires.before) === 0),
    hasTriggers: hasRules || onUpdate.length > 0 || onDelete,
  };
}

/** Rows of the base table that were updated, and how many of them without new entries in its indexes (HOT). */
export interface Updates {
  readonly updated: number;
  readonly hot: number;
}

/** What was updated between two readings. */
export function updatesSince(before: Updates, now: Updates): Updates {
  return { updated: now.updated - before.updated, hot: now.hot - before.hot };
}

/** Rows of all tables that this connection has written: take the difference of two readings. */
export async function countAllWritten(session: Session): Promise<number> {
  const { rows } = await session.query(
    `select coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_xact_tuples_inserted(oid)), 0) as inserted,
       coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_xact_tuples_updated(oid)), 0) as updated,
       coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_xact_tuples_deleted(oid)), 0) as deleted
     from pg_catalog.pg_class
     where relkind operator(pg_catalog.=) 'r' and relpersistence operator(pg_catalog.<>) 't'`,
  );
  const { inserted, updated, deleted } = rows[0] ?? {};
  return Number(inserted) + Number(updated) + Number(deleted);
}

/** The locked keys of a chunk, and what the server had counted before its `update` ran. */
export interface LockedKeys {
  readonly keys: Keys;
  /** Rows that have them. */
  readonly rows: number;
  /** How statements name the base table for certain; an unqualified name is no other table's where select uses it. */
  readonly names: readonly string[];
  readonly before: WriteCounters;
}

/**
 * How many rows of the keys are still there. It need not look where all statements are known to update the base table
 * alone and no column of its key, and the server has counted as many rows updated as they wrote, and none deleted:
 * then no trigger, function or cascade has written either. `counters`: as they are after `update`. Counting the keys
 * again took a quarter of a row-style run's time on the server (500,000 rows by uuid: 3.0 of 12.4 s); asking for
 * the counters takes 0.2 ms a chunk.
 */
export async function countKept(
  session: Session,
  base: BaseTable,
  { keys, rows, names, before }: LockedKeys,
  { written, counters }: { readonly written: Written; readonly counters: Promise<WriteCounters> },
): Promise<number> {
  if (keys.length === 0) return 0;
  const isLikely =
    written.updated !== null &&
    written.updated >= rows &&
    written.tables.every((table) => names.includes(table)) &&
    !setsKey(written, base);
  if (isLikely) {
    const { updated, deleted, isCounted, isRewritten } = await counters;
    const isAll = updated - before.updated === written.updated && deleted === before.deleted;
    if (isCounted && !isRewritten && isAll) return rows;
  }
  const counting = countKeys(base, keys);
  // Of a group there may be more by now.
  return Math.min(rows, Number((await session.query(counting.text, counting.values)).rows[0]?.['count']));
}

/** Refuses an `update` after which so many of its rows' keys are not there any more. */
export function refuseMovedKeys(
  name: string,
  moved: number,
  { isGrouped }: Pick<BaseTable, 'isGrouped'>,
): void {
  if (moved === 0) return;
  throw fail('MIGRATION_FAILED', {
    message: `${name}: update moved or deleted ${moved} of its rows' keys`,
    hint:
      isGrouped === true
        ? 'leave the columns by which select groups as they are, or set options.allowDelete'
        : 'set options.key to a key that update does not change, or set options.allowDelete',
  });
}
