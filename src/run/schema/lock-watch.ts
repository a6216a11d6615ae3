import { isUsedFor } from '../../core/values/application-name.ts';
import type { Session } from '../../postgres/session.ts';
import { inOneTrip, plainSettings } from '../../postgres/transaction.ts';
import { joinPrepared, toTransaction } from '../../ledger/look/old-transactions.ts';
import { describeOld } from '../lifecycle/register.ts';

/** How others are asked and told of what a statement waits for. */
export interface LockWatch {
  /** Runs `work` on another connection; null where that is not to be had. */
  readonly ask: <T>(work: (session: Session) => Promise<T>) => Promise<T | null>;
  /** Called once with each transaction that is waited for. */
  readonly blocked: (reason: string) => void;
}

// Within the time that a lock is waited for, and soon enough for whoever looks at the terminal.
const lookEveryMs = 1_000;

/** Does `work` on a session and says in the meantime for which lock it waits, and who has it. */
export async function watchingLocks<T>(
  session: Session,
  { ask, blocked }: LockWatch,
  work: () => Promise<T>,
): Promise<T> {
  const { rows } = await session.query('select pg_catalog.pg_backend_pid() as pid');
  const pid = Number(rows[0]?.['pid']);
  const look = async (): Promise<void> => {
    for (const reason of (await ask((other) =>
      inOneTrip(other, plainSettings, () => blockersOf(other, pid)),
    )) ?? [])
      blocked(reason);
  };
  const timer = setInterval(() => void look(), lookEveryMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** For which lock a schema migration waits at this moment, on any host, and who has it; null: for none, or it does not run. */
export async function waitOfSchema(session: Session, migration: string): Promise<string | null> {
  const { rows } = await session.query(
    `select pid, application_name as name from pg_catalog.pg_stat_activity
     where datname = pg_catalog.current_database() and wait_event_type = 'Lock'`,
  );
  const waiting = rows.find(({ name }) => isUsedFor(String(name), { migration, lane: 'schema' }));
  if (waiting === undefined) return null;
  return (await blockersOf(session, Number(waiting['pid']))).join('; ') || null;
}

/** `AccessExclusiveLock on public.t, behind transaction of pid 99, 8 s old`: for what a backend waits, and for whom. */
export async function blockersOf(session: Session, pid: number): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select nullif(blocker.pid, 0) as pid, prepared.gid, prepared.owner, -- 0: a prepared transaction
            extract(epoch from clock_timestamp() - coalesce(activity.xact_start, prepared.prepared))::float8 as age,
            (select wanted.mode || ' on ' || n.nspname || '.' || c.relname
             from pg_catalog.pg_locks as wanted
             join pg_catalog.pg_class as c on c.oid = wanted.relation
             join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
             where wanted.pid = $1::integer and not wanted.granted limit 1) as lock
     from unnest(pg_catalog.pg_blocking_pids($1::integer)) as blocker(pid)
     left join pg_catalog.pg_stat_activity as activity on activity.pid = blocker.pid
     ${joinPrepared('$1::integer', 'blocker.pid')}`,
    [pid],
  );
  return rows.map((row) => {
    const holder = describeOld(toTransaction(row));
    // CREATE INDEX CONCURRENTLY waits for no lock of a table, but for older transactions to end.
    return row['lock'] === null ? holder : `${String(row['lock'])}, behind ${holder}`;
  });
}
