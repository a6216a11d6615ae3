import { setTimeout as sleep } from 'node:timers/promises';
import type { Tuning } from '../../core/config/settings.ts';
import { messageOf } from '../../errors.ts';
import { type Session, withSession } from '../../postgres/session.ts';
import { inOneTrip, plainSettings } from '../../postgres/transaction.ts';
import { strongLocks } from '../analyze/side-effects.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { socketsBeside } from '../context/foreign-connections.ts';
import { blockersOf } from './lock-watch.ts';

// Who queues behind a lock that is waited for waits as long: half a second is one slow request.
const lockMs = 500;
// A statement that takes longer rewrites or reads a large table, with the disk of production.
const statementMs = 5_000;
// The whole transaction, where nobody waits for it: vacuum cannot remove what is newer.
const wholeMs = 60_000;
// Whoever is seen waiting twice in a row has waited for this at least, and no longer than about twice.
const lookEveryMs = 100;

/** The limits of a transaction that tries schema migrations: shorter than those of a run. */
export function trialTuning(tuning: Tuning): Tuning {
  return {
    ...tuning,
    lockTimeoutMs: Math.min(tuning.lockTimeoutMs, lockMs),
    statementTimeoutMs: Math.min(tuning.statementTimeoutMs, statementMs),
    idleTimeoutMs: Math.min(tuning.idleTimeoutMs, statementMs),
    ceilingMs: Math.min(tuning.ceilingMs, wholeMs),
  };
}

/** A transaction, and what is known of it from outside. */
export interface Watched {
  readonly session: Session;
  /** Why it was abandoned; null: it was not. */
  readonly gaveWay: () => string | null;
  /** For which lock it waited last, and who had it; null: for none. */
  readonly waited: () => string | null;
  /** Locks of whole tables that it holds, of tables that others know. */
  readonly locks: () => Promise<readonly string[]>;
}

/**
 * Does `work` in the transaction that is open on `session`, and ends that as soon as anybody else has to wait for it, or
 * it has lasted too long: nobody waits for a plan. Returns why it was ended, or null. Needs a connection of its own to
 * watch by; throws where that is not to be had.
 */
export async function givingWay(
  session: Session,
  env: RunEnvironment,
  work: (watched: Watched) => Promise<void>,
): Promise<string | null> {
  const { rows } = await session.query('select pg_catalog.pg_backend_pid() as pid');
  const pid = Number(rows[0]?.['pid']);
  return await withSession({ ...env.session, use: { lane: 'watch' } }, async (beside) => {
    const over = new AbortController();
    let reason: string | null = null;
    let waited: string | null = null;
    const watched: Watched = {
      session,
      gaveWay: () => reason,
      waited: () => waited,
      locks: () => inOneTrip(beside, plainSettings, () => strongLocks(beside, pid)),
    };
    const abandon = async (): Promise<void> => {
      const looking = { beside, session, pid, isOwnProcess: env.isOwnProcess };
      const why = await watching(looking, over.signal, (who) => void (waited = who));
      if (why === null) return;
      reason = why;
      await inOneTrip(beside, plainSettings, () =>
        beside.query('select pg_catalog.pg_terminate_backend($1::integer)', [pid]),
      ).catch(() => undefined);
      session.destroy(new Error(why));
    };
    const abandoned = abandon();
    const working = work(watched);
    try {
      await Promise.race([working, abandoned]);
    } catch (error) {
      if (reason === null) throw error;
    } finally {
      working.catch(() => undefined);
      over.abort();
      await abandoned;
    }
    return reason;
  });
}

interface Looking {
  readonly beside: Session;
  readonly session: Session;
  readonly pid: number;
  readonly isOwnProcess: boolean;
}

/** Looks again and again until it says why the transaction must end; null: `signal` came first. */
async function watching(
  looking: Looking,
  signal: AbortSignal,
  waits: (who: string) => void,
): Promise<string | null> {
  const startedAt = performance.now();
  let before: readonly string[] = [];
  while (await sleep(lookEveryMs, true, { signal }).catch(() => false)) {
    try {
      const { beside, pid } = looking;
      const blockers = await inOneTrip(beside, plainSettings, () => blockersOf(beside, pid));
      if (blockers.length > 0) waits(blockers.join('; '));
      const waiting = await waitersFor(looking);
      const again = waiting.find((one) => before.includes(one));
      if (again !== undefined) return again;
      before = waiting;
    } catch (error) {
      return `nobody could see who waits for its locks: ${messageOf(error)}`;
    }
    if (performance.now() - startedAt > wholeMs) return `its ${wholeMs / 1_000} s were over`;
  }
  return null;
}

/** Who waits for a lock of the transaction. Author code of a process of our own that does waits for itself. */
async function waitersFor({ beside, session, pid, isOwnProcess }: Looking): Promise<readonly string[]> {
  const own = isOwnProcess ? socketsBeside(session).map(({ localPort }) => localPort) : [];
  const { rows } = await inOneTrip(beside, plainSettings, () =>
    beside.query(
      `select l.pid, l.mode, n.nspname || '.' || c.relname as name
       from pg_catalog.pg_locks as l
       left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
       left join pg_catalog.pg_class as c on c.oid = l.relation and l.locktype = 'relation'
       left join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
       where not l.granted and $1::integer = any (pg_catalog.pg_blocking_pids(l.pid))
         and (a.client_port is null or a.client_port <> all ($2::integer[]))
       order by l.pid`,
      [pid, own],
    ),
  );
  return rows.map(({ pid: who, mode, name }) => {
    const what = name === null ? 'a row' : `${String(mode)} on ${String(name)}`;
    return `process ${String(who)} of the server waited for ${what}`;
  });
}
