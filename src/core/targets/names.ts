import { nearest } from '../values/names.ts';

/** What `--targets` says to leave the targets alone and work on the database of the knexfile itself. */
export const withoutTargets = 'none';

const longestName = 130;

/** Why this is no name of a target, as the end of a sentence; null: it is one. It is typed, shown and logged. */
export function unusableName(name: string): string | null {
  if (name === '') return 'is empty';
  if (name === withoutTargets) return `is "${withoutTargets}", which stands for no target at all`;
  if (name.length > longestName) return `has more than ${longestName} characters`;
  // A URL may have a password.
  if (/[:@?=]/.test(name)) return 'has one of : @ ? =, as a URL has';
  return /[\s,*"'`\\\p{C}]/u.test(name) ? 'has a blank, a comma, a quote, a * or a control character' : null;
}

/** The names that a list such as `a,tenant_*` means, in their own order, and the first part of it that means none. */
export function namesMeant(
  list: string,
  names: readonly string[],
): { readonly meant: ReadonlySet<string>; readonly unknown: string | null } {
  const meant = new Set<string>();
  let unknown: string | null = null;
  for (const part of list.split(',').map((one) => one.trim())) {
    const found = names.filter((name) => isMeant(part, name));
    for (const name of found) meant.add(name);
    if (found.length === 0) unknown ??= part;
  }
  return { meant, unknown };
}

/** `*` stands for any text. Without a regular expression: what is typed cannot make it slow. */
function isMeant(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

/** The name that was probably meant by a part of a list; null: none is near. */
export function nearTarget(part: string, names: readonly string[]): string | null {
  return part.includes('*') ? null : nearest(part, names);
}
