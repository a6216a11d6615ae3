import { type GaugeName, type LimitName, type Tuning, limitNames } from '../config/settings.ts';
import type { Overrides } from '../config/steering.ts';

/** A limit as it holds now. */
export interface Limit {
  readonly value: number;
  /** Somebody has asked for it; else it is a default, which never blocks where it cannot be read. */
  readonly isAsked: boolean;
  /** Beyond this the run is stopped; null: it never is. */
  readonly critical: number | null;
}

/** Limits that are off are missing. */
export type Limits = Readonly<Partial<Record<LimitName, Limit>>>;

/** What the knexfile, the environment or a flag has asked for. */
export interface AskedLimits {
  readonly asked: readonly LimitName[];
  readonly critical: Readonly<Partial<Record<GaugeName, number>>>;
}

/** The limits of a run: an operator's word over the configuration, of which `fullSpeed` leaves nothing. */
export function limitsOf(
  tuning: Pick<Tuning, LimitName | 'fullSpeed'>,
  { asked, critical }: AskedLimits,
  overrides: Overrides,
): Limits {
  const ends: Readonly<Partial<Record<string, number>>> = tuning.fullSpeed ? {} : critical;
  const found = limitNames.flatMap((name): [LimitName, Limit][] => {
    const set = overrides[name];
    const value = set === undefined ? (tuning.fullSpeed ? null : tuning[name]) : set;
    const isAsked = set !== undefined || asked.includes(name);
    return value === null ? [] : [[name, { value, isAsked, critical: ends[name] ?? null }]];
  });
  return Object.fromEntries(found);
}
