/** How the names of a folder begin: `20261130055837_`, `2026.11.30T05.58.37.`, `001-`, `Migration20261130055837_`. */
interface Prefix {
  /** Letters before the number, as in MikroORM's `Migration`. */
  readonly lead: string;
  readonly stamp: string;
  readonly separator: string;
  readonly kind: 'date' | 'seconds' | 'milliseconds' | 'number';
}

/**
 * The prefix with which a new name comes after all of these: that of the last one, with the time of `now`, or with the
 * next number. Null: the last one has none. `slug`: what follows it. A day has no next: two names of one day may
 * come in either order.
 */
export function nextPrefix(names: readonly string[], slug: string, now: Date): string | null {
  const last = names.toSorted().at(-1);
  const prefix = last === undefined ? null : prefixOf(last);
  if (last === undefined || prefix === null) return null;
  const { lead, separator, kind } = prefix;
  const written = (stamp: string): string => lead + stamp + separator;
  if (kind === 'number') return written(nextNumber(names, prefix));
  const present = written(stampAt(now, prefix));
  return present + slug > last ? present : written(stampAfter(prefix));
}

// A day, a minute, a second, a millisecond, in digits of YYYYMMDDHHMMSSmmm; the time to the next one.
const units: Readonly<Record<number, number>> = { 8: 0, 12: 60_000, 14: 1_000, 17: 1 };

function prefixOf(name: string): Prefix | null {
  const [, lead = '', numbers, rest = ''] = /^([A-Za-z]*)(\d+(?:[._T-]\d+)*)(.*)$/s.exec(name) ?? [];
  if (numbers === undefined) return null;
  const separatorAfter = (length: number): string =>
    /^Z?[._-]+/.exec(numbers.slice(length) + rest)?.[0] ?? '_';
  // The longest beginning that is a time: a name may continue with a number of its own.
  for (let stamp = numbers; stamp !== ''; stamp = stamp.replace(/(?:^|[._T-])\d+$/, '')) {
    if (dateIn(stamp) !== null) return { lead, stamp, separator: separatorAfter(stamp.length), kind: 'date' };
  }
  const stamp = /^\d+/.exec(numbers)?.[0] ?? '';
  const kind = /^1\d{12}$/.test(stamp) ? 'milliseconds' : /^1\d{9}$/.test(stamp) ? 'seconds' : 'number';
  return { lead, stamp, separator: separatorAfter(stamp.length), kind };
}

/** The time that a stamp writes out, UTC; null: it is none. */
function dateIn(stamp: string): Date | null {
  const digits = stamp.replaceAll(/\D/g, '');
  if (units[digits.length] === undefined || !/^(?:19|20)/.test(digits)) return null;
  const [year, month, day, hour, minute, second, ms] = [0, 4, 6, 8, 10, 12, 14].map((from, index, starts) =>
    Number(digits.slice(from, starts[index + 1]) || 0),
  ) as [number, number, number, number, number, number, number];
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second, ms));
  return digitsOf(date).startsWith(digits) ? date : null;
}

function digitsOf(date: Date): string {
  return date.toISOString().replaceAll(/\D/g, '');
}

function stampAt(time: Date, { stamp, kind }: Prefix): string {
  if (kind === 'milliseconds') return String(time.getTime());
  if (kind === 'seconds') return String(Math.floor(time.getTime() / 1_000));
  const digits = digitsOf(time);
  let at = 0;
  return stamp.replaceAll(/\d/g, () => digits[at++] ?? '0');
}

function stampAfter(prefix: Prefix): string {
  const { stamp } = prefix;
  const date = dateIn(stamp);
  if (date === null) return String(BigInt(stamp) + 1n);
  return stampAt(new Date(date.getTime() + (units[stamp.replaceAll(/\D/g, '').length] ?? 0)), prefix);
}

/** One more than the largest of the folder, as wide as it. */
function nextNumber(names: readonly string[], { lead, stamp }: Prefix): string {
  const all = names
    .map(prefixOf)
    .flatMap((one) => (one?.kind === 'number' && one.lead === lead ? [one] : []));
  const largest = all.map((one) => BigInt(one.stamp)).reduce((a, b) => (a > b ? a : b), BigInt(stamp));
  return String(largest + 1n).padStart(stamp.length, '0');
}
