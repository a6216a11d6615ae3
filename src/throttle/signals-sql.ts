import { productName } from '../core/values/application-name.ts';

/** What one statement can be asked to read, each as one column of JSON. `$1`: the oid of the migrated table. */
export type ServerSignal =
  | 'wal'
  | 'waiters'
  | 'replicas'
  | 'slots'
  | 'archive'
  | 'ready'
  | 'vacuums'
  | 'deadTuples'
  | 'sessions'
  | 'oldest'
  | 'connections';

// What the server shows to everybody of a connection of ours that works on chunks: its lanes have numbers.
const isLane = (table: string): string => `${table}.application_name ~ '${productName} .* [0-9]+$'`;
const isOwn = (table: string): string => `${table}.application_name ~ '(^|: )${productName} '`;

const here = `(select oid from pg_database where datname = current_database())`;
const bytesOf = (lsn: string): string => `pg_wal_lsn_diff(${lsn}, '0/0')::float8`;
const setting = (name: string): string => `pg_size_bytes(current_setting('${name}'))::float8`;

// The table and all of its partitions or children.
const tree = `with recursive tree (oid) as (
    select $1::oid union select i.inhrelid from pg_inherits as i join tree on i.inhparent = tree.oid)`;

// The end of a segment as a position; a segment's name is timeline, and twice 32 bits of its number.
const segmentEnd = (name: string): string =>
  `(('x' || substr(${name}, 9, 8))::bit(32)::bigint * 4294967296.0
    + (('x' || substr(${name}, 17, 8))::bit(32)::bigint + 1) * ${setting('wal_segment_size')})`;

// The view joins names to it, which nobody asks for here: planning it takes most of a look's time.
const activity = 'pg_stat_get_activity(null)';

// Whether this role may see what sessions of others do.
const seesOthers = `pg_has_role('pg_read_all_stats', 'usage')`;

/** One expression each; all run with an empty search path. */
export const signalSql: Readonly<Record<ServerSignal, string>> = {
  wal: `select to_json(${bytesOf('pg_current_wal_lsn()')})`,
  // Chunks that wait for each other are no news, and one of a process that is stopped is not over any sooner. A long queue is not asked about as a whole: each answer takes locks.
  waiters: `
    select json_build_object('count', count(*), 'pid', min(waiting.pid))
    from (select l.pid from pg_locks as l join ${activity} as a on a.pid = l.pid
          where not l.granted and not ${isLane('a')} group by l.pid order by min(l.waitstart) limit 20) as waiting
    where exists (select from ${activity} as mine
                  where mine.datid = ${here} and ${isLane('mine')} and mine.pid = any (pg_blocking_pids(waiting.pid))
                    and (mine.xact_start > clock_timestamp() - interval '30 s') is not false)`,
  // What a base backup or a new replica copies is no lag. Whoever may not see it gets a row of nulls.
  replicas: `
    select json_agg(json_build_object('name', application_name, 'hidden', state is null, 'at', ${bytesOf('replay_lsn')},
                                      'lagMs', extract(epoch from replay_lag)::float8 * 1000))
    from pg_stat_replication where state is null or state in ('streaming', 'catchup')`,
  slots: `
    select json_build_object('most', ${setting('max_slot_wal_keep_size')}, 'slots',
             (select json_agg(json_build_object('name', slot_name, 'at', ${bytesOf('restart_lsn')}))
              from pg_replication_slots where restart_lsn is not null and wal_status is distinct from 'lost'))`,
  archive: `
    select json_build_object('on', current_setting('archive_mode') <> 'off',
             'at', case when last_archived_wal ~ '^[0-9A-F]{24}$' then ${segmentEnd('last_archived_wal')} end,
             'failed', failed_count, 'failing', coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false))
    from pg_stat_archiver`,
  // Where nothing tells what was archived last. Listing the folder takes the longer the more there is.
  ready: `
    select to_json(case when last_archived_wal ~ '^[0-9A-F]{24}$' then null else
             (select count(*) * ${setting('wal_segment_size')} from pg_ls_archive_statusdir() where name like '%.ready') end)
    from pg_stat_archiver`,
  vacuums: `${tree}
    select json_build_object('hidden', not ${seesOthers}, 'vacuums', json_agg(json_build_object(
             'pid', v.pid, 'wraparound', coalesce(a.query like '%(to prevent wraparound)', false))))
    from pg_stat_progress_vacuum as v
    join pg_locks as l on l.pid = v.pid and l.locktype = 'relation' and l.mode = 'ShareUpdateExclusiveLock'
    join tree on tree.oid = l.relation
    left join ${activity} as a on a.pid = v.pid
    where v.datid = ${here}`,
  deadTuples: `${tree} select to_json(sum(pg_stat_get_dead_tuples(oid))::float8) from tree`,
  sessions: `
    select json_build_object('hidden', not ${seesOthers}, 'active', count(*))
    from ${activity} as a where a.state = 'active' and a.backend_type = 'client backend' and not ${isOwn('a')}`,
  // Vacuum itself keeps no other vacuum from removing anything.
  oldest: `
    select json_build_object('hidden', not ${seesOthers}, 'name', name, 'ageMs', extract(epoch from clock_timestamp() - since)::float8 * 1000)
    from (select 'pid ' || a.pid as name, a.xact_start as since from ${activity} as a
          where a.datid = ${here} and (a.backend_xmin is not null or a.backend_xid is not null) and not ${isOwn('a')}
            and a.backend_type is distinct from 'autovacuum worker'
          union all select 'prepared ' || gid, prepared from pg_prepared_xacts where database = current_database()
          union all select null, null
          order by since nulls last limit 1) as oldest`,
  // Of the server, where superusers have a few more, and of what this role has left in this database.
  connections: `
    select json_build_object('all',
      current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) - (select sum(pg_stat_get_db_numbackends(oid)) from pg_database),
      'own', least((select nullif(datconnlimit, -1) - pg_stat_get_db_numbackends(oid) from pg_database where oid = ${here}),
      (select nullif(rolconnlimit, -1) - (select count(*) from ${activity} where usesysid = r.oid)
       from pg_roles as r where rolname = session_user)))`,
};
