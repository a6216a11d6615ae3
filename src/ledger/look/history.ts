import { thisProcess } from '../../config/this-process.ts';
import { LedgerPart } from '../part.ts';
import type { Direction } from '../run/rows.ts';

/**
 * What can become of a migration. `joined`: by a process that works on a run which others work on as well.
 * `undelivered`: somebody who was to be told of it could not be.
 */
export type HistoryEvent =
  | 'started'
  | 'resumed'
  | 'joined'
  | 'stopped'
  | 'finished'
  | 'failed'
  | 'quarantined'
  | 'retried'
  | 'paused'
  | 'cancelled'
  | 'changed'
  | 'reverted'
  | 'baselined'
  | 'unbaselined'
  | 'repaired'
  | 'pruned'
  | 'forgotten'
  | 'undelivered';

/** What an event is about; a run is one. */
export interface HistorySubject {
  /** The migration's; null: the event is about the ledger as a whole. */
  readonly name: string | null;
  /** The run's; null where it has none. */
  readonly id?: string | null;
  readonly direction?: Direction | null;
  readonly fileSha256?: string | null;
}

/** One event of the history. What is not known of whoever caused it is null: with psql it has no host. */
export interface HistoryEntry {
  readonly id: string;
  readonly at: string;
  readonly migration: string | null;
  readonly runId: string | null;
  readonly direction: Direction | null;
  readonly event: HistoryEvent;
  /** Which attempt of its run it belongs to, from 1; null: it has no run. */
  readonly attempt: number | null;
  readonly host: string | null;
  readonly pid: number | null;
  readonly osUser: string | null;
  readonly dbUser: string;
  /** Of umzug-cluster. */
  readonly version: string | null;
  readonly fileSha256: string | null;
  readonly gitCommit: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** `anna on host-a`, `anna, on the page of host-a`, or `role "dba" with SQL`: who caused an event. */
export function whoCaused({ host, osUser, dbUser, detail: { user } }: HistoryEntry): string {
  if (host === null) return `role "${dbUser}" with SQL`;
  if (typeof user === 'string') return `${user}, on the page of ${host}`;
  return osUser === null ? host : `${osUser} on ${host}`;
}

/** What is known of an event besides: `chunkSize=1000, pace=off`; `row 7: division by zero`; without the code of an error. */
export function detailOf({ attempt, detail, event }: HistoryEntry): string {
  const {
    args,
    settings,
    key,
    error,
    code: _code,
    sqlstate: _sqlstate,
    attempts: _attempts,
    ...rest
  } = detail;
  const isAttempt = event === 'started' || event === 'resumed' || event === 'joined';
  return [
    ...(isAttempt && attempt !== null && attempt > 1 ? [`attempt ${attempt}`] : []),
    ...pairs(args),
    ...pairs(settings),
    ...(Array.isArray(key) ? [`row ${key.join(', ')}`] : []),
    ...(typeof error === 'string' ? [error.split('\n')[0] ?? ''] : []),
    ...pairs(rest),
  ].join(', ');
}

function pairs(values: unknown): readonly string[] {
  return Object.entries(values ?? {}).map(
    ([key, value]) => `${key}=${value === null ? 'off' : String(value)}`,
  );
}

/**
 * What became of each migration, and by whom. Events are written by the transaction that makes them true, and are never
 * changed.
 */
export class History extends LedgerPart {
  /** Adds an event. Texts in `detail` are those of the product or errors without row values. */
  async record(
    event: HistoryEvent,
    { name, id, direction, fileSha256 }: HistorySubject,
    detail: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    const by = thisProcess();
    const told = { event, migration: name, runId: id ?? null, direction: direction ?? null, detail };
    this.session.onCommit.push(() => this.tell(told));
    const storable = (_key: string, value: unknown): unknown =>
      typeof value === 'string' ? this.session.storable(value.replaceAll('\0', '')) : value;
    await this.session.query(
      `insert into ${this.names.history}
         (event, migration, run_id, direction, file_sha256, detail, host, pid, os_user, version, git_commit)
       values ($1, $2, $3::bigint, $4, $5, $6::jsonb, $7, $8::integer, $9, $10, $11)`,
      [
        event,
        name,
        id ?? null,
        direction ?? null,
        fileSha256 ?? null,
        JSON.stringify(detail, storable),
        this.session.storable(by.host),
        by.pid,
        by.osUser === null ? null : this.session.storable(by.osUser),
        by.version,
        by.gitCommit,
      ],
    );
  }

  /** Of each of these runs the event by which somebody has paused or cancelled it last, if anybody has. */
  async holds(runIds: readonly string[]): Promise<readonly HistoryEntry[]> {
    if (runIds.length === 0) return [];
    return await this.#read(
      `id in (select max(id) from ${this.names.history}
              where run_id = any ($1::bigint[]) and event in ('paused', 'cancelled') group by run_id)
       order by h.id`,
      [runIds],
    );
  }

  /** Events, the latest first. Without a migration: of all. */
  async list(migration: string | null, limit: number | null): Promise<readonly HistoryEntry[]> {
    const which = '$1::text is null or migration = $1';
    return await this.#read(`${which} order by h.id desc limit $2::bigint`, [migration, limit]);
  }

  /** A ledger of the version before has no events. */
  async #read(which: string, values: readonly unknown[]): Promise<readonly HistoryEntry[]> {
    if (this.names.version < historySince) return [];
    const { rows } = await this.session.query(
      `select id::text, to_json(at) #>> '{}' as at, migration, run_id::text, direction, event, host, pid, os_user, db_user,
              version, file_sha256, git_commit, detail,
              case when run_id is not null then (
                select count(*) from ${this.names.history} as a
                where a.migration = h.migration and a.run_id = h.run_id and a.id <= h.id
                  and a.event in ('started', 'resumed', 'joined') and a.host is not null) end as attempt
       from ${this.names.history} as h
       where ${which}`,
      values,
    );
    return rows.map((row) => ({
      id: row['id'] as string,
      at: row['at'] as string,
      migration: row['migration'] as string | null,
      runId: row['run_id'] as string | null,
      direction: row['direction'] as Direction | null,
      event: row['event'] as HistoryEvent,
      attempt: row['attempt'] as number | null,
      host: row['host'] as string | null,
      pid: row['pid'] as number | null,
      osUser: row['os_user'] as string | null,
      dbUser: row['db_user'] as string,
      version: row['version'] as string | null,
      fileSha256: row['file_sha256'] as string | null,
      gitCommit: row['git_commit'] as string | null,
      detail: row['detail'] as HistoryEntry['detail'],
    }));
  }
}

const historySince = 4;
