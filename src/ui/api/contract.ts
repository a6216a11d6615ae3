import type { MigrationState } from '../../core/config/states.ts';

/**
 * What the page and the server of `ui` say to each other: types alone, imported by both. All paths are relative to the
 * page, so that it works behind a path prefix, and each is also below `api/databases/ID/`.
 *
 * - `GET api/overview`: an Overview; of several targets a Choice, and then each of the others is below `api/databases/ID/`.
 *    `GET api/runs/ID`: a RunDetail; ID is a run's id, or the name of a migration, which
 *   stays the same over `down` and the next `up`, and which a migration has that has no run.
 * - `GET api/events` and `GET api/events?run=ID`: server-sent events. The first is `overview`, or `run`, with all of it;
 *   then come `change` events of the same type, whose `migrations`, or `ranges` and `points`, are only those that are new
 *   or have changed: replace by `name` and by `no`, and append points. After a new connection, and where a migration or a
 *   range has gone or a migration is new, the first event comes again. `unavailable`: an Unavailable; the next event after it is the first one again.
 * - `GET api/runs/ID/report.html`: the report as one file. `GET metrics`: for Prometheus.
 * - `POST api/actions`: an Action, answered by a Done or, with 4xx or 5xx, a Refused.
 * - `POST api/session` with `{"token": "…"}` answers 204 and sets a cookie. Without it everything below `api/` answers
 *   401 with a Refused where a token is configured; an EventSource cannot see this, so fetch the overview first.
 *
 * Every POST needs the header `x-umzug-cluster: 1` and `content-type: application/json`.
 */
export interface Overview {
  /** Milliseconds since the epoch, by the database's clock. */
  readonly at: number;
  /** `shop on db.example:5432`. */
  readonly database: string;
  readonly databaseId: string;
  /** Of umzug-cluster. */
  readonly version: string;
  readonly canWrite: boolean;
  /** In order. */
  readonly migrations: readonly MigrationRow[];
}

/** The targets that a page may show, where the knexfile has several. */
export interface Choice {
  readonly at: number;
  readonly version: string;
  readonly canWrite: boolean;
  /** In order. */
  readonly targets: readonly TargetRow[];
}

/** One target, as it was when it was last looked at. */
export interface TargetRow {
  readonly name: string;
  readonly databaseId: string;
  readonly database: string;
  /** How many migrations are in each state; null: nobody knows. */
  readonly states: Readonly<Partial<Record<MigrationState, number>>> | null;
  readonly error: string | null;
}

/** One migration, with the numbers of `status --json`. Times are milliseconds since the epoch. */
export interface MigrationRow {
  readonly name: string;
  /** Null: its file does not load. */
  readonly kind: 'data' | 'schema' | null;
  readonly state: MigrationState;
  readonly runId: string | null;
  readonly direction: 'up' | 'down' | null;
  /** 0 to 1; 1 only when it is done. */
  readonly fraction: number | null;
  readonly rowsDone: number;
  readonly rowsEstimated: number | null;
  readonly rowsPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly quarantined: number;
  readonly error: string | null;
  /** What it waits for, and what holds new chunks back. */
  readonly waiting: string | null;
  readonly throttled: string | null;
  /** `by anna on host-a at …`: who has paused or cancelled it. */
  readonly heldBy: string | null;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly executedAt: number | null;
}

export interface RunDetail {
  readonly at: number;
  readonly row: MigrationRow;
  readonly chunks: number;
  readonly retries: number;
  readonly table: string | null;
  readonly key: readonly string[];
  /** What an operator has set for the run. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly hosts: readonly HostView[];
  /** Of the present pass over the table, in the order of their places. */
  readonly ranges: readonly RangeView[];
  /** At most 2,000, the earliest first. */
  readonly points: readonly Point[];
  /** At most 1,000; `row.quarantined` says how many there are. */
  readonly quarantine: readonly QuarantinedView[];
  /** The latest first, at most 200. */
  readonly history: readonly HistoryView[];
  /** Who holds the lock for which it waits: of chunks, or of a schema migration. */
  readonly blocker: string | null;
}

export interface HostView {
  /** `host:pid`. */
  readonly process: string;
  /** Working processes. */
  readonly workers: number;
  /** Of its first process; null: not known. */
  readonly lanes: number | null;
  readonly rowsPerSecond: number | null;
  readonly etaSeconds: number | null;
  /** 0: no chunk yet. */
  readonly chunkSize: number;
  readonly waiting: string | null;
  readonly throttled: string | null;
  readonly seenAt: number;
}

/** A range of the key space. Its place and length are in rows of the table. */
export interface RangeView {
  readonly no: number;
  readonly at: number;
  readonly length: number;
  /** Share, 0 to 1. */
  readonly done: number;
  /** `active`: open, and a worker has it. */
  readonly state: 'open' | 'active' | 'done' | 'quarantined';
  /** `host:pid` of the worker that has it. */
  readonly host: string | null;
  /** It was split off the range of another worker. */
  readonly stolen: boolean;
  readonly lastError: string | null;
}

/**
 * What one host has told at one time: rows done and rows per second of the whole run; time and rows of its latest chunk,
 * and how many chunks its first process works on at a time; why no chunk began, or null.
 */
export type Point = readonly [
  at: number,
  rowsDone: number,
  rowsPerSecond: number | null,
  chunkMs: number | null,
  chunkSize: number | null,
  lanes: number | null,
  throttled: string | null,
];

export interface QuarantinedView {
  readonly key: readonly string[];
  readonly error: string;
  readonly sqlstate: string | null;
  readonly attempts: number;
  readonly at: number;
}

export interface HistoryView {
  readonly at: number;
  readonly event: string;
  readonly direction: 'up' | 'down' | null;
  /** `anna on host-a`, or `role "dba" with SQL`. */
  readonly by: string;
  readonly host: string | null;
  readonly version: string | null;
  readonly commit: string | null;
  /** What is known besides, as `history` prints it. */
  readonly detail: string;
}

/** The database does not answer, and is asked again. */
export interface Unavailable {
  readonly error: string;
  readonly hint: string | null;
  /** By the clock of the server of the page. */
  readonly since: number;
}

export interface Action {
  readonly action: 'pause' | 'resume' | 'cancel' | 'set' | 'retry';
  readonly migration: string;
  /** For `set`, as `set` takes them: `pace=2000`, `pace=off`, `chunkSize=default`. */
  readonly values?: readonly string[];
  /** For `retry`: the key of one quarantined row; without it, all are retried. */
  readonly key?: readonly string[];
}

export interface Done {
  readonly ok: true;
  readonly message: string;
}

export interface Refused {
  readonly error: string;
  readonly hint: string | null;
}
