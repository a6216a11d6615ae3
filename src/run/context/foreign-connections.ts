import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '../../errors.ts';
import { Session, withSession } from '../../postgres/session.ts';
import { inOneTrip, plainSettings } from '../../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';

/**
 * Whether author code writes through a connection of its own, which no transaction of ours can undo. A write to a
 * row that the sample has locked waits for it; any other is seen by its socket.
 */

/** The sockets of this process that lead to the server of `session` and are none of ours. */
function socketsBeside({ remotePort }: Session): readonly Socket[] {
  if (remotePort === undefined) return [];
  return socketsOf().filter(
    (one) =>
      one.remotePort === remotePort && one.localPort !== undefined && !Session.ports.has(one.localPort),
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
 * Rejects when a connection of this process waits for a lock of `session`, which has nothing to do meanwhile: update
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
  const waiting = await withSession(env.session, (looking) =>
    inOneTrip(looking, plainSettings, () => waitingFor(looking, pid)),
  ).catch(() => []);
  return waiting.find(({ port }) => port !== null && ports.has(port))?.pid ?? null;
}

/**
 * Throws where a connection beside `session` has sent a statement that writes since its transaction began. Says nothing
 * of what the role may not see, or what goes through a pooler.
 */
export async function refuseWritesBeside(session: Session, name: string): Promise<void> {
  const ports = socketsBeside(session).map(({ localPort }) => localPort);
  if (ports.length === 0) return;
  const { rows } = await session.query(
    `select pid from pg_catalog.pg_stat_activity
     where client_port operator(pg_catalog.=) any ($1::pg_catalog.int4[])
       and query_start operator(pg_catalog.>=) pg_catalog.now()
       and query operator(pg_catalog.~*) '^\\s*(insert|update|delete|merge|copy|with|commit)\\M'`,
    [ports],
  );
  const pid = rows[0]?.['pid'];
  if (pid === undefined) return;
  throw wroteOutside(
    name,
    `process ${String(pid)} of the server, a connection of this process, wrote during the chunk`,
  );
}

/** The refusal of an `update` that does not keep to its transaction. */
export function wroteOutside(name: string, seen: string): Error {
  return fail('MIGRATION_FAILED', {
    message: `${name}: update wrote outside its transaction`,
    detail: `${seen}; if the chunk fails, what another connection wrote is not undone, and is written again`,
    hint: 'write through the db passed to update, not through a connection of your own',
  });
}
