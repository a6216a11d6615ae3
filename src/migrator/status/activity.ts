import type { Run, RunTotals } from '../../ledger/run/rows.ts';
import type { FullReading } from './run-reading.ts';

/** Who works on a run, and what holds it up, as `status --json` prints it. */
export interface Activity {
  readonly workers: readonly { readonly host: string; readonly pid: number; readonly range: number }[];
  /** Hosts that work on it, as far as they have told a moment ago, and how many processes of each. */
  readonly hosts: readonly { readonly host: string; readonly pid: number; readonly workers: number }[];
  /** Seconds since anybody was seen working on a migration that has started, where nobody is; else null. */
  readonly abandonedSeconds: number | null;
  /** Who has paused or cancelled it, and when: `by anna on host-a at …`; null: nobody, or that is not known. */
  readonly heldBy: string | null;
  /** What holds new chunks back, or null. */
  readonly throttled: string | null;
  /** What it waits for, or null. */
  readonly waiting: string | null;
}

/** Who works on a run, and what holds it up. `down`: its rollback, where one is started. */
export function attendanceOf(read: FullReading | undefined, down: Run | null | undefined): Activity {
  const isAttended = read?.reading.state === 'running' && read.abandonedMs === null;
  return {
    hosts: (read?.hosts ?? []).map(({ process, workers }) => ({ ...partsOf(process), workers })),
    workers: isAttended ? workersOf(read.sums) : [],
    abandonedSeconds:
      read === undefined || read.abandonedMs === null ? null : Math.round(read.abandonedMs / 1_000),
    heldBy: read?.heldBy ?? null,
    throttled: read?.throttled ?? null,
    waiting: down?.state === 'paused' ? waitingBack(down, read) : (read?.waiting ?? null),
  };
}

function waitingBack({ name }: Run, read: FullReading | undefined): string {
  const by = read?.heldBy == null ? '' : ` ${read.heldBy}`;
  return `somebody to resume the rollback, which was paused${by}: umzug-cluster resume ${name}`;
}

/** Every worker once, with the range that it touched last: under a pace it claims another with every chunk. */
function workersOf({ workers }: RunTotals): Activity['workers'] {
  const latest = new Map(workers.map(({ worker, no }) => [worker, no]));
  return [...latest].map(([worker, range]) => ({ ...partsOf(processOf(worker)), range }));
}

/** `host:pid/token` of a worker, which the ledger names `host:pid/token:lane`; a host's name may have colons. */
export function processOf(worker: string): string {
  return worker.slice(0, worker.lastIndexOf(':'));
}

function partsOf(process: string): { readonly host: string; readonly pid: number } {
  const at = process.lastIndexOf(':');
  return { host: process.slice(0, at), pid: Number.parseInt(process.slice(at + 1), 10) };
}

/** `host:pid` of a process. */
export function withoutToken(process: string): string {
  return process.slice(0, process.lastIndexOf('/'));
}
