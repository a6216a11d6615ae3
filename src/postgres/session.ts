import pg from 'pg';
import { withoutValues } from '../core/server-message.ts';
import { ledgerTypes } from './parsers.ts';

/** How to reach the database: a URL, a pg client config, or a function that returns one of these. */
export type Connection = string | object | (() => unknown);

export interface SessionOptions {
  readonly connection: Connection;
  readonly connectTimeoutMs: number;
  /** A statement that is not answered within this time destroys the socket; 0: never. */
  readonly answerTimeoutMs: number;
}

export interface Result {
  readonly rows: Record<string, unknown>[];
  readonly rowCount: number | null;
  readonly command: string;
  /** Of a column that is one of a table, its place in the catalog; else 0. */
  readonly fields: readonly { readonly name: string; readonly tableID: number; readonly columnID: number }[];
}

// Startup parameters break or leak behind PgBouncer; the same limits are set inside each transaction.
const startupOnly = [
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'query_timeout',
  'application_name',
];

/**
 * One connection, owned by one lane of one process. Statements are pipelined: those sent in one tick
 * cost one round trip. It is destroyed, never reused, after any doubt.
 */
export class Session {
  readonly client: pg.Client;
  /** Why the connection was lost; pg tells it on the `error` event, not on the rejected query. */
  lost: Error | null = null;

  private constructor(client: pg.Client) {
    this.client = client;
    client.on('error', (error) => {
      this.lost ??= error;
    });
    client.on('end', () => {
      this.lost ??= new Error('Connection terminated unexpectedly');
    });
  }

  /** Opens a connection. Rejects with pg's own error, which `core/verdict` can judge. */
  static async open(options: SessionOptions): Promise<Session> {
    const config = await clientConfig(options);
    const client = new pg.Client(config);
    const session = new Session(client);
    await client.connect();
    return session;
  }

  /** Runs one of the product's own statements; with `values` it goes through the extended protocol. */
  async query(text: string, values?: readonly unknown[]): Promise<Result> {
    return await this.#send({
      text,
      types: ledgerTypes,
      ...(values === undefined ? {} : { values: [...values] }),
    });
  }

  /** Runs an author's statement with the application's type parsers; one statement only. */
  async authorQuery(text: string, values: readonly unknown[], options?: object): Promise<Result> {
    return await this.#send({ text, values: [...values], ...options, queryMode: 'extended' });
  }

  async #send(config: object): Promise<Result> {
    try {
      const result: unknown = await this.client.query(config as pg.QueryConfig);
      return result as Result;
    } catch (error) {
      hideValues(error);
      throw error;
    }
  }

  /** `I` idle, `T` in a transaction, `E` in a failed one; null before the first answer. */
  transactionStatus(): string | null {
    return this.client.getTransactionStatus();
  }

  /** Bytes received so far. */
  get bytesRead(): number {
    return streamOf(this.client).bytesRead;
  }

  /** True while the connection can be used. */
  get usable(): boolean {
    return this.lost === null;
  }

  /** Cuts the connection at once; the server rolls back what was open. */
  destroy(reason?: Error): void {
    this.lost ??= reason ?? new Error('connection destroyed');
    streamOf(this.client).destroy();
  }

  /** Ends the connection politely; never rejects. */
  async end(): Promise<void> {
    if (!this.usable) return;
    await this.client.end().catch(() => undefined);
  }
}

/** Takes row values out of an error of the server: its message and stack may end in a log or in the ledger. */
function hideValues(error: unknown): void {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return;
  const { code, message, routine } = error;
  const shown = withoutValues({ code, message, routine });
  if (shown === message) return;
  error.message = shown;
  error.stack = (error.stack ?? '').replace(message, () => shown);
}

interface Stream {
  readonly bytesRead: number;
  destroy(): void;
}

function streamOf(client: pg.Client): Stream {
  return (client as unknown as { connection: { stream: Stream } }).connection.stream;
}

async function clientConfig(options: SessionOptions): Promise<pg.ClientConfig> {
  const { connection } = options;
  const given: unknown = typeof connection === 'function' ? await connection() : connection;
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
  } as pg.ClientConfig;
}

/** Opens a session, hands it to `work`, and ends it whatever happens. */
export async function withSession<T>(
  options: SessionOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await Session.open(options);
  try {
    return await work(session);
  } finally {
    await session.end();
  }
}
