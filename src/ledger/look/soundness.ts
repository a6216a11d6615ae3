import { type BaseTable, inPlaces } from '../../migration/key/key.ts';
import { isAtMost } from '../../migration/key/sql.ts';
import { LedgerPart } from '../part.ts';
import { type LedgerNames, live } from '../schema.ts';

/** The checks that hold for the whole ledger; each selects the migration's name and a text. */
const checks = (names: LedgerNames): readonly string[] => [
  // As of a backup that is newer than the data, or of another server.
  `select name, format('run %s of %s began with transaction %s, which this database has not reached', id, name, start_xid)
   from ${names.runs}
   where state in (${live})
     and start_xid >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())`,
  `select m.name, format('%s is recorded as executed by run %s, which is %s', m.name, r.id,
                 case when r.name <> m.name then 'of ' || r.name else r.direction || ', ' || r.state end)
   from ${names.migrations} as m join ${names.runs} as r on r.id = m.run_id
   where r.name <> m.name or r.direction <> 'up' or r.state <> 'done'`,
  `select name, format('%s was done by run %s, but is not recorded as executed', name, id)
   from (select distinct on (name) id, name, state from ${names.runs} as r where direction = 'up' and state <> 'reverted'
         order by name, r.id desc) as newest
   where state = 'done' and not exists (select from ${names.migrations} as m where m.name = newest.name)`,
  `select r.name, format('run %s of %s is done, but has %s ranges that are not', r.id, r.name, count(*))
   from ${names.runs} as r join ${names.ranges} as p on p.run_id = r.id
   where r.state = 'done' and p.state <> 'done'
   group by r.id, r.name`,
  `select r.name, format('run %s of %s has %s quarantined ranges, but %s quarantined rows', r.id, r.name, ranges.n, rows.n)
   from ${names.runs} as r
   cross join lateral (select count(*) as n from ${names.ranges}
                       where run_id = r.id and state = 'quarantined') as ranges
   cross join lateral (select count(*) as n from ${names.quarantine} where run_id = r.id) as rows
   where r.state in ('done', ${live}) and ranges.n <> rows.n`,
  `select r.name, format('range %s of run %s of %s counts %s rows in no chunk', p.no, r.id, r.name, p.rows)
   from ${names.runs} as r join ${names.ranges} as p on p.run_id = r.id
   where p.rows > 0 and p.chunks = 0`,
  // A range whose row at the end was quarantined is empty: it begins and ends at the same key.
  `select r.name, format('the ranges of run %s of %s are not contiguous', r.id, r.name)
   from ${names.runs} as r
   cross join lateral pg_catalog.generate_series(0, r.pass) as way (pass)
   cross join lateral (
     select count(*) as n, count(distinct p.hi) as ends, count(*) filter (where p.lo is null) as first,
       count(*) filter (where p.lo is not null and not exists (
         select from ${names.ranges} as b
         where b.run_id = r.id and b.pass = p.pass and b.hi = p.lo and b.lo is distinct from b.hi)) as gaps,
       count(*) filter (where p.hi = r.stop_key) as last
     from ${names.ranges} as p where p.run_id = r.id and p.pass = way.pass and p.lo is distinct from p.hi
   ) as found
   where r.direction = 'up' and r.state in ('done', ${live})
     -- a run knows where its present pass ends; one of an empty table has no range
     and case when way.pass < r.pass and found.n = 0 then false
              when way.pass = r.pass and r.stop_key is null then found.n > 0
              else found.ends <> found.n or found.first <> 1 or found.gaps > 0
                   or way.pass = r.pass and found.last <> 1 end`,
  `select r.name, format('two ranges of run %s of %s begin or end at the same key', r.id, r.name)
   from ${names.runs} as r join ${names.ranges} as p on p.run_id = r.id and p.lo is distinct from p.hi
   where r.direction = 'down' and r.state in ('done', ${live})
   group by r.id, r.name, p.pass
   having count(distinct p.hi) <> count(*) or count(distinct p.lo) + count(*) filter (where p.lo is null) <> count(*)`,
];

/**
 * What must be true of a ledger, whoever wrote it last. The tables' constraints hold for one row each; this is
 * about rows together, which a person with psql or half a restore can break.
 */
export class Soundness extends LedgerPart {
  /** What is inconsistent in the ledger, or in what it says of one migration; empty where it is sound. */
  async contradictions(name: string | null = null): Promise<readonly string[]> {
    const result = await this.session.query(
      `select problem from (${checks(this.names).join('\nunion all\n')}) as found (name, problem)
       where $1::text is null or name = $1`,
      [name],
    );
    return result.rows.map((row) => row.problem as string);
  }

  /** The bounds and cursors of a live run that are out of order by the key's own comparison, in words. */
  async misplacedCursors(
    run: { readonly id: string; readonly name: string },
    base: BaseTable,
  ): Promise<readonly string[]> {
    const inOrder = (one: string, other: string): string =>
      `case p.space when 'keys' then ${isAtMost(`p.${one}`, `p.${other}`, base)}
                    else ${isAtMost(`p.${one}`, `p.${other}`, inPlaces(base))} end`;
    const result = await this.session.query(
      `select p.no from ${this.names.ranges} as p
       where p.run_id = $1::bigint and not (
         (p.lo is null or ${inOrder('lo', 'hi')})
         and (p.cursor is null or ${inOrder('cursor', 'hi')})
         and (p.cursor is null or p.lo is null or ${inOrder('lo', 'cursor')}))
       order by p.no`,
      [run.id],
    );
    return result.rows.map(
      ({ no }) => `the cursor of range ${String(no)} of run ${run.id} of ${run.name} is outside it`,
    );
  }
}
