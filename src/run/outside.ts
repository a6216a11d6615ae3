import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '../errors.ts';
import { Session } from '../postgres/session.ts';
import { inOneTrip, plainSettings } from '../postgres/transaction.ts';
import type { RunEnvironment } from './environment.ts';

/**
 * Whether author code writes through a connection of its own, which no transaction of ours can undo. A write to a
 * row that the sample has locked waits for it; any other is seen by its socket.
 */

/** Local ports of this process's connections, without those of `own`. */
function otherPorts(own: readonly Session[]): ReadonlySet<number> {
  const known = new Set(own.map(({ localPort }) => localPort));
  const ports = socketsOf().flatMap(({ localPort }) => (localPort === undefined ? [] : [localPort]));
  return new Set(ports.filter((port) => !known.has(port)));
}

/** How many connections of this process, other than `session`, lead to the server of `session`. */
export function connectionsBeside(session: Session): number {
  const { remotePort, localPort } = session;
  if (remotePort === undefined) return 0;
  const sockets = socketsOf();
  return sockets.filter((one) => one.remotePort === remotePort && one.localPort !== localPort).length;
}

/** Not in Node's documentation, and there since its beginning; without it nothing is seen. */
function socketsOf(): readonly Socket[] {
  const { _getActiveHandles: handles } = process as { _getActiveHandles?: () => readonly unknown[] };
  return (handles?.call(process) ?? []).filter((handle) => handle instanceof Socket);
}

/** Processes of the server that wait for a lock of process `pid`. */
export async function waitingFor(
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

/**
 * Rejects when a connection of this process waits for a lock of the process `pid` that serves `session`: update
 * waits for itself. Never resolves.
 */
export async function refuseSelfWait(
  session: Session,
  env: RunEnvironment,
  pid: number,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<never> {
  const pause = (): Promise<boolean> => sleep(patienceMs, true, { signal }).catch(() => false);
  if (!(await pause())) return await never();
  const looking = await Session.open(env.session).catch(() => null);
  if (looking === null) return await never();
  try {
    do {
      const waiting = await inOneTrip(looking, plainSettings, () => waitingFor(looking, pid));
      const ports = otherPorts([session, looking]);
      const itself = waiting.find(({ port }) => port !== null && ports.has(port));
      if (itself !== undefined) throw wroteOutside(name, `process ${itself.pid} of the server waits for it`);
    } while (await pause());
  } finally {
    await looking.end();
  }
  return await never();
}

async function never(): Promise<never> {
  return await new Promise<never>(() => undefined);
}

/** The refusal of an `update` that does not keep to its transaction. */
export function wroteOutside(name: string, seen: string): Error {
  return fail('MIGRATION_FAILED', {
    message: `${name}: update wrote outside its transaction`,
    detail: `${seen}; what another connection writes is not undone when its chunk fails, and is written again`,
    hint: 'write through the db that update is given, not through a connection of your own',
  });
}
