import { readFileSync, readdirSync } from 'node:fs';

/** The most memory that each process of a group had at a time, MB, by pid; read from /proc until `stop`. */
export function watchMemory(group: number): { readonly stop: () => ReadonlyMap<number, number> } {
  const peaks = new Map<number, number>();
  const look = (): void => {
    for (const pid of readdirSync('/proc').map(Number)) {
      if (!Number.isInteger(pid) || !isOfGroup(pid, group)) continue;
      const peak = peakOf(pid);
      if (peak !== null) peaks.set(pid, peak);
    }
  };
  const timer = setInterval(look, 50);
  return {
    stop: () => {
      clearInterval(timer);
      return peaks;
    },
  };
}

function isOfGroup(pid: number, group: number): boolean {
  const stat = read(`/proc/${pid}/stat`);
  // Behind the name, which may hold anything: state, parent, group.
  return stat !== null && Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) === group;
}

function peakOf(pid: number): number | null {
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
  return peak === undefined ? null : Number(peak) / 1_024;
}

/** Null where the process has gone in between. */
function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
