import { formatDuration } from '../config/duration.ts';
import type { GaugeName } from '../config/settings.ts';
import { formatBytes, grouped } from '../values/numbers.ts';
import type { Limit } from './limits.ts';
import type { Signal } from './signal.ts';

/** One reading: of a replica, a slot, a table, or of the server as a whole. */
export interface GaugeReading {
  readonly subject: string | null;
  readonly value: number;
  /** What else reasons say, which may change with every look: a pid. */
  readonly note?: string | undefined;
}

interface Kind {
  /** What reasons call it. */
  readonly what: string;
  readonly show: (value: number) => string;
  /** The run adds to it: near the limit it slows down. */
  readonly isLoad: boolean;
  /** Beyond the limit no chunk begins; else the run is only slowed down, since to wait would change nothing. */
  readonly holds: boolean;
  /** Least instead of most. */
  readonly isLeast?: true;
  /** What was there when the run began is none of its doing, and a default leaves it out of account. */
  readonly isGrowth?: true;
}

const ofLoad = { isLoad: true, holds: true } as const;

const kinds: Readonly<Record<GaugeName, Kind>> = {
  maxLockWaiters: { what: 'lock waiters', show: grouped, isLoad: false, holds: true },
  maxLagBytes: { what: 'replica lag', show: formatBytes, ...ofLoad, isGrowth: true },
  maxLagMs: { what: 'replica lag', show: formatDuration, ...ofLoad },
  maxSlotBytes: { what: 'WAL kept for slot', show: formatBytes, ...ofLoad, isGrowth: true },
  maxArchiveBytes: { what: 'WAL to archive', show: formatBytes, ...ofLoad, isGrowth: true },
  maxWalPerSecond: { what: 'WAL', show: (value) => `${formatBytes(value)}/s`, ...ofLoad },
  maxDeadTuples: { what: 'dead tuples', show: grouped, ...ofLoad },
  maxActiveSessions: { what: 'active sessions', show: grouped, ...ofLoad },
  maxTransactionAgeMs: { what: 'oldest transaction', show: formatDuration, isLoad: false, holds: true },
  minFreeConnections: { what: 'free connections', show: grouped, isLoad: true, holds: false, isLeast: true },
};

// A hold ends only well below the limit, from where on the run is slowed down: it would begin again at once otherwise.
const calmShare = 0.8;

/** What reasons call a limit's signal. */
export function nameOf(gauge: GaugeName): string {
  return kinds[gauge].what;
}

/** Compares readings of one signal with its limit; remembers which of its subjects are beyond it. */
export class Gauge {
  readonly #kind: Kind;
  readonly #beyond = new Set<string>();
  readonly #least = new Map<string, number>();

  constructor(name: GaugeName) {
    this.#kind = kinds[name];
  }

  /** What the worst of the readings asks for; null: nothing. */
  see(readings: readonly GaugeReading[], limit: Limit): Signal | null {
    const subjects = new Set(readings.map(({ subject }) => subject ?? ''));
    for (const key of this.#beyond) if (!subjects.has(key)) this.#beyond.delete(key);
    const found = readings.flatMap((reading) => this.#seen(reading, limit) ?? []);
    const rank = ({ signal }: Ranked): number => ['slow', 'hold', 'abort'].indexOf(signal.response);
    const [worst] = found.toSorted((one, other) => rank(other) - rank(one) || other.excess - one.excess);
    return worst?.signal ?? null;
  }

  #seen({ subject, value, note }: GaugeReading, limit: Limit): Ranked | null {
    const { what, isLoad, holds, isLeast = false } = this.#kind;
    const key = subject ?? '';
    const before = this.#before(key, value, limit);
    const bound = before + limit.value;
    const calm = before + (isLeast ? limit.value / calmShare : limit.value * calmShare);
    const isPast = (most: number): boolean => (isLeast ? value < most : value > most);
    const isCritical = limit.critical !== null && isPast(limit.critical);
    const isBeyond = isPast(bound) || (this.#beyond.has(key) && isPast(calm));
    if (isBeyond) this.#beyond.add(key);
    else this.#beyond.delete(key);
    if (!isCritical && !isBeyond && !(isLoad && isPast(calm))) return null;
    const compared = isCritical ? Number(limit.critical) : isPast(bound) ? bound : calm;
    const response = isCritical ? 'abort' : isBeyond && holds ? 'hold' : 'slow';
    const inBrackets = (about: string | null): string => (about === null ? '' : ` (${about})`);
    const [shown, most] = [value, compared].map(this.#kind.show);
    const text = `${what} ${shown} ${isLeast ? '<' : '>'} ${most}${inBrackets(note ?? subject)}`;
    const excess = isLeast ? bound / Math.max(value, 1) : value / Math.max(bound, 1);
    return { excess, signal: { kind: `${what}${inBrackets(subject)}`, text, response, isLoad } };
  }

  /** What a default leaves out of account: the least that was seen, which is what others have left. */
  #before(key: string, value: number, { isAsked }: Limit): number {
    if (isAsked || this.#kind.isGrowth !== true) return 0;
    const least = Math.min(this.#least.get(key) ?? value, value);
    this.#least.set(key, least);
    return least;
  }
}

interface Ranked {
  readonly excess: number;
  readonly signal: Signal;
}
