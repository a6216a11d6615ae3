import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '../../errors.ts';
import { Session, withSession } from '../../postgres/session.ts';
import { inOneTrip, plainSettings } from '../../postgres/transaction.ts';
import type { Logger } from '../../logger.ts';
import type { RunEnvironment } from './environment.ts';

/**
 * Whether author code writes through a connection of its own, which no transaction of ours can undo. A write to a
 * row that the sample has locked waits for it; any other is seen by its socket.
 */

/** The sockets of this process that lead to the server of `session` and are none of ours. */
export function socketsBeside({ remotePort }: Session): readonly Socket[] {
  if (remotePort === undefined) return [];
  return socketsOf().filter(
    (one) =>
      one.remotePort === remotePort &&
      one.localPort !== undefined &&
      !Session.sockets.has(one) &&
      !Session.ports.has(one.localPort),
  );
}

/** How many connections of this process, other than our own, lead to the server of `session`. */
export function connectionsBeside(session: Session): number {
  return socketsBeside(session).length;
}

/** Not in Node's documentation, and there since its beginning; without it nothing is seen. */
function socketsOf(): readonly Socket[] {
  const { _getActiveHandles: handles } = process as { _getActiveHandles?: () => readonly unknown[] };
  return (handles?.call(process) ?? []).filter((handle) => handle instanceof Socket);
}

/** Processes of the server that wait for a lock of process `pid`. */
async function waitingFor(
  session: Session,
  pid: number,
): Promise<readonly { readonly pid: number; readonly port: number | null }[]> {
  const { rows } = await session.query(
    `select a.pid, a.client_port as port from pg_catalog.pg_stat_activity as a
     where a.wait_event_type = 'Lock' and $1::int4 = any (pg_catalog.pg_blocking_pids(a.pid))`,
    [pid],
  );
  return rows.map((row) => ({ pid: Number(row['pid']), port: row['port'] as number | null }));
}

// An update of a sample is done within this; one that takes longer is looked at.
const patienceMs = 1_000;

// In a run the other connection may be one of an application around it, which waits for its turn.
const looksInRun = 4;

/**
 * Rejects when a connection of this process waits for a lock of `session`, which has nothing to do in the meantime: update
 * waits for itself. Never resolves.
 */
export async function refuseSelfWait(
  session: Session,
  env: RunEnvironment,
  {
    name,
    isSample,
    signal,
  }: { readonly name: string; readonly isSample: boolean; readonly signal: AbortSignal },
): Promise<never> {
  const pause = (): Promise<boolean> => sleep(patienceMs, true, { signal }).catch(() => false);
  let looks = 0;
  while (await pause()) {
    const own = session.isIdle ? await waitingBeside(session, env) : null;
    looks = own === null ? 0 : looks + 1;
    if (own !== null && (isSample || looks === looksInRun)) throw waitsOutside(name, own);
  }
  return await new Promise<never>(() => undefined);
}

/** Throws where a connection beside `session` waits for what it has locked. */
export async function refuseWaitingBeside(
  session: Session,
  env: RunEnvironment,
  name: string,
): Promise<void> {
  const own = await waitingBeside(session, env);
  if (own !== null) throw waitsOutside(name, own);
}

function waitsOutside(name: string, pid: number): Error {
  return wroteOutside(
    name,
    `process ${pid} of the server, a connection of this process, waits for its chunk`,
  );
}

/** The server's process of a connection beside `session` that waits for it; null: none does, or nobody knows. */
async function waitingBeside(session: Session, env: RunEnvironment): Promise<number | null> {
  const ports = new Set(socketsBeside(session).map(({ localPort }) => localPort ?? null));
  const pid = session.serverPid;
  if (ports.size === 0 || pid === null) return null;
  const waiting = await withSession({ ...env.session, use: { lane: 'watch' } }, (looking) =>
    inOneTrip(looking, plainSettings, () => waitingFor(looking, pid)),
  ).catch(() => []);
  return waiting.find(({ port }) => port !== null && ports.has(port))?.pid ?? null;
}

// What certainly writes, and what may have written: a transaction that is over does not say, nor does one that locks.
const writing =
  '^\\s*(insert|update|delete|merge|copy\\M.*\\mfrom|with\\M.*\\m(insert\\s+into|delete\\s+from|merge\\s+into|update\\s.*\\sset))\\M';
// Strings and comments say nothing of what a statement does.
const silent = "'[^']*'|--[^\\n]*|/[*]([^*]|[*]+[^*/])*[*]+/";
const ending = '^\\s*(commit|end)\\M';

/** Who looks for writes beside a chunk. */
interface Looking {
  readonly name: string;
  readonly env: RunEnvironment;
  readonly logger: Logger;
}

/**
 * Whether connections of this process that are none of ours write while `update` runs. In a process of our own, one
 * that was opened since its first update is author code's. Any other may be the application's, or that of a
 * module which writes by itself: that is reported and not refused. Sees nothing that the role may not see, or that goes
 * through a pooler.
 */
export class WritesBeside {
  #before: ReadonlySet<number | undefined> | null = null;
  #isTold = false;

  /** Before an update of this process. */
  begin(session: Session): void {
    this.#before ??= new Set(socketsBeside(session).map(({ localPort }) => localPort));
  }

  /** After it, in its transaction: throws where it has certainly written through a connection of its own. */
  async look(session: Session, { name, env, logger }: Looking): Promise<void> {
    if (this.#isTold && !env.isOwnProcess) return;
    const ports = socketsBeside(session).map(({ localPort }) => localPort);
    if (ports.length === 0) return;
    const { rows } = await session.query(
      `select pid, client_port as port, application_name as app, stripped operator(pg_catalog.~*) $2 as writes
       from pg_catalog.pg_stat_activity,
         lateral (select pg_catalog.regexp_replace(query, $4, ' ', 'g')) as text (stripped)
       where client_port operator(pg_catalog.=) any ($1::pg_catalog.int4[])
         and client_addr operator(pg_catalog.=) pg_catalog.inet_client_addr()
         and query_start operator(pg_catalog.>=) pg_catalog.now()
         and (stripped operator(pg_catalog.~*) $2 or stripped operator(pg_catalog.~*) $3 or backend_xid is not null)`,
      [ports, writing, ending, silent],
    );
    const isOwn = (port: unknown): boolean => env.isOwnProcess && this.#before?.has(Number(port)) === false;
    const own = rows.find((row) => row['writes'] === true && isOwn(row['port']));
    if (own !== undefined) {
      const pid = String(own['pid']);
      throw wroteOutside(
        name,
        `process ${pid} of the server, a connection of this process, wrote during the chunk`,
      );
    }
    const [seen] = rows;
    if (seen === undefined || this.#isTold) return;
    this.#isTold = true;
    const [backend, application] = [Number(seen['pid']), String(seen['app'])];
    logger.warn(
      { event: 'update.outside', migration: name, backend, application },
      `${name}: another connection of this process (process ${backend} of the server, application_name "${application}") seems to have written while update ran: if update uses it, its writes are outside of the chunk's transaction, and may happen twice; write through the db that update is given`,
    );
  }
}

/** The refusal of an `update` that does not keep to its transaction. */
export function wroteOutside(name: string, seen: string): Error {
  return fail('MIGRATION_FAILED', {
    message: `${name}: update wrote outside its transaction`,
    detail: `${seen}; if the chunk fails, what another connection wrote is not undone, and is written again`,
    hint: 'write through the db passed to update, not through a connection of your own',
  });
}
