import { placeOfLedger } from '../core/values/ledger-place.ts';
import { quote } from '../core/values/quote.ts';
import { liveStates, runStates } from '../core/config/states.ts';
import { codeOf, fail, messageOf } from '../errors.ts';
import type { Session } from '../postgres/session.ts';
import { administration } from './administration.ts';
import { conflictColumns, imageColumns } from './image-columns.ts';
import { grantAlike, requireCreate, schemaToCreate } from './rights.ts';
import { type TurnOptions, takeTurn } from './turn.ts';

/** The version of the ledger's tables that this release writes. */
export const ledgerVersion = 4;

// Can be read as it is; whoever writes first upgrades it.
const oldestVersion = 3;

/** Quoted, qualified names of the ledger's tables. Nothing outside `ledger/` names them. */
export interface LedgerNames {
  /** Of its tables: not all of them are in an older one. */
  readonly version: number;
  readonly schema: string;
  /** Before the names of its tables, indexes and functions; not quoted. */
  readonly prefix: string;
  readonly meta: string;
  readonly migrations: string;
  readonly runs: string;
  readonly controls: string;
  readonly hosts: string;
  readonly ranges: string;
  readonly quarantine: string;
  readonly guardClosed: string;
  readonly guardOpen: string;
  readonly history: string;
  readonly points: string;
  readonly steals: string;
  /** What rows held before and after, for runs with undo: a partition for each. */
  readonly images: string;
  /** A view. */
  readonly status: string;
  readonly folders: string;
  readonly outOfOrder: string;
  readonly conflicts: string;
}

/** The names of a ledger: of one in a schema, or of a tenant's (`core/values/ledger-place`). */
export function ledgerNames(ledger: string, version = ledgerVersion): LedgerNames {
  const { schema, prefix } = placeOfLedger(ledger);
  const quoted = quote(schema);
  const table = (name: string): string => `${quoted}.${prefix}${name}`;
  return {
    version,
    schema: quoted,
    prefix,
    meta: table('meta'),
    migrations: table('migrations'),
    runs: table('runs'),
    controls: table('controls'),
    hosts: table('hosts'),
    ranges: table('ranges'),
    quarantine: table('quarantine'),
    guardClosed: table('guard_closed'),
    guardOpen: table('guard_open'),
    history: table('history'),
    points: table('points'),
    steals: table('steals'),
    images: table('images'),
    status: table('status'),
    folders: table('folders'),
    outOfOrder: table('out_of_order'),
    conflicts: table('conflicts'),
  };
}

const list = (values: readonly string[]): string => values.map((value) => `'${value}'`).join(', ');

/** The states of a run that has started and not ended, as a list of SQL. */
export const live = list(liveStates);

/** The tables of version 3: of runs, and of what becomes of them. */
function runTables(names: LedgerNames): string {
  return `
create table ${names.meta} (
  only_row boolean primary key default true check (only_row),
  version integer not null
);
insert into ${names.meta} (version) values (${oldestVersion});
create table ${names.runs} (
  id bigint primary key, -- grows by random steps: no other ledger, past or future, has the same
  name text not null,
  direction text not null check (direction in ('up', 'down')),
  state text not null check (state in (${list(runStates)})),
  epoch bigint not null default 1 check (epoch > 0), -- grows with each change of state, by random steps
  reverts bigint references ${names.runs} (id),
  start_xid xid8 not null,
  plan jsonb not null,
  file_sha256 text not null,
  imports jsonb not null default '{}', -- hashes of the local files that it imports, by path
  plan_sha256 text not null,
  pass integer not null default 0 check (pass >= 0), -- how often it has begun to go over its table again
  is_laid_out boolean not null default false, -- its ranges are there: no older transaction is waited for
  stop_key text[], -- of this pass
  estimated_rows double precision not null default -1,
  error text,
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  check ((direction = 'down') = (reverts is not null))
);
create unique index ${names.prefix}runs_one_live on ${names.runs} (name, direction) where state in (${live});
create table ${names.controls} (
  run_id bigint primary key references ${names.runs} (id),
  overrides jsonb not null default '{}' check (jsonb_typeof(overrides) = 'object'),
  paid_at timestamptz not null default '-infinity', -- when the present turn of the pace began
  free_at timestamptz not null default '-infinity' -- when it ends
) with (fillfactor = 50);
create table ${names.hosts} (
  run_id bigint not null references ${names.runs} (id),
  process text not null,
  workers integer not null check (workers > 0),
  rows_per_second double precision,
  eta_seconds double precision,
  chunk_size integer not null,
  waiting text,
  throttled text,
  seen_at timestamptz not null default clock_timestamp(),
  primary key (run_id, process)
) with (fillfactor = 50);
create table ${names.migrations} (
  name text primary key,
  kind text not null check (kind in ('data', 'schema')),
  executed_at timestamptz not null default clock_timestamp(),
  run_id bigint references ${names.runs} (id),
  file_sha256 text not null,
  imports jsonb not null default '{}',
  is_baseline boolean not null default false, -- recorded without having been run here
  check (is_baseline and run_id is null or not is_baseline and (kind = 'data') = (run_id is not null))
);`;
}

/** The tables of version 3: of ranges and their chunks. */
function rangeTables(names: LedgerNames): string {
  return `
create table ${names.ranges} (
  run_id bigint not null references ${names.runs} (id),
  no integer not null,
  pass integer not null default 0 check (pass >= 0),
  space text not null default 'keys' check (space in ('keys', 'blocks')),
  lo text[],
  hi text[] not null,
  cursor text[],
  state text not null default 'open' check (state in ('open', 'done', 'quarantined')),
  open_claims integer not null default 0 check (open_claims >= 0), -- without progress or a failure: deaths, and the present one
  attempts integer not null default 0 check (attempts >= 0),
  retries integer not null default 0 check (retries >= 0),
  max_rows integer check (max_rows > 0),
  next_try timestamptz not null default '-infinity',
  worker text,
  touched_at timestamptz not null default '-infinity',
  at double precision not null default 0, -- of the cursor, in rows of the table
  estimated double precision not null default 0, -- such rows in front of it
  passed double precision not null default 0 check (passed >= 0),
  rows bigint not null default 0 check (rows >= 0),
  chunks bigint not null default 0 check (chunks >= 0),
  busy_ms double precision not null default 0,
  last_error text,
  primary key (run_id, no),
  check (state <> 'done' or cursor = hi)
) with (fillfactor = 50);
create table ${names.quarantine} (
  run_id bigint not null references ${names.runs} (id),
  key text[] not null,
  range_no integer not null,
  error text not null,
  sqlstate text,
  attempts integer not null,
  at timestamptz not null default clock_timestamp(),
  primary key (run_id, key),
  foreign key (run_id, range_no) references ${names.ranges} (run_id, no)
);
create table ${names.guardClosed} (token uuid primary key, check (false));
create table ${names.guardOpen} (
  token uuid primary key references ${names.guardClosed} (token) deferrable initially deferred
) with (fillfactor = 50);`;
}

/**
 * What version 4 adds. It locks no table to which chunks write: hosts of the release before may be at work, and continue. No
 * foreign keys either: what happened stays when its run is removed.
 */
function additions(names: LedgerNames): string {
  return `
create table ${names.history} (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  migration text,
  run_id bigint,
  direction text check (direction in ('up', 'down')),
  event text not null,
  host text,
  pid integer,
  os_user text,
  db_user text not null default session_user,
  version text, -- of umzug-cluster
  file_sha256 text,
  git_commit text,
  detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object')
);
create table ${names.points} (
  run_id bigint not null,
  process text not null,
  at timestamptz not null,
  rows bigint not null,
  rows_per_second double precision,
  chunk_ms double precision,
  chunk_size integer not null,
  lanes integer,
  held text, -- why no chunk began
  primary key (run_id, process, at)
);
create table ${names.steals} (
  run_id bigint not null,
  no integer not null, -- of the range that was split off another one
  primary key (run_id, no)
);
create table ${names.folders} (
  migration text primary key,
  folder text not null -- the path in its package, after the package's name
);
create table ${names.images} (${imageColumns}) partition by list (run_id);
create index ${names.prefix}history_of_migration on ${names.history} (migration, id);
create index ${names.prefix}runs_of_migration on ${names.runs} (name, id);
create table ${names.outOfOrder} (
  name text primary key, -- of a migration that may run although later ones are executed
  at timestamptz not null default clock_timestamp()
);
create table ${names.conflicts} (${conflictColumns});
${administration(names)}
update ${names.meta} set version = ${ledgerVersion};`;
}

/** The tables of version 4 that version 3 has not. */
const addedTables = ({
  history,
  points,
  steals,
  folders,
  outOfOrder,
  images,
  conflicts,
}: LedgerNames): readonly string[] => [images, history, points, steals, folders, outOfOrder, conflicts];

/** The ledger's version, or null where there is none, or only its empty tables as of a schema-only dump. Reads only. */
export async function readLedgerVersion(session: Session, ledger: string): Promise<number | null> {
  const names = ledgerNames(ledger);
  const { schema } = placeOfLedger(ledger);
  // Not to_regclass: it may answer from this connection's cache, which knows nothing of a ledger that another
  // host created while this one waited for the advisory lock.
  const found = await session.query(
    `select c.relname::text as name,
            exists (select from pg_catalog.pg_attribute
                    where attrelid = c.oid and attname = 'version') as has_version
     from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = any ($2)`,
    [schema, [...tablesOf(names), names.status].map((name) => bare(name, names))],
  );
  if (found.rows.length === 0) return null;
  const meta = bare(names.meta, names);
  if (!found.rows.some(({ name, has_version: hasVersion }) => name === meta && hasVersion === true)) {
    throw foreignTables(
      schema,
      found.rows.map(({ name }) => String(name)),
    );
  }
  const result = await session.query(`select version from ${names.meta}`);
  const version = result.rows[0]?.version;
  if (version === undefined && (await areEmpty(session, schema, found.rows))) return null;
  const isKnown = typeof version === 'number' && version >= oldestVersion && version <= ledgerVersion;
  if (!isKnown) {
    throw fail('LEDGER_VERSION', {
      message: `the ledger in schema "${schema}" has version ${String(version ?? 'none')}`,
      detail: `this release of umzug-cluster supports versions ${oldestVersion} to ${ledgerVersion}`,
      hint: 'install the release that wrote it, or a newer one',
    });
  }
  return version;
}

async function areEmpty(
  session: Session,
  schema: string,
  tables: readonly Record<string, unknown>[],
): Promise<boolean> {
  const rows = tables.map(({ name }) => `select from ${quote(schema)}.${quote(String(name))}`);
  const found = await session.query(`select exists (${rows.join(' union all ')}) as is_used`);
  return found.rows[0]?.is_used === false;
}

const tablesOf = ({
  version: _version,
  schema: _schema,
  prefix: _prefix,
  status: _view,
  ...tables
}: LedgerNames): readonly string[] => Object.values(tables);

// Without schema.
const bare = (name: string, { schema }: LedgerNames): string => name.slice(schema.length + 1);

/** Somebody else's tables, or a ledger that lost some of its own: nothing is made beside them. */
function foreignTables(schema: string, names: readonly string[]): Error {
  return fail('LEDGER_VERSION', {
    message: `schema "${schema}" has tables that do not belong to a ledger: ${names.toSorted().join(', ')}`,
    detail: 'the table "meta" with the version of a ledger is missing; nothing was changed',
    hint: 'choose another schema for the ledger with migrations.schemaName in the knexfile, or restore it from a backup',
  });
}

/**
 * Creates the ledger where it is missing, and upgrades an older one. Call inside a transaction: `takeTurn` keeps two first runs from
 * racing, which `if not exists` alone does not (3 errors in 18 concurrent first runs).
 */
export async function ensureLedger(session: Session, ledger: string, turn: TurnOptions): Promise<void> {
  await takeTurn(session, ledger, turn);
  if (await upgradeLedger(session, ledger)) return;
  const created = await schemaToCreate(session, ledger);
  const names = ledgerNames(ledger);
  // Empty ones may be there, perhaps of another release.
  const dropped = `drop view if exists ${names.status}; drop table if exists ${tablesOf(names).join(', ')};`;
  try {
    await session.query(`${created}${dropped}${runTables(names)}${rangeTables(names)}${additions(names)}`);
  } catch (error) {
    throw lacking.test(codeOf(error) ?? '') ? unfitForLedger(ledger, error) : error;
  }
}

// What a server answers that does not know a feature, a word, a function or a type.
const lacking = /^(0A...|42601|42883|42704)$/;

function unfitForLedger(ledger: string, error: unknown): Error {
  return fail('SERVER_UNSUPPORTED', {
    message: `the server cannot create the ledger in schema "${ledger}"`,
    detail: `${messageOf(error)}; the ledger takes what PostgreSQL 14 and newer have, among it deferrable foreign keys; nothing was changed`,
    hint: 'a server that speaks the protocol and lacks them is not supported: see docs/managed-postgres.md',
  });
}

/**
 * Upgrades a ledger of the version before, in the transaction of whoever writes to it first; false where there is none.
 * Every role that may write to the tables that were there may write to the new ones.
 */
export async function upgradeLedger(session: Session, ledger: string): Promise<boolean> {
  const found = await readLedgerVersion(session, ledger);
  if (found === null || found === ledgerVersion) return found !== null;
  const names = ledgerNames(ledger);
  const { schema } = placeOfLedger(ledger);
  await requireCreate(session, schema, { found, wanted: ledgerVersion });
  // One host upgrades it, and others wait.
  await session.query(`select from ${names.meta} for update`);
  if ((await readLedgerVersion(session, ledger)) === ledgerVersion) return true;
  await requireRoom(session, names, schema);
  await session.query(additions(names));
  // Images hold what rows held: they are for who runs migrations, not for who looks or steers.
  const tables = [...addedTables(names).filter((table) => table !== names.images), names.status];
  await grantAlike(session, names.ranges, { tables, forWriters: [names.images] });
  return true;
}

/** The schema may be shared with the application. */
async function requireRoom(session: Session, names: LedgerNames, schema: string): Promise<void> {
  const { rows } = await session.query(
    `select relname::text as name from pg_catalog.pg_class
     where relnamespace = (select oid from pg_catalog.pg_namespace where nspname = $1) and relname = any ($2)`,
    [schema, [...addedTables(names), names.status].map((name) => bare(name, names))],
  );
  if (rows.length === 0) return;
  throw fail('LEDGER_VERSION', {
    message: `schema "${schema}" has tables of others that this release needs for itself: ${rows.map(({ name }) => name).join(', ')}`,
    detail: 'the ledger was not upgraded; nothing was changed',
    hint: 'rename them, or move the ledger: alter table … set schema for each of its tables, and migrations.schemaName in the knexfile',
  });
}
