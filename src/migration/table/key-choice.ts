import { nearest } from '../../core/values/names.ts';
import { fail } from '../../errors.ts';
import { indexesSql } from './catalog-sql.ts';
import { type KeyColumn, place } from '../key/key.ts';

/** A column of the base table. */
export interface Column extends KeyColumn {
  readonly notNull: boolean;
}

/** Reads rows whose columns are all text. */
export type ReadText = (
  text: string,
  values: readonly unknown[],
) => Promise<readonly Readonly<Record<string, string | null>>[]>;

/** An index, with the columns that it begins with. */
export interface Index {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly primary: boolean;
  /** Why it cannot identify rows; null: it can. */
  readonly defect: string | null;
}

/** The table as messages name it. */
export interface Named {
  readonly oid: string;
  readonly label: string;
}

/**
 * The columns that identify and order the rows, in the order of their index; their place where no index could. Throws
 * SELECT_REFUSED with what to do.
 */
export async function chooseKey(
  read: ReadText,
  table: Named,
  columns: readonly Column[],
  keyOption: readonly string[] | undefined,
): Promise<readonly Column[]> {
  const indexes = await indexesOf(read, table, columns, 'unique');
  const usable = indexes.find(
    ({ columns: those, defect }) => defect === null && those.every(({ notNull }) => notNull),
  );
  const advice = adviceFrom(usable);
  if (keyOption === undefined) {
    if (usable === undefined) return [{ ...place, notNull: true }];
    if (usable.primary) return usable.columns;
    const primary = indexes.find((index) => index.primary);
    const why =
      primary === undefined ? 'it has no primary key' : `its primary key cannot be used: ${primary.defect}`;
    throw noKey(table, why, advice);
  }
  const wanted = keyOption.map((name) => named(table.label, columns, name));
  const nullable = wanted.filter((column) => !column.notNull).map(({ name }) => name);
  if (nullable.length > 0) {
    const why = `nullable: ${nullable.join(', ')}; rows with a null key would never be processed`;
    throw noKey(table, why, advice);
  }
  const covering = indexes.filter(
    (index) =>
      index.columns.length === wanted.length && wanted.every((column) => index.columns.includes(column)),
  );
  const asked = covering.find(({ defect }) => defect === null);
  if (asked !== undefined) return asked.columns;
  const found = covering.map(({ name, defect }) => `unique index "${name}" cannot be used: ${defect ?? ''}`);
  const names = wanted.map(({ name }) => name).join(', ');
  throw noKey(table, found.join('; ') || `no unique index covers exactly (${names})`, advice);
}

/** The indexes of a table: those that are unique, or any. Of one over expressions no more than the columns before them. */
export async function indexesOf(
  read: ReadText,
  { oid }: Named,
  columns: readonly Column[],
  which: 'unique' | 'any',
): Promise<readonly Index[]> {
  return (await read(indexesSql, [oid, which === 'any'])).map((row) => {
    const all = (row['attnums'] ?? '').split(' ').map(Number);
    const attnums = all.slice(0, [...all, 0].indexOf(0));
    return {
      name: row['name'] ?? '',
      columns: attnums.flatMap((attnum) => columns.filter((column) => column.attnum === attnum)),
      primary: row['primary'] === 'true',
      defect: row['defect'] ?? null,
    };
  });
}

/** Names a key that would do, or says how to do without. */
function adviceFrom(usable: Index | undefined): string {
  if (usable === undefined) {
    return 'add a primary key; or leave out options.key: see "My table has no primary key" in docs/tables-without-a-key.md';
  }
  if (usable.primary) return 'leave out options.key: the primary key works';
  const names = usable.columns.map(({ name }) => `'${name}'`).join(', ');
  return `set key: export const options = { key: [${names}] }`;
}

function noKey({ label }: Named, why: string, advice: string): Error {
  return fail('SELECT_REFUSED', {
    message: `table "${label}" needs a NOT NULL unique key`,
    detail: why,
    hint: advice,
  });
}

/** The column of a name. Throws SELECT_REFUSED where there is none. */
export function named(label: string, columns: readonly Column[], name: string): Column {
  const column = columns.find((candidate) => candidate.name === name);
  if (column !== undefined) return column;
  const all = columns.map((candidate) => candidate.name);
  const similar = nearest(name, all);
  throw fail('SELECT_REFUSED', {
    message: `key column "${name}" is not a column of "${label}"`,
    detail: `its columns: ${all.join(', ')}`,
    hint: similar === null ? undefined : `did you mean "${similar}"?`,
  });
}

const floats: ReadonlySet<string> = new Set(['"pg_catalog"."float4"', '"pg_catalog"."float8"']);

/** What an author should know of a key that can be used. */
export function keyWarnings(key: readonly KeyColumn[], file: string): readonly string[] {
  return key
    .filter(({ type }) => floats.has(type))
    .map(
      ({ name }) =>
        `${file}: the key column "${name}" is a floating-point number: a recomputed value may be a different key`,
    );
}
