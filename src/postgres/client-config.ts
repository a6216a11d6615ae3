import type * as Pg from 'pg';
import { checkUrl } from '../config/url.ts';
import { fail } from '../errors.ts';

/** How to reach the database: a URL, a pg client config, or a function that returns one of these. */
export type Connection = string | object | (() => unknown);

export interface SessionOptions {
  readonly connection: Connection;
  readonly connectTimeoutMs: number;
  /** A statement that is not answered within this time destroys the socket; 0: never. */
  readonly answerTimeoutMs: number;
  /** How long the driver parses is to be measured. */
  readonly isWatched?: boolean;
}

// Startup parameters break or leak behind PgBouncer; the same limits are set inside each transaction.
const startupOnly = [
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'query_timeout',
  'application_name',
];

/** The driver would take nothing for a database on this host. */
function requireConnection(given: unknown): void {
  if (typeof given === 'string') return checkUrl(given, 'what the connection function returned');
  if (typeof given === 'object' && given !== null) return;
  throw fail('CONFIG', {
    message: `the connection function returned ${given === null ? 'null' : typeof given}`,
    hint: 'return a URL, or an object with host, port, user, password and database',
  });
}

/** What the driver is given; asks the connection function, where there is one. Throws CONFIG. */
export async function clientConfig(options: SessionOptions): Promise<Pg.ClientConfig> {
  const { connection } = options;
  const given: unknown = typeof connection === 'function' ? await connection() : connection;
  if (typeof connection === 'function') requireConnection(given);
  const base: Record<string, unknown> =
    typeof given === 'string' ? { connectionString: given } : { ...(given as Record<string, unknown>) };
  for (const name of startupOnly) delete base[name];
  return {
    ...base,
    connectionTimeoutMillis: options.connectTimeoutMs,
    ...(options.answerTimeoutMs > 0 ? { query_timeout: options.answerTimeoutMs } : {}),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    pipeline: true,
  } as Pg.ClientConfig;
}
