import type * as Pg from 'pg';
import type { ConnectionUse } from '../core/values/application-name.ts';
import { schemaIn, urlIn } from '../config/database.ts';
import { checkUrl, hostsOf, isPostgresUrl, parameterOf } from '../config/url.ts';
import { fail } from '../errors.ts';

/** How to reach the database: a URL, a pg client config, or a function that returns one of these. */
export type Connection = string | object | (() => unknown);

export interface SessionOptions {
  readonly connection: Connection;
  readonly connectTimeoutMs: number;
  /** A statement that is not answered within this time destroys the socket; 0: never. */
  readonly answerTimeoutMs: number;
  /** What the connection is for. Default: what a command asks and says. */
  readonly use?: ConnectionUse;
}

// Startup parameters break or leak behind PgBouncer; the same limits are set inside each transaction.
const startupOnly = [
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'query_timeout',
];

/** The driver would take nothing for a database on this host. */
function requireConnection(given: unknown): void {
  const what = 'the connection function returned';
  if (typeof given !== 'string' && (typeof given !== 'object' || given === null)) {
    throw fail('CONFIG', {
      message: `${what} ${given === null ? 'null' : typeof given}`,
      hint: 'return a URL, or an object with host, port, user, password and database',
    });
  }
  const url = urlIn(given);
  if (url !== null) checkUrl(url, `what ${what}`);
  if (schemaIn(given) === null) return;
  throw fail('CONFIG', {
    message: `${what} a URL with the parameter "schema"`,
    hint: 'set the schema as searchPath in the knexfile: it is needed before the function is called',
  });
}

/**
 * What the driver is given, for each host that is to be tried, and whether only a primary will do; asks the
 * connection function, where there is one. Throws CONFIG.
 */
export async function clientConfigs(
  options: SessionOptions,
): Promise<{ readonly configs: readonly Pg.ClientConfig[]; readonly needsPrimary: boolean }> {
  const { connection } = options;
  const given: unknown = typeof connection === 'function' ? await connection() : connection;
  if (typeof connection === 'function') requireConnection(given);
  const base: Record<string, unknown> = typeof given === 'object' ? { ...given } : {};
  for (const name of startupOnly) delete base[name];
  const common = {
    ...base,
    connectionTimeoutMillis: options.connectTimeoutMs,
    ...(options.answerTimeoutMs > 0 ? { query_timeout: options.answerTimeoutMs } : {}),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    pipeline: true,
  } as Pg.ClientConfig;
  const url = urlIn(given);
  if (url === null) return { configs: [common], needsPrimary: false };
  if (!isPostgresUrl(url)) return { configs: [{ ...common, connectionString: url }], needsPrimary: false };
  const bound = parameterOf(url, 'channel_binding') === 'require' ? { enableChannelBinding: true } : {};
  // A blank makes the driver encode all of the URL, and what is encoded already a second time.
  const configs = hostsOf(url.replaceAll(' ', '%20')).map((connectionString) => ({
    ...common,
    ...bound,
    connectionString,
  }));
  return {
    configs,
    needsPrimary: /^(read-write|primary)$/.test(parameterOf(url, 'target_session_attrs') ?? ''),
  };
}
