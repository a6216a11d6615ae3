import { mostListed } from '../../core/values/numbers.ts';
import { isPace, paceReason } from '../../core/size/pace.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import type { RunReading } from '../../ledger/run/controls.ts';
import { type HostSeen, unseenMs } from '../../ledger/look/hosts.ts';
import { olderTransactions } from '../../ledger/look/old-transactions.ts';
import type { Quarantine } from '../../ledger/run/quarantine.ts';
import { type Run, type RunTotals, noTotals } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import { holdersOf } from '../../run/lifecycle/held.ts';
import { describeOld } from '../../run/lifecycle/register.ts';

/** What a status shows of one run. */
export interface FullReading {
  readonly sums: RunTotals;
  readonly reading: RunReading;
  /** Hosts that were seen a moment ago. */
  readonly hosts: readonly HostSeen[];
  /** Milliseconds since anybody was seen working on it, where nobody is; else null. */
  readonly abandonedMs: number | null;
  /** Who has paused or cancelled it, and when; null: nobody, or that is not known. */
  readonly heldBy: string | null;
  /** What it waits for, or null. */
  readonly waiting: string | null;
  /** What holds new chunks back, or null. */
  readonly throttled: string | null;
  readonly quarantine: Awaited<ReturnType<Quarantine['list']>>;
}

/**
 * Reads all that is known of runs, by id. Waits for no lock. Only of those that are running or have quarantined rows, of
 * which there are few, it asks more than what it asks once for all.
 */
export async function readRuns(
  session: Session,
  ledger: Ledger,
  runs: readonly Run[],
): Promise<ReadonlyMap<string, FullReading>> {
  const ids = runs.map(({ id }) => id);
  const sums = await ledger.ranges.totalsOf(ids);
  const readings = await ledger.controls.readAll(ids);
  const holders = await holdersOf(ledger, runs);
  const found = new Map<string, FullReading>();
  for (const run of runs) {
    const reading = readings.get(run.id);
    if (reading === undefined) continue;
    found.set(run.id, {
      ...(await readFully(session, ledger, { run, reading, sums: sums.get(run.id) ?? noTotals })),
      heldBy: holders.get(run.id) ?? null,
    });
  }
  return found;
}

async function readFully(
  session: Session,
  ledger: Ledger,
  { run, reading, sums }: { readonly run: Run; readonly reading: RunReading; readonly sums: RunTotals },
): Promise<Omit<FullReading, 'heldBy'>> {
  const isRunning = run.state === 'running';
  const hosts = isRunning ? await ledger.hosts.list(run.id) : [];
  const seen = hosts.filter(({ seenAgoMs }) => seenAgoMs < unseenMs);
  const abandonedMs = isRunning && seen.length === 0 ? await ledger.hosts.unattendedMs(run.id) : null;
  return {
    sums,
    reading,
    hosts: seen,
    abandonedMs,
    waiting: isRunning ? ((await waitedFor(session, run, sums)) ?? told(seen)) : null,
    throttled: isRunning && abandonedMs === null ? heldBack(reading, seen) : null,
    quarantine:
      sums.quarantined === 0 ? { count: 0, rows: [] } : await ledger.quarantine.list(run.id, mostListed),
  };
}

/** No chunk begins before the transactions end that were writing when the run began. */
async function waitedFor(session: Session, run: Run, sums: RunTotals): Promise<string | null> {
  if (sums.chunks > 0) return null;
  const [oldest] = await olderTransactions(session, run.startXid);
  return oldest === undefined ? null : describeOld(oldest);
}

/** A pace that an operator has set holds at once; of all else hosts tell once a second, a pace last. */
function heldBack({ overrides }: RunReading, hosts: readonly HostSeen[]): string | null {
  const told = hosts.flatMap(({ throttled }) => throttled ?? []);
  const [first = null] = told.filter((reason) => !isPace(reason));
  if (first !== null || overrides.pace === undefined) return first ?? told[0] ?? null;
  return paceReason(overrides.pace);
}

function told(hosts: readonly HostSeen[]): string | null {
  const reasons = new Set(hosts.map(({ waiting }) => waiting));
  const [reason = null] = reasons;
  // One that works is enough.
  return reasons.size === 1 ? reason : null;
}
