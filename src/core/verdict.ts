/** What to do after a failed statement or chunk. */
export type Verdict = 'retry' | 'retry-slow' | 'once-then-shrink' | 'shrink' | 'stop';

export interface JudgedError {
  /** SQLSTATE, or a system code such as ECONNRESET. */
  readonly code?: string;
  readonly message: string;
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
]);

// A disk or memory does not empty within milliseconds.
const slow = new Set(['53100', '53200']);

// pg, knex and PgBouncer report lost connections without a code, or with a general one.
const lostConnection =
  /connection terminated|client has encountered a connection error|client was closed|timeout expired|query read timeout|timeout exceeded when trying to connect|knex: timeout|server conn crashed|query_wait_timeout|server login (has been )?failed|server_login_retry|connection destroyed|socket hang up|answered ROLLBACK to COMMIT/i;

const stopping = /^(42|3D|3F|28|0A)/;
const shrinking = /^(22|23)/;

/** Judges an error by SQLSTATE, system code and message, as the table in ARCHITECTURE.md says. */
export function judge({ code, message, isDatabase }: JudgedError): Verdict {
  if (!isDatabase) return 'shrink';
  if (code !== undefined) {
    if (transient.has(code) || /^(08|ECONN)/.test(code)) return 'retry';
    if (slow.has(code)) return 'retry-slow';
    if (code === '57014') return 'once-then-shrink';
    if (stopping.test(code)) return 'stop';
    if (shrinking.test(code)) return 'shrink';
  }
  if (lostConnection.test(message)) return 'retry';
  return code !== undefined && code.startsWith('53') ? 'retry-slow' : 'shrink';
}
