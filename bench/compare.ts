import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';

/** One way of doing the work; all are run in turn, several times. */
export interface Contestant {
  readonly name: string;
  /** Puts everything back before each of its turns; not timed. */
  readonly prepare: () => Promise<void>;
  /** The turn, timed as a whole. */
  readonly run: () => Promise<void>;
  /** Checks the result after each turn; not timed. */
  readonly check: () => Promise<void>;
}

export interface Timing {
  readonly name: string;
  /** Milliseconds, one for each round. */
  readonly times: readonly number[];
}

/** Runs all contestants in turn, `rounds` times, each round in another order: what drifts hits all alike. */
export async function compare(
  contestants: readonly Contestant[],
  rounds: number,
  say: (line: string) => void,
): Promise<Timing[]> {
  const times = contestants.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const place = (turn + round) % contestants.length;
      const contestant = contestants[place] as Contestant;
      await contestant.prepare();
      const startedAt = performance.now();
      await contestant.run();
      const took = performance.now() - startedAt;
      await contestant.check();
      times[place]?.push(took);
      say(`round ${round + 1}/${rounds}  ${contestant.name}: ${took.toFixed(0)} ms`);
    }
  }
  return contestants.map(({ name }, place) => ({ name, times: times[place] ?? [] }));
}

/** The value below which a share `p` (0 to 1) of the values lies, between the two nearest. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * p;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  const high = sorted[Math.ceil(place)] ?? Number.NaN;
  return low + (high - low) * (place - Math.floor(place));
}

/** The median of a contestant's time over another's, round by round. */
export function ratio(one: Timing, other: Timing): { median: number; low: number; high: number } {
  const ratios = one.times.map((time, round) => time / (other.times[round] ?? Number.NaN));
  return { median: quantile(ratios, 0.5), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75) };
}

/** Runs a program to its end; throws with its output where it fails. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: Readonly<Record<string, string>>;
    /** Is told the pid, which is that of a process group too. */
    readonly onStart?: (pid: number) => void;
  } = {},
): Promise<string> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: options.onStart !== undefined,
  });
  if (child.pid !== undefined) options.onStart?.(child.pid);
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} exited with ${code}:\n${output}${errors}`);
  return output;
}
