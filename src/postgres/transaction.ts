import { quote } from '../core/values/quote.ts';
import { pg } from './pg.ts';
import type { Tuning } from '../core/config/settings.ts';
import { messageOf } from '../errors.ts';
import type { Result, Session } from './session.ts';
import { onStandby } from './supported.ts';

/**
 * How every transaction of the product begins. Read committed and read write override what a role or a
 * database sets by default; everything else is local to the transaction, so nothing leaks through a
 * pooler.
 */
const begin = 'begin isolation level read committed read write not deferrable';
export const beginReadOnly = 'begin isolation level read committed read only not deferrable';

/** What each transaction is where the session is in one already: it ends with its effects, or without them, all the same. */
const inner = 'umzug_cluster_inner';
const innerReadOnly = `savepoint ${inner}; set local transaction_read_only to on`;

/**
 * Begins a transaction with its settings, in one message: of two, a network that goes dead may let the first one
 * pass, and the server would hold a transaction that no timeout of ours ends.
 */
export async function beginWith(session: Session, settings: string, how: string = begin): Promise<void> {
  session.onCommit.length = 0;
  const within = how === beginReadOnly ? innerReadOnly : `savepoint ${inner}`;
  try {
    await session.query(`${session.isEnclosed ? within : how}; ${settings}`);
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '0A000') nameStandby(error);
    throw error;
  }
}

/**
 * A standby refuses `read write` as a feature that it has not; what it means is that it cannot be worked with yet.
 * Its own message is in its own language.
 */
function nameStandby(error: Error & { code?: string | undefined }): void {
  error.code = '57P03';
  error.message = `${onStandby}: ${error.message}`;
}

/** What `pinned` needs to know of the server. */
export interface ServerFacts {
  /** `server_version_num`, such as 180004. */
  readonly versionNum: number;
  /** The two socket checks exist on Linux servers only. */
  readonly linux: boolean;
  /** Settings that it does not know, of those that are good to have. */
  readonly lacks?: readonly string[];
}

/** Settings without which it works, though a dead client is noticed later, or a long statement is not ended by the server. */
export const dispensable = [
  'idle_in_transaction_session_timeout',
  'client_connection_check_interval',
  'tcp_user_timeout',
  'tcp_keepalives_idle',
  'tcp_keepalives_interval',
  'tcp_keepalives_count',
  'transaction_timeout',
  'row_security',
  'random_page_cost',
] as const;

/** The settings that the server knows. */
function known<T extends readonly [name: string, value: string]>(
  settings: readonly T[],
  { lacks = [] }: ServerFacts,
): readonly T[] {
  return settings.filter(([name]) => !lacks.includes(name));
}

/** The statement that pins the settings of a transaction, with `search_path` empty. */
export function pinned(tuning: Tuning, server: ServerFacts): string {
  const settings: [string, string][] = [
    ['search_path', ''],
    ['statement_timeout', `${tuning.statementTimeoutMs}ms`],
    ['lock_timeout', `${tuning.lockTimeoutMs}ms`],
    ['idle_in_transaction_session_timeout', `${tuning.idleTimeoutMs}ms`],
    ['datestyle', 'ISO, YMD'],
    ['intervalstyle', 'postgres'],
    ['extra_float_digits', '1'],
    ['bytea_output', 'hex'],
    ['array_nulls', 'on'],
    ['row_security', 'off'],
    // Keeps the planner on the key's index instead of hashing or scanning the table for a few
    // thousand keys: 2.12 against 2.65 of one UPDATE at 62,000 rows.
    ['random_page_cost', '1.1'],
  ];
  if (server.linux) {
    settings.push(['client_connection_check_interval', `${tuning.clientCheckMs}ms`]);
    settings.push(['tcp_user_timeout', `${tuning.tcpUserTimeoutMs}ms`]);
  }
  if (server.versionNum >= 170_000) {
    // Once a limit of the role is ticking, only 0 stops it: a longer one would come too late.
    settings.push(['transaction_timeout', '0'], ['transaction_timeout', `${tuning.ceilingMs}ms`]);
  }
  return `${setLocal(known(settings, server))}, ${triggersOn}`;
}

// With another role for replication no foreign key is checked, the commit guard's neither. Only superusers may
// set it back; for others this fails, and with it the transaction.
const triggersOn = `case when pg_catalog.current_setting('session_replication_role') operator(pg_catalog.<>) 'origin'
  then pg_catalog.set_config('session_replication_role', 'origin', true) end`;

/**
 * The statement that lets a transaction last as long as it takes: one that waits for its turn, or runs DDL. A
 * client whose network is dead is noticed all the same, by probes: 10 s after its last word, and 3 times 5 s.
 */
export function unhurried(server: ServerFacts): string {
  const settings: [string, string][] = [];
  if (server.versionNum >= 170_000) settings.push(['transaction_timeout', '0']);
  if (server.linux) {
    settings.push(['tcp_keepalives_idle', '10'], ['tcp_keepalives_interval', '5']);
    settings.push(['tcp_keepalives_count', '3']);
  }
  const kept = known(settings, server);
  return kept.length === 0 ? 'select' : setLocal(kept);
}

/**
 * The statement that limits the rest of an unhurried transaction. A network that swallows half of a request
 * leaves the server waiting inside of it, where no other limit ticks.
 */
export function hurried(tuning: Tuning, server: ServerFacts): string {
  return server.versionNum >= 170_000 && server.lacks?.includes('transaction_timeout') !== true
    ? setLocal([['transaction_timeout', `${tuning.ceilingMs}ms`]])
    : 'select';
}

/** One `select set_config(name, value, true), …` statement. */
export function setLocal(settings: readonly (readonly [name: string, value: string])[]): string {
  const calls = settings.map(
    ([name, value]) => `pg_catalog.set_config('${name}', ${pg.escapeLiteral(value)}, true)`,
  );
  return `select ${calls.join(', ')}`;
}

// In which values are written as text, whatever the author's code has set for itself.
const ofValues: readonly (readonly [name: string, value: string])[] = [
  ['search_path', ''],
  ['timezone', 'UTC'],
  ['datestyle', 'ISO, YMD'],
  ['intervalstyle', 'postgres'],
  ['extra_float_digits', '1'],
  ['bytea_output', 'hex'],
  ['array_nulls', 'on'],
];
const was = (name: string): string => `'umzug_cluster.was_${name}'`;

/** The statement that pins what the text of values depends on, and keeps what was set. */
export const valuesPinned = `select ${ofValues
  .map(([name]) => `pg_catalog.set_config(${was(name)}, pg_catalog.current_setting('${name}'), true)`)
  .join(', ')}, ${setLocal(ofValues).slice('select '.length)}`;

/** The statement that sets it back. */
export const valuesUnpinned = `select ${ofValues
  .map(([name]) => `pg_catalog.set_config('${name}', pg_catalog.current_setting(${was(name)}), true)`)
  .join(', ')}`;

/** The statement that gives the author's code its own search path: the configured one, or the role's. */
export function authorSearchPath(searchPath: readonly string[] | null): string {
  if (searchPath === null) return 'set local search_path to default';
  const path = searchPath.map((name) => (name === '$user' ? '"$user"' : quote(name)));
  return setLocal([['search_path', path.join(', ')]]);
}

/**
 * The statements that give the transaction back to the product: its role, which author code may have changed for the
 * transaction, and the empty search path of its own statements.
 */
export const emptySearchPath =
  "set local role to default; select pg_catalog.set_config('search_path', '', true)";

/** Thrown when COMMIT was answered with ROLLBACK: the transaction had been aborted before. */
const rolledBackMessage = 'Postgres answered ROLLBACK to COMMIT';

const release = `release savepoint ${inner}`;

/** Commits, and checks that Postgres says so: on an aborted transaction it answers ROLLBACK. */
export async function commit(session: Session): Promise<void> {
  committed(session, await session.query(session.isEnclosed ? release : 'commit'));
}

function committed(session: Session, { command }: Result): void {
  // An aborted one refuses the release; and what is released is not committed yet.
  if (session.isEnclosed) return;
  if (command !== 'COMMIT') throw new Error(rolledBackMessage);
  for (const todo of session.onCommit.splice(0)) todo();
}

/**
 * Does `work` in one transaction that is rolled back in the end, whatever becomes of it. The transactions of `work` are
 * savepoints of it: each sees what those before it have left, nobody else ever does.
 */
export async function enclosed<T>(session: Session, settings: string, work: () => Promise<T>): Promise<T> {
  try {
    await beginWith(session, settings);
    session.isEnclosed = true;
    return await work();
  } finally {
    session.isEnclosed = false;
    await rollback(session);
  }
}

// A rollback is answered at once, unless the connection or the server is in trouble.
const rollbackAnswerMs = 2_000;

/**
 * Rolls back; a connection that does not answer quickly is destroyed. Never rejects. What `next` sends goes in the same
 * trip, so that little can come between, and nothing that this process does; it is best effort.
 */
export async function rollback(session: Session, next?: () => Promise<unknown>): Promise<void> {
  if (!session.usable) return;
  const timer = setTimeout(() => session.destroy(), rollbackAnswerMs);
  const { isEnclosed } = session;
  try {
    const rolledBack = isEnclosed
      ? inOrder([session.query(`rollback to savepoint ${inner}`), session.query(release)])
      : session.query('rollback');
    const done = next?.().catch(() => undefined);
    await rolledBack;
    clearTimeout(timer);
    await done;
    if (session.transactionStatus() !== (isEnclosed ? 'T' : 'I')) session.destroy();
  } catch (error) {
    session.destroy(new Error(messageOf(error)));
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Settings for the statements that run before the server is known: what a role sets for itself must not
 * change what they mean.
 */
export const plainSettings = `${setLocal([
  ['search_path', ''],
  ['statement_timeout', '30s'],
  ['lock_timeout', '2s'],
  ['idle_in_transaction_session_timeout', '30s'],
])}, case when pg_catalog.current_setting('transaction_timeout', true) operator(pg_catalog.<>) '0'
  then pg_catalog.set_config('transaction_timeout', '0', true) end`;

/**
 * Runs one statement in a transaction of its own with pinned settings, in one round trip. Alone it would run
 * under whatever the role sets by default: a search path of its own, read only, a short timeout.
 */
export async function inOneTrip<T>(
  session: Session,
  settings: string,
  statement: () => Promise<T>,
): Promise<T> {
  const [, done, answer] = await inOrder([
    beginWith(session, settings),
    statement(),
    session.query(session.isEnclosed ? release : 'commit'),
  ]);
  committed(session, answer);
  return done;
}

/** Does `work` under the author's search path, which is for author's statements and names alone. */
export async function underAuthorPath<T>(
  session: Session,
  searchPath: readonly string[] | null,
  work: () => Promise<T>,
): Promise<T> {
  await session.query(authorSearchPath(searchPath));
  const value = await work();
  await session.query(emptySearchPath);
  return value;
}

/**
 * The answers to statements that were sent together. Rejects with the error of the first that failed: those
 * behind it only say that the transaction is aborted, and their word may come first, since a promise that
 * passes through more functions settles later.
 */
export async function inOrder<T extends readonly unknown[] | []>(
  answers: T,
): Promise<{ -readonly [Place in keyof T]: Awaited<T[Place]> }> {
  const settled = await Promise.allSettled(answers);
  const values = settled.map((answer) => {
    if (answer.status === 'rejected') throw answer.reason;
    return answer.value as unknown;
  });
  return values as { -readonly [Place in keyof T]: Awaited<T[Place]> };
}

/** Runs `work` in a transaction with pinned settings; commits, or rolls back and rethrows. */
export async function withTransaction<T>(
  session: Session,
  settings: string,
  work: () => Promise<T>,
  beginStatement: string = begin,
): Promise<T> {
  try {
    await beginWith(session, settings, beginStatement);
    const value = await work();
    await commit(session);
    return value;
  } catch (error) {
    await rollback(session);
    throw error;
  }
}

/** Runs `work`, which only reads, in a transaction of plain settings: a standby will do. */
export async function reading<T>(session: Session, work: () => Promise<T>): Promise<T> {
  return await withTransaction(session, plainSettings, work, beginReadOnly);
}
