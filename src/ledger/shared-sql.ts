/** What the advisory lock is named after by which changes of a run's state pass its chunks. */
export const gateName = (schema: string, runId: string): string => `umzug-cluster run ${schema} ${runId}`;

/** An SQL condition: a range may be claimed in this `up`, or when its next try has come; see `Parts`. */
export const isUnparked = "next_try < 'infinity'";

/**
 * The statement that makes the open ranges of a run claimable at once; `id` is its id, in SQL. One that is locked has a
 * chunk of an older epoch in flight, which may take long, and gives its range back when it finds out.
 */
export const releaseRanges = (ranges: string, id: string): string => `with idle as materialized (
     select no from ${ranges} where run_id = ${id} and state = 'open' for update skip locked
   )
   update ${ranges} as r set next_try = '-infinity', worker = null, open_claims = 0
   from idle where r.run_id = ${id} and r.no = idle.no`;
