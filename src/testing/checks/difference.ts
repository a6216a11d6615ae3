import { counted } from '../../core/values/numbers.ts';
import { stripControls } from '../../core/errors/redact.ts';
import type { Row, Snapshot, TableRows } from '../database/snapshot.ts';

/**
 * Where two snapshots differ, in words: tables, columns and keys, never another value. A value that was
 * generated after the seed is as good as any other one: sequences leave gaps where a transaction is rolled back.
 */

/** What takes the place of a generated value that the seed did not have. */
const fresh = 'generated';

/** Keys that a line names at most, and characters of each. */
const mostKeys = 3;
const longestKey = 80;

/** Lines that a message has at most. */
const mostLines = 12;

/** How `after` differs from `before`, a table a line; null where it does not. */
export function differenceOf(before: Snapshot, after: Snapshot, seed: Snapshot): string | null {
  const known = seededValues(seed);
  const names = [...new Set([...before.tables.keys(), ...after.tables.keys()])];
  const lines = names.flatMap((name) => {
    const [left, right] = [before.tables.get(name), after.tables.get(name)];
    if (left === undefined) return [`${name}: the table is new`];
    if (right === undefined) return [`${name}: the table is gone`];
    return tableDifference(left, right, known).map((line) => `${name}: ${line}`);
  });
  if (lines.length === 0) return null;
  const more = lines.length > mostLines ? [`and ${lines.length - mostLines} more`] : [];
  return [...lines.slice(0, mostLines), ...more].join('\n    ');
}

/** For each generating column, the values that it and what refers to it had in the seed. */
function seededValues(seed: Snapshot): ReadonlyMap<string, ReadonlySet<string | null>> {
  const values = new Map<string, Set<string | null>>();
  for (const { columns, rows } of seed.tables.values()) {
    for (const [index, { generatedBy }] of columns.entries()) {
      if (generatedBy === null) continue;
      const set = values.get(generatedBy) ?? new Set([null]);
      for (const row of rows) set.add(row[index] ?? null);
      values.set(generatedBy, set);
    }
  }
  return values;
}

type Known = ReturnType<typeof seededValues>;

/** The columns in the order of `like`: one that was dropped and is back is the last one; null: they are others. */
function inOrderOf(like: TableRows, { columns, key, rows }: TableRows): TableRows | null {
  const places = like.columns.map(({ name }) => columns.findIndex((column) => column.name === name));
  if (places.length !== columns.length || places.includes(-1)) return null;
  return {
    columns: like.columns,
    key: key.map((place) => places.indexOf(place)).toSorted((one, other) => one - other),
    rows: rows.map((row) => places.map((place) => row[place] ?? null)),
  };
}

function tableDifference(left: TableRows, found: TableRows, known: Known): readonly string[] {
  const columns = left.columns.map(({ name }) => name);
  const right = inOrderOf(left, found);
  if (right === null) return [`its columns changed`];
  const before = byKey(left, known);
  const after = byKey(right, known);
  const lost = [...before.keyed.keys()].filter((key) => !after.keyed.has(key));
  const added = [...after.keyed.keys()].filter((key) => !before.keyed.has(key));
  const keyNames = left.key.map((index) => columns[index] ?? '').join(', ');
  const lines: string[] = [];
  if (lost.length > 0) lines.push(`${counted(lost.length, 'row')} missing: ${named(keyNames, lost)}`);
  if (added.length > 0) lines.push(`${counted(added.length, 'row')} too many: ${named(keyNames, added)}`);
  for (const [index, column] of columns.entries()) {
    const changed = [...before.keyed].flatMap(([key, row]) => {
      const other = after.keyed.get(key);
      return other !== undefined && other[index] !== row[index] ? [key] : [];
    });
    if (changed.length === 0) continue;
    const verb = changed.length === 1 ? 'differs' : 'differ';
    lines.push(`${counted(changed.length, 'row')} ${verb} in ${column}: ${named(keyNames, changed)}`);
  }
  const [fewer, more] = countDifference(before.counted, after.counted);
  if (fewer + more > 0)
    lines.push(`of the rows without a key of the seed, ${fewer} are missing and ${more} are extra`);
  return lines;
}

/** Rows by their key; those without one, or with a fresh one, are counted by all their values. */
function byKey(
  { columns, key, rows }: TableRows,
  known: Known,
): { readonly keyed: Map<string, Row>; readonly counted: Map<string, number> } {
  const keyed = new Map<string, Row>();
  const counted = new Map<string, number>();
  for (const row of rows) {
    const masked = row.map((value, index) => {
      const from = columns[index]?.generatedBy ?? null;
      return from === null || known.get(from)?.has(value) === true ? value : fresh;
    });
    const isNamed = key.length > 0 && key.every((index) => masked[index] === row[index]);
    if (isNamed) {
      keyed.set(JSON.stringify(key.map((index) => row[index])), masked);
    } else {
      const text = JSON.stringify(masked);
      counted.set(text, (counted.get(text) ?? 0) + 1);
    }
  }
  return { keyed, counted };
}

function countDifference(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): readonly [fewer: number, more: number] {
  let [fewer, more] = [0, 0];
  for (const text of new Set([...before.keys(), ...after.keys()])) {
    const change = (after.get(text) ?? 0) - (before.get(text) ?? 0);
    if (change < 0) fewer -= change;
    else more += change;
  }
  return [fewer, more];
}

function named(keyNames: string, keys: readonly string[]): string {
  const shown = keys.slice(0, mostKeys).map((key) => `(${shownKey(JSON.parse(key) as string[])})`);
  return `${keyNames} = ${shown.join(', ')}${keys.length > mostKeys ? ', …' : ''}`;
}

function shownKey(values: readonly string[]): string {
  const text = stripControls(values.join(', ')).replaceAll('\n', ' ');
  return text.length > longestKey ? `${text.slice(0, longestKey)}…` : text;
}
