import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { quote } from '../../core/values/quote.ts';
import { type DeadRows, isWorthVacuuming } from '../../core/size/dead-rows.ts';
import { counted } from '../../core/values/numbers.ts';
import { codeOf, messageOf } from '../../errors.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Logger } from '../../logger.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { type Session, withSession } from '../../postgres/session.ts';
import { inOneTrip } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { warnedOf, whyNotMaintained } from './rights.ts';

// The counters of the server are a second old.
const everyMs = 1_000;

// A server that is there has cancelled it by then.
const mostEndMs = 2_000;
const cancelEveryMs = 100;

// The time of a vacuum goes by the table: nobody waits for it, and it is cancelled where it must not continue.
const longestMs = 2 ** 31 - 1;

const cancelled = '57014';

/** Asks something on a connection that is at hand; null where that fails. */
export type Ask = <T>(work: (session: Session) => Promise<T>) => Promise<T | null>;

/**
 * Has the table of a run vacuumed while it runs (`options.vacuum`), whenever enough dead rows have come. On a
 * connection of its own, outside of a transaction, and beside the chunks: its lock lets them pass. It waits for no lock, and
 * ends as soon as somebody waits for its own.
 */
export class TableVacuum {
  readonly #env: RunEnvironment;
  readonly #run: Run;
  readonly #logger: Logger;
  readonly #ask: Ask;
  /** Dead rows that the last one could not remove, since somebody may still see them. */
  #kept = 0;
  #nextLookAt = 0;
  /** It may not, or it cannot: that was said. */
  #isOver = false;
  #mark: string | null = null;
  readonly #abort = new AbortController();
  #vacuuming: Promise<void> = Promise.resolve();

  constructor(env: RunEnvironment, run: Run, logger: Logger, ask: Ask) {
    this.#env = env;
    this.#run = run;
    this.#logger = logger;
    this.#ask = ask;
  }

  /** Begins one where it is worth it, or ends the one that is under way where somebody waits for it. */
  async look(): Promise<void> {
    const now = performance.now();
    if (this.#isOver || now < this.#nextLookAt) return;
    this.#nextLookAt = now + everyMs;
    const { base } = this.#run.plan;
    if (this.#mark !== null) {
      if ((await this.#asked((session) => isWaitedFor(session, base))) === true) await this.#cancel();
      return;
    }
    const found = await this.#asked((session) => deadRows(session, base));
    if (found === null || !isWorthVacuuming(found, this.#kept)) return;
    const why = await this.#asked((session) => whyNotMaintained(session, base));
    if (why !== null) return this.#giveUp(why);
    this.#mark = randomUUID();
    this.#vacuuming = this.#vacuum(this.#mark, found).finally(() => (this.#mark = null));
  }

  /** Ends what is under way: nobody is to wait for a lock of a run that is over. */
  async stop(): Promise<void> {
    this.#isOver = true;
    const until = performance.now() + mostEndMs;
    while (this.#mark !== null) {
      // It may still be on its way to the server.
      await this.#cancel();
      if (performance.now() > until) this.#abort.abort();
      await Promise.race([this.#vacuuming, sleep(cancelEveryMs)]);
    }
  }

  async #vacuum(mark: string, { dead }: DeadRows): Promise<void> {
    const { base } = this.#run.plan;
    const migration = this.#run.name;
    const startedAt = performance.now();
    // Truncating the end of a table takes a lock for which everybody waits.
    const text = `/* ${mark} */ vacuum (skip_locked, truncate false) ${quote(base.schema)}.${quote(base.name)}`;
    const use = { migration, lane: 'vacuum' };
    try {
      const warning = await withSession(
        { ...this.#env.session, answerTimeoutMs: longestMs, use },
        (session) => warnedOf(session, () => session.query(text)),
        this.#abort.signal,
      );
      const left = await this.#asked((session) => deadRows(session, base));
      this.#kept = warning === null ? (left?.dead ?? 0) : dead;
      if (warning !== null) return;
      const durationMs = Math.round(performance.now() - startedAt);
      const message = `${migration}: vacuumed "${base.name}", which had ${counted(dead, 'dead row')}`;
      this.#logger.info({ event: 'run.vacuumed', migration, dead, durationMs }, message);
    } catch (error) {
      this.#kept = dead;
      if (!this.#isOver && codeOf(error) !== cancelled) this.#giveUp(messageOf(error));
    }
  }

  #giveUp(reason: string): void {
    this.#isOver = true;
    const { name: migration, plan } = this.#run;
    const message = `${migration}: "${plan.base.name}" is not vacuumed during the run: ${reason}`;
    this.#logger.warn({ event: 'run.unvacuumed', migration, reason }, message);
  }

  async #cancel(): Promise<void> {
    const mark = this.#mark;
    if (mark === null) return;
    // By its text: through a pooler nobody knows the number of its process.
    await this.#asked((session) =>
      session.query(
        `select pg_catalog.pg_cancel_backend(pid) from pg_catalog.pg_stat_activity
         where pg_catalog.starts_with(query, $1) and state operator(pg_catalog.=) 'active'`,
        [`/* ${mark} */`],
      ),
    );
  }

  #asked<T>(work: (session: Session) => Promise<T>): Promise<T | null> {
    return this.#ask((session) => inOneTrip(session, this.#env.pinned, () => work(session)));
  }
}

const ofTable = `relid operator(pg_catalog.=) $1::pg_catalog.oid or relid operator(pg_catalog.=) any (
  select part.relid::pg_catalog.oid from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) as part)`;

async function deadRows(session: Session, { oid }: BaseTable): Promise<DeadRows> {
  const { rows } = await session.query(
    `select coalesce(pg_catalog.sum(n_dead_tup), 0)::pg_catalog.float8 as dead,
            coalesce(pg_catalog.sum(n_live_tup), 0)::pg_catalog.float8 as live
     from pg_catalog.pg_stat_all_tables where ${ofTable}`,
    [oid],
  );
  return { dead: Number(rows[0]?.['dead']), live: Number(rows[0]?.['live']) };
}

/** Whether somebody waits for a lock of the table. */
async function isWaitedFor(session: Session, { oid }: BaseTable): Promise<boolean> {
  const { rows } = await session.query(
    `select exists (
       select from pg_catalog.pg_locks as l
       where l.locktype operator(pg_catalog.=) 'relation' and not l.granted
         and l.database operator(pg_catalog.=) (select oid from pg_catalog.pg_database
                                                where datname operator(pg_catalog.=) pg_catalog.current_database())
         and exists (select from (select l.relation as relid) as one where ${ofTable})) as is_waited`,
    [oid],
  );
  return rows[0]?.['is_waited'] === true;
}
