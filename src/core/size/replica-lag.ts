import { formatBytes } from '../values/numbers.ts';

/** A replica, as the primary server sees it. */
export interface Replica {
  readonly name: string;
  /** WAL that it has not replayed yet; null: it has not said so far. */
  readonly behindBytes: number | null;
}

/** What is reported about the replica that is further behind than it may be; null where none is. */
export function lagReason(replicas: readonly Replica[], maxLagBytes: number): string | null {
  const behind = ({ behindBytes }: Replica): number => behindBytes ?? 0;
  const [last] = replicas.toSorted((one, other) => behind(other) - behind(one));
  if (last === undefined || behind(last) <= maxLagBytes) return null;
  // Without how far: a reason that changes with every look would be told with every look.
  return `replica "${last.name}": more than ${formatBytes(maxLagBytes)} of WAL behind`;
}
