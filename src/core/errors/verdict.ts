/**
 * What to do after a failed statement or chunk. `refused`: the server admits nobody with this user, password or
 * database name; waiting does not help, and no migration is to blame. `halve`: a statement was larger than a limit of the
 * protocol; half the rows may fit, whatever became of the chunks before.
 */
export type Verdict = 'retry' | 'retry-slow' | 'once-then-shrink' | 'shrink' | 'halve' | 'stop' | 'refused';

export interface JudgedError {
  /** SQLSTATE, or a system code such as ECONNRESET. */
  readonly code?: string;
  readonly message: string;
  /** The function of Postgres that raised it; a pooler's errors have none. */
  readonly routine?: string | undefined;
  /** False for what author code threw by itself. */
  readonly isDatabase: boolean;
}

const transient = new Set([
  '40001', // serialization failure, or a row that moved to another partition
  '40P01', // deadlock
  '55P03', // lock not available
  '57P01', // admin shutdown
  '57P02', // crash shutdown
  '57P03', // cannot connect now
  '57P05', // idle session timeout
  '25P03', // idle in transaction timeout
  '25P04', // transaction timeout
  '25006', // read-only: a failover is under way
  '53300', // too many connections
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOTFOUND', // where a name has worked before: it is moved to another server
]);

// A disk or memory does not empty within milliseconds.
const slow = new Set(['53100', '53200']);

// pg, knex and PgBouncer report lost connections without a code, or with a general one.
const lostConnection =
  /connection terminated|client has encountered a connection error|client was closed|timeout expired|query read timeout|timeout exceeded when trying to connect|knex: timeout|server conn crashed|query_wait_timeout|server login (has been )?failed|server_login_retry|connection destroyed|socket hang up|answered ROLLBACK to COMMIT/i;

// PgBouncer reports what refuses a login, its own rules or the server behind it, with the general 08P01.
const refusedLogin =
  /authentication failed|no such (user|database)|(role|user|database) ".*" does not exist|pg_hba\.conf|login rejected|not permitted to log in|permission denied for database|wrong password type|SASL authentication mechanism|server signature|(SSL|TLS)( connection)?( is)? required|unsupported startup parameter|no username supplied/i;

// What Postgres says, on an open connection, of a statement whose parameters do not go with its text.
const ofStatement = /^(exec_|pq_)/;

// A column too many (1,600 in a table, 1,664 in a result) or an argument too many (100) is in the text of a statement.
const tooWide = ['54011', '54023'];

const refusing = /^(3D|28)/;
const stopping = /^(42|3F|0A)/;
const shrinking = /^(22|23|54)/;

/** Judges an error by SQLSTATE, system code and message, as the table in ARCHITECTURE.md says. */
export function judge({ code, message, routine, isDatabase }: JudgedError): Verdict {
  if (!isDatabase) return 'shrink';
  if (code !== undefined) {
    if (code === '08P01' && routine !== undefined && ofStatement.test(routine)) return 'stop';
    if (tooWide.includes(code)) return 'stop';
    if (code.startsWith('08') && refusedLogin.test(message)) return 'refused';
    if (transient.has(code) || /^(08|ECONN)/.test(code)) return 'retry';
    if (slow.has(code)) return 'retry-slow';
    if (code === '57014') return 'once-then-shrink';
    if (refusing.test(code)) return 'refused';
    if (stopping.test(code)) return 'stop';
    if (shrinking.test(code)) return 'shrink';
  }
  if (lostConnection.test(message)) return 'retry';
  return code !== undefined && code.startsWith('53') ? 'retry-slow' : 'shrink';
}
