import { randomBytes } from 'node:crypto';
import os from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { Knex } from 'knex';
import type { Config } from '../../config/config.ts';
import { mostLanes } from '../../core/size/lanes.ts';
import type { Tuning } from '../../core/config/settings.ts';
import { type Limits, limitsOf } from '../../core/throttle/limits.ts';
import { fail } from '../../errors.ts';
import { type Tell, tellNobody } from '../../notify/happening.ts';
import { Ledger } from '../../ledger/ledger.ts';
import { ledgerNames } from '../../ledger/schema.ts';
import type { SessionOptions } from '../../postgres/client-config.ts';
import { EarlySession } from '../../postgres/early-session.ts';
import type { Session } from '../../postgres/session.ts';
import { oldestServer, unsupported } from '../../postgres/supported.ts';
import { type ServerFacts, dispensable, hurried, pinned, unhurried } from '../../postgres/transaction.ts';
import { ThrottleGate } from '../../throttle/gate.ts';

/** What every step of a run needs and none of them changes. One per process. */
export interface RunEnvironment {
  /** The ledger over a session. */
  readonly ledger: (session: Session) => Ledger;
  readonly ledgerSchema: string;
  readonly tuning: Tuning;
  readonly knexConfig: Knex.Config;
  readonly searchPath: readonly string[] | null;
  /** Of several targets, the schema that is this one, whose rows alone are migrated here; null: a whole database is. */
  readonly tenantSchema: string | null;
  readonly session: SessionOptions;
  /** The connection of the first lane, where it is made while the run is planned. */
  readonly early: EarlySession;
  /** The server returns what a row was before an update, beside what it is. */
  readonly returnsOld: boolean;
  /** The statement that pins the settings of each transaction. */
  readonly pinned: string;
  /** The statement that lifts the time limit of a whole transaction. */
  readonly unhurried: string;
  /** The statement that sets it again. */
  readonly hurried: string;
  /**
   * `host:pid/token`, what the ledger shows as a range's worker, before the lane's number. Two containers may have the
   * same host name and the same pid, which mostly is 1: the token, which a command shares with its workers, tells them
   * apart.
   */
  readonly process: string;
  readonly token: string;
  /** The limits of the throttle, as configured. */
  readonly limits: Limits;
  /** What lanes ask before each chunk. */
  readonly throttle: ThrottleGate;
  /** The process serves one command and nothing else: it is not an application's. */
  readonly isOwnProcess: boolean;
  /** Who asks for it, where that is not the user of the process; null: the user of the process. */
  readonly user: string | null;
  /** Is told what becomes of migrations. */
  readonly tell: Tell;
}

/** The time beyond the statement timeout after which a silent server is abandoned. */
const answerMarginMs = 5_000;

/** How sessions of this configuration are opened. */
export function sessionOptions(config: Config): SessionOptions {
  if (config.database.kind !== 'connection') {
    throw fail('INTERNAL', { message: 'the embedded server must be started before a session is opened' });
  }
  return {
    connection: config.database.connection,
    connectTimeoutMs: config.tuning.connectTimeoutMs,
    answerTimeoutMs: config.tuning.statementTimeoutMs + answerMarginMs,
  };
}

/** `host:pid/token`: a process of a command on this host; in a container every one may have the same id. */
export function processName(pid: number, token: string): string {
  return `${os.hostname()}:${pid}/${token}`;
}

/** Makes the environment once the server has said what it is. */
export function makeEnvironment(
  config: Config,
  server: ServerFacts,
  {
    isOwnProcess = false,
    token = randomBytes(4).toString('hex'),
    tell = tellNobody,
    user = null,
    throttle = new ThrottleGate(),
  }: {
    readonly isOwnProcess?: boolean;
    readonly token?: string;
    readonly tell?: Tell | undefined;
    readonly user?: string | null;
    readonly throttle?: ThrottleGate;
  } = {},
): RunEnvironment {
  const session = sessionOptions(config);
  const settings = pinned(config.tuning, server);
  const names = ledgerNames(config.ledgerSchema);
  return {
    ledger: (on) => new Ledger(on, names, tell),
    ledgerSchema: config.ledgerSchema,
    tuning: { ...config.tuning, maxBytes: withinHeap(config.tuning) },
    knexConfig: config.knexConfig,
    searchPath: config.searchPath,
    tenantSchema: config.target?.schema ?? null,
    session,
    early: new EarlySession(session),
    returnsOld: server.versionNum >= 180_000,
    pinned: settings,
    unhurried: unhurried(server),
    hurried: hurried(config.tuning, server),
    process: processName(process.pid, token),
    token,
    limits: limitsOf(config.tuning, config.throttle, {}),
    throttle,
    isOwnProcess,
    user,
    tell,
  };
}

/** What an event of the history says of whoever asked for it. */
export function byUser({ user }: RunEnvironment): { readonly user?: string } {
  return user === null ? {} : { user };
}

// A parsed document takes several times its text, and update makes another of it.
const heapPerByte = 8;

/** The chunks of all lanes together stay within the heap that Node was given. */
function withinHeap({ maxBytes, lanes }: Tuning): number {
  const { heap_size_limit: heap } = getHeapStatistics();
  return Math.min(maxBytes, Math.floor(heap / heapPerByte / (lanes ?? mostLanes)));
}

/** Asks the server for its version and platform; refuses what is too old, by name. */
export async function readServer(session: Session): Promise<ServerFacts> {
  const result = await session.query(
    `select pg_catalog.current_setting('server_version_num')::integer as num, pg_catalog.version() as version,
            array(select name from pg_catalog.unnest($1::pg_catalog.text[]) as name
                  where pg_catalog.current_setting(name, true) is null) as lacks`,
    [dispensable],
  );
  const { num, version, lacks } = result.rows[0] as { num: number; version: string; lacks: string[] };
  if (num < oldestServer || !version.startsWith('PostgreSQL')) {
    throw unsupported(version.split(' ').slice(0, 2).join(' '));
  }
  return { versionNum: num, linux: version.includes('linux'), lacks };
}
