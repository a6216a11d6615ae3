import type { TargetState } from '../core/targets/outcome.ts';
import { stateAfter } from '../core/targets/outcome.ts';
import { type ErrorCode, UmzugClusterError } from '../errors.ts';
import type { Target } from './resolve.ts';

/** How several targets are gone through. */
export interface PoolOptions {
  readonly atOnce: number;
  /** So many come first, and the others only if all of these succeed; 0: all begin alike. */
  readonly first: number;
  /** After one that fails, none begins any more. */
  readonly failFast: boolean;
  /** Aborts when none is to begin any more. */
  readonly signal: AbortSignal;
}

/** What became of one target. */
export interface TargetEnd<T> {
  readonly target: Target;
  readonly state: TargetState;
  /** Null unless it is done. */
  readonly value: T | null;
  /** What it failed for, or what stopped it. */
  readonly error: unknown;
}

/** Whoever is told how it goes. */
export interface Watching {
  readonly began: (target: string) => void;
  readonly ended: (end: TargetEnd<unknown>) => void;
}

/** Does `work` in each target, several at a time; in the order of the targets, what became of each. */
export async function overTargets<T>(
  targets: readonly Target[],
  options: PoolOptions,
  work: (target: Target) => Promise<T>,
  watching: Watching | null = null,
): Promise<readonly TargetEnd<T>[]> {
  const ends = new Map<Target, TargetEnd<T>>();
  const isOver = (): boolean =>
    options.signal.aborted || (options.failFast && [...ends.values()].some(({ state }) => state !== 'done'));
  const goThrough = async (some: readonly Target[]): Promise<void> => {
    const left = some.values();
    const lane = async (): Promise<void> => {
      for (const target of left) {
        if (isOver()) return;
        watching?.began(target.name);
        const end = await endOf(target, work);
        ends.set(target, end);
        watching?.ended(end);
      }
    };
    await Promise.all(Array.from({ length: Math.min(options.atOnce, some.length) }, lane));
  };
  const canaries = targets.slice(0, options.first);
  await goThrough(canaries);
  if (canaries.every((target) => ends.get(target)?.state === 'done')) {
    await goThrough(targets.slice(canaries.length));
  }
  return targets.map((target) => ends.get(target) ?? { target, state: 'skipped', value: null, error: null });
}

async function endOf<T>(target: Target, work: (target: Target) => Promise<T>): Promise<TargetEnd<T>> {
  try {
    return { target, state: 'done', value: await work(target), error: null };
  } catch (error) {
    return { target, state: stateAfter(codeIn(error)), value: null, error };
  }
}

/** The code of anything that was thrown. */
export function codeIn(error: unknown): ErrorCode {
  return error instanceof UmzugClusterError ? error.code : 'INTERNAL';
}
