import { constants } from 'node:buffer';
import type * as Pg from 'pg';
import { thisProcess } from '../config/this-process.ts';
import { UmzugClusterError, fail } from '../errors.ts';
import { withoutValues } from '../core/errors/server-message.ts';
import { applicationName } from '../core/values/application-name.ts';
import { withoutSecrets } from '../core/errors/redact.ts';
import { storable } from '../core/values/storable.ts';
import { type SessionOptions, clientConfigs } from './client-config.ts';
import { ledgerTypes } from './parsers.ts';
import { pg } from './pg.ts';
import { type Field, type RowTaker, queryRows } from './row-query.ts';
import { catchTooLong, parametersOf, streamOf } from './stream.ts';
import { onStandby, requireSupported } from './supported.ts';

export interface Result {
  readonly rows: Record<string, unknown>[];
  readonly rowCount: number | null;
  readonly command: string;
  /** The columns, as the server describes them. */
  readonly fields?: readonly Field[];
}

// A goodbye is answered at once, unless the network swallows it.
const goodbyeMs = 1_000;

// `core/verdict` knows it.
const destroyed = 'connection destroyed';

/**
 * With any error the server stops the timer of transaction_timeout, and going back to a savepoint does not start it
 * again: a transaction that is left in the middle of a request would then hold its locks for ever.
 */
const timedAgain = `select case when pg_catalog.current_setting('transaction_timeout', true) is not null then
  pg_catalog.set_config('transaction_timeout', pg_catalog.current_setting('transaction_timeout'), true) end`;

/**
 * One connection, owned by one lane of one process. Statements are pipelined: those sent in one tick
 * cost one round trip. It is destroyed, never reused, after any doubt.
 */
export class Session {
  readonly client: Pg.Client;
  /** When the server last answered a statement without an error, by `performance.now()`; 0: never. */
  answeredAt = 0;
  /** Called with every statement that is sent. Null: nobody is told. */
  onStatement: ((text: string, values: readonly unknown[]) => void) | null = null;
  /** A transaction is open around those that are started: they are savepoints of it. Set by `enclosed` alone. */
  isEnclosed = false;
  /** What is to be done once the transaction under way is committed; forgotten where it is not. */
  readonly onCommit: (() => void)[] = [];
  readonly #answerTimeoutMs: number;
  /** Rows that the latest `authorRows` has read so far. */
  rowsTaken = 0;
  #inFlight = 0;
  /** Bytes received before the statements that are on their way. */
  #bytesBefore = 0;
  /** Local ports of the connections that are open in this process, from before the server hears of them. */
  static readonly ports = new Set<number>();
  /** Sockets of connections that are being made. */
  static readonly sockets = new WeakSet<object>();
  /** Why the connection was lost; pg tells it on the `error` event, not on the rejected query. */
  lost: Error | null = null;

  /** What the server says of itself. */
  readonly #parameters: ReadonlyMap<string, string>;

  private constructor(client: Pg.Client, answerTimeoutMs: number) {
    this.client = client;
    this.#parameters = parametersOf(client);
    this.#answerTimeoutMs = answerTimeoutMs;
    const socket = streamOf(client);
    Session.sockets.add(socket);
    socket.once('connect', () => this.#register());
    client.on('error', (error) => {
      this.lost ??= error;
    });
    client.on('end', () => {
      this.lost ??= new Error('Connection terminated unexpectedly');
    });
  }

  /**
   * Opens a connection, unless `signal` aborts: to the first of its hosts that lets us in, as libpq does. Rejects with
   * pg's own error, which `core/verdict` can judge.
   */
  static async open(options: SessionOptions, signal?: AbortSignal): Promise<Session> {
    const { configs, needsPrimary } = await clientConfigs(options);
    for (let index = 0; ; index += 1) {
      try {
        return await Session.#openOne(configs[index] ?? {}, needsPrimary, options, signal);
      } catch (error) {
        const isRefused = error instanceof pg.DatabaseError && /^(28|3D)/.test(error.code ?? '');
        if (index + 1 >= configs.length || isRefused || signal?.aborted === true) throw error;
      }
    }
  }

  static async #openOne(
    config: Pg.ClientConfig,
    needsPrimary: boolean,
    options: SessionOptions,
    signal: AbortSignal | undefined,
  ): Promise<Session> {
    // One that has aborted already calls nobody.
    if (signal?.aborted === true) throw new Error(destroyed);
    const client = new pg.Client(config);
    nameConnection(client, options);
    const session = new Session(client, options.answerTimeoutMs);
    const giveUp = (): void => session.destroy();
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      await client.connect();
      requireSupported(session.#parameters);
      if (needsPrimary && session.#parameters.get('in_hot_standby') === 'on') {
        throw Object.assign(new Error(onStandby), { code: '57P03' });
      }
      catchTooLong(client, () => session.destroy(tooLong(session.bytesRead - session.#bytesBefore)));
      return session;
    } catch (error) {
      session.destroy();
      sayHowLong(error, options.connectTimeoutMs);
      throw error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** Runs one of the product's own statements; with `values` it goes through the extended protocol. */
  async query(text: string, values?: readonly unknown[]): Promise<Result> {
    this.onStatement?.(text, values ?? []);
    return await this.#send({
      text,
      types: ledgerTypes,
      ...(values === undefined ? {} : { values: [...values] }),
    });
  }

  /** Runs an author's statement with the application's type parsers; one statement only. */
  async authorQuery(text: string, values: readonly unknown[], options?: object): Promise<Result> {
    this.onStatement?.(text, values);
    return await this.#send({ text, values: [...values], ...options, queryMode: 'extended' });
  }

  /** The same, where columns of the rows are for `taker` and not for the author. */
  async authorRows(text: string, values: readonly unknown[], taker: RowTaker): Promise<Result> {
    this.onStatement?.(text, values);
    this.rowsTaken = 0;
    const counting: RowTaker = {
      columns: (fields) => taker.columns(fields),
      row: (texts) => {
        this.rowsTaken += 1;
        taker.row(texts);
      },
    };
    return await this.#counted(text, () => queryRows(this.client, { text, values }, counting));
  }

  async #send(config: Pg.QueryConfig & { readonly queryMode?: 'extended' }): Promise<Result> {
    const result = await this.#counted(config.text, () => this.client.query(config));
    if (result.command === 'ROLLBACK' && this.transactionStatus() === 'T') {
      await this.#counted(timedAgain, () => this.client.query(timedAgain)).catch(() => undefined);
    }
    return result;
  }

  async #counted(text: string, ask: () => Promise<unknown>): Promise<Result> {
    if (this.#inFlight === 0) this.#bytesBefore = this.bytesRead;
    this.#inFlight += 1;
    try {
      const result = await ask();
      this.answeredAt = performance.now();
      return result as Result;
    } catch (error) {
      hideValues(error, text);
      // pg cuts the connection then, and would tell of that alone.
      if (sayHowLong(error, this.#answerTimeoutMs)) this.lost ??= error;
      throw this.lost instanceof UmzugClusterError ? this.lost : error;
    } finally {
      this.#inFlight -= 1;
    }
  }

  /** Whether the server only replays what another one writes. A pooler may say nothing of it, or what was so once. */
  async isStandby(): Promise<boolean> {
    if (this.#parameters.get('in_hot_standby') === 'off') return false;
    const { rows } = await this.query('select pg_catalog.pg_is_in_recovery() as standby');
    return rows[0]?.['standby'] === true;
  }

  /** A message of any language and kind as this database can store it. */
  storable(message: string): string {
    return storable(withoutSecrets(message), this.#parameters.get('server_encoding'));
  }

  /** `I` idle, `T` in a transaction, `E` in a failed one; null before the first answer. */
  transactionStatus(): string | null {
    return this.client.getTransactionStatus();
  }

  /** Bytes received so far. */
  get bytesRead(): number {
    return streamOf(this.client).bytesRead;
  }

  /** The port of this end; undefined on a local socket. */
  get localPort(): number | undefined {
    return streamOf(this.client).localPort;
  }

  /** The port of the server's end; undefined on a local socket. */
  get remotePort(): number | undefined {
    return streamOf(this.client).remotePort;
  }

  /** True while the connection can be used. */
  get usable(): boolean {
    return this.lost === null;
  }

  #register(): void {
    const { localPort } = this;
    if (localPort === undefined) return;
    Session.ports.add(localPort);
    this.client.once('end', () => Session.ports.delete(localPort));
  }

  /** The process of the server that serves it, as it was told when it connected. */
  get serverPid(): number | null {
    return (this.client as { readonly processID?: number | null }).processID ?? null;
  }

  /** No statement is on its way. */
  get isIdle(): boolean {
    return this.#inFlight === 0;
  }

  /** Cuts the connection at once; the server rolls back what was open. */
  destroy(reason?: Error): void {
    this.lost ??= reason ?? new Error(destroyed);
    streamOf(this.client).destroy();
  }

  /** Ends the connection politely, or cuts it where that takes long; never rejects. */
  async end(): Promise<void> {
    if (!this.usable) return;
    const timer = setTimeout(() => this.destroy(), goodbyeMs);
    await this.client.end().catch(() => undefined);
    clearTimeout(timer);
  }
}

/** Before a URL, an object or PGAPPNAME; a pooler passes it on, unlike other parameters of a session. */
function nameConnection(client: Pg.Client, { use = { lane: 'control' } }: SessionOptions): void {
  const { connectionParameters: parameters } = client as unknown as {
    readonly connectionParameters: { application_name?: string; readonly fallback_application_name?: string };
  };
  const own = parameters.application_name || parameters.fallback_application_name;
  parameters.application_name = applicationName(use, thisProcess(), own);
}

function tooLong(bytes: number): Error {
  const [longest, came] = [constants.MAX_STRING_LENGTH, bytes].map((count) => count.toLocaleString('en-US'));
  return fail('VALUE_REFUSED', {
    message: `a value is longer than a JavaScript string can be (${longest} characters): its row has ${came} bytes`,
    hint: 'leave its column out of select, and change it in SQL only',
  });
}

/** Completes pg's own words for a server that did not answer, by which `core/verdict` knows them; false: others. */
function sayHowLong(error: unknown, ms: number): error is Error {
  if (!(error instanceof Error) || !/^(timeout expired|Query read timeout)$/.test(error.message))
    return false;
  error.message += `: the server did not answer within ${ms / 1_000} s`;
  return true;
}

/** Takes row values out of an error of the server: its message and stack may end in a log or in the ledger. */
function hideValues(error: unknown, text: string): void {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return;
  const { code, message, routine } = error;
  const position = error.position ?? error.internalPosition;
  const shown = withoutValues({ code, message, routine, position, text });
  if (shown === message) return;
  error.message = shown;
  error.stack = (error.stack ?? '').replace(message, () => shown);
}

/** Opens a session, hands it to `work`, and ends it whatever happens; destroys it when `signal` aborts. */
export async function withSession<T>(
  options: SessionOptions,
  work: (session: Session) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const session = await Session.open(options, signal);
  const destroy = (): void => session.destroy();
  signal?.addEventListener('abort', destroy, { once: true });
  try {
    return await work(session);
  } finally {
    signal?.removeEventListener('abort', destroy);
    await session.end();
  }
}
