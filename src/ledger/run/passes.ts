import type { Session } from '../../postgres/session.ts';
import type { Key } from './rows.ts';
import type { LedgerNames } from '../schema.ts';

/** Rows that each pass of a run has done so far: the run's own first, then its sweeps. */
export async function rowsByPass(
  session: Session,
  names: LedgerNames,
  runId: string,
): Promise<readonly number[]> {
  const result = await session.query(
    `select coalesce(sum(r.rows), 0)::bigint as rows
     from ${names.runs} as run
     cross join lateral pg_catalog.generate_series(0, run.pass) as way (pass)
     left join ${names.ranges} as r on r.run_id = run.id and r.pass = way.pass
     where run.id = $1::bigint
     group by way.pass order by way.pass`,
    [runId],
  );
  return result.rows.map((row) => row.rows as number);
}

/** Notes that a run goes over its table once more, up to `stopKey`. Call under the run's lock; its ranges follow. */
export async function beginPass(
  session: Session,
  names: LedgerNames,
  runId: string,
  stopKey: Key | null,
): Promise<void> {
  await session.query(
    `update ${names.runs} set pass = pass + 1, stop_key = $2::text[] where id = $1::bigint`,
    [runId, stopKey],
  );
}
