import { grouped } from '../values/numbers.ts';
import { type Tuning, limitNames, settings } from './settings.ts';

/** The settings that an operator may change while a run is under way, on all its hosts at once. */
export const steerable = ['chunkSize', 'targetMs', 'workers', 'pace', ...limitNames] as const;

export type Steerable = (typeof steerable)[number];

/**
 * What `set` has written for a run. A key that is missing is as each host has configured it; null is off:
 * a chunk size that adapts, no pace, no limit.
 */
export type Overrides = Readonly<Partial<Record<Steerable, number | null>>>;

/** What steers a run at this moment. */
export interface Steering {
  /** Fixed number of rows per chunk, or null: the size adapts. */
  readonly chunkSize: number | null;
  readonly targetMs: number;
  /** Working processes of each host. */
  readonly workers: number;
  /** Most rows per second of the whole run, over all hosts; null: as fast as it goes. */
  readonly pace: number | null;
}

/** Reads what the ledger holds; what is no number is passed over. */
export function parseOverrides(value: unknown): Overrides {
  if (typeof value !== 'object' || value === null) return {};
  const stored = value as Readonly<Record<string, unknown>>;
  const found = steerable.flatMap((name) => {
    const one = stored[name];
    return one === null || (typeof one === 'number' && Number.isFinite(one)) ? [[name, one] as const] : [];
  });
  return Object.fromEntries(found);
}

/** An operator's word over the host's configuration over the migration file, but for the file's own target time. */
export function steer(
  tuning: Pick<Tuning, keyof Steering>,
  file: { readonly chunkSize?: number | undefined; readonly targetMs?: number | undefined },
  overrides: Overrides,
): Steering {
  const { chunkSize, targetMs, workers, pace } = overrides;
  return {
    chunkSize: chunkSize === undefined ? (tuning.chunkSize ?? file.chunkSize ?? null) : chunkSize,
    targetMs: targetMs ?? file.targetMs ?? tuning.targetMs,
    workers: workers ?? tuning.workers,
    pace: pace === undefined ? tuning.pace : pace,
  };
}

/** `chunkSize 500 rows, pace 2,000 rows/s` */
export function describeOverrides(overrides: Overrides): string {
  const parts = steerable.flatMap((name) => {
    const value = overrides[name];
    if (value === undefined) return [];
    const unit = settings.find((setting) => setting.name === name)?.unit ?? '';
    return [`${name} ${value === null ? 'off' : `${grouped(value)} ${unit}`}`];
  });
  return parts.length === 0 ? 'each host uses its own configuration' : parts.join(', ');
}
