import { lagReason } from '../../core/size/replica-lag.ts';
import type { Tuning } from '../../core/config/settings.ts';
import { fail } from '../../errors.ts';
import type { Session } from '../../postgres/session.ts';
import { inOneTrip } from '../../postgres/transaction.ts';

// Often enough that the lag grows by a few chunks at most in between.
const everyMs = 500;

/** Looks whether replicas keep up, where that is asked for; one for all lanes of a process. */
export class Replicas {
  readonly #maxLagBytes: number | null;
  readonly #pinned: string;
  #reason: string | null = null;
  #nextLookAt = 0;

  constructor({ maxLagBytes }: Pick<Tuning, 'maxLagBytes'>, pinned: string) {
    this.#maxLagBytes = maxLagBytes;
    this.#pinned = pinned;
  }

  /** Whether they are looked at at all. */
  get areWatched(): boolean {
    return this.#maxLagBytes !== null;
  }

  /** Why no chunk is to begin, as of the last look; null: one may. */
  get reason(): string | null {
    return this.#reason;
  }

  /** The same; looks again where the last look was a while ago. Throws PERMISSION where the role may not see it. */
  async look(session: Session): Promise<string | null> {
    const max = this.#maxLagBytes;
    const now = performance.now();
    if (max === null || now < this.#nextLookAt) return this.#reason;
    this.#nextLookAt = now + everyMs;
    const { rows } = await inOneTrip(session, this.#pinned, () => session.query(replicasSql));
    if (rows.some((row) => row['is_hidden'] === true)) throw hidden(String(rows[0]?.['role']));
    const replicas = rows.map((row) => ({
      name: String(row['name']),
      behindBytes: row['behind'] === null ? null : Number(row['behind']),
    }));
    this.#reason = lagReason(replicas, max);
    return this.#reason;
  }
}

// What a base backup or a new replica copies is no lag. Whoever may not see it gets a row of nulls.
const replicasSql = `
  select application_name as name, state is null as is_hidden, current_user::text as role,
         pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::float8 as behind
  from pg_catalog.pg_stat_replication
  where state is null or state in ('streaming', 'catchup')`;

function hidden(role: string): Error {
  return fail('PERMISSION', {
    message: 'maxLagBytes is set, but the role may not see replication lag',
    hint: `grant pg_read_all_stats to ${JSON.stringify(role)}`,
  });
}
