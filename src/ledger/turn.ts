import { setTimeout as sleep } from 'node:timers/promises';
import { pg } from '../postgres/pg.ts';
import type { Session } from '../postgres/session.ts';

/** How a turn is waited for. */
export interface TurnOptions {
  /** Called with the host that is waited for, once it takes a while, and with null when the wait is over. */
  readonly waiting: (reason: string | null) => void;
  /** Aborts the wait; it then rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** A statement to run once the turn has come. */
  readonly begin?: string;
}

const pollMs = 50;

// A turn of the usual length is not worth a word.
const sayAfterMs = 1_000;

/**
 * Waits until no other host registers a run or runs a schema migration; holds the turn until the transaction
 * ends. Polls instead of waiting for the lock, so that no lock timeout cuts a long wait off, and so that it
 * can say who is waited for.
 */
export async function takeTurn(session: Session, schema: string, on: TurnOptions): Promise<void> {
  const name = `umzug-cluster ledger ${schema}`;
  const startedAt = performance.now();
  let isSaid = false;
  for (;;) {
    // Without values it is one message: of several, a network that goes dead may let the first ones pass.
    const tried = await session.query(
      `select pg_catalog.pg_try_advisory_xact_lock(
         pg_catalog.hashtextextended(${pg.escapeLiteral(name)}, 0)) as mine`,
    );
    if (tried.rows[0]?.mine === true) break;
    if (!isSaid && performance.now() - startedAt > sayAfterMs) {
      const holder = await turnHolder(session, name);
      isSaid = holder !== null;
      if (holder !== null) on.waiting(holder);
    }
    await sleep(pollMs, undefined, { signal: on.signal }).catch(() => on.signal.throwIfAborted());
  }
  if (on.begin !== undefined) await session.query(on.begin);
  if (isSaid) on.waiting(null);
}

async function turnHolder(session: Session, name: string): Promise<string | null> {
  const result = await session.query(
    `select holder.pid, coalesce(pg_catalog.host(activity.client_addr), 'a local socket') as host,
            extract(epoch from clock_timestamp() - activity.xact_start)::float8 as age
     from pg_catalog.pg_locks as holder
     left join pg_catalog.pg_stat_activity as activity on activity.pid = holder.pid
     cross join pg_catalog.hashtextextended($1, 0) as key
     where holder.locktype = 'advisory' and holder.granted and holder.objsubid = 1
       and (holder.classid::bigint << 32) | holder.objid::bigint = key
       and holder.database = (select oid from pg_catalog.pg_database
                              where datname = pg_catalog.current_database())`,
    [name],
  );
  const row = result.rows[0];
  if (row === undefined) return null;
  const age = row.age === null ? '' : `, ${Math.round(row.age as number)} s old`;
  return `another host's turn: transaction of pid ${String(row.pid)} from ${String(row.host)}${age}`;
}
