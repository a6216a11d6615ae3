import { quote } from '../../core/values/quote.ts';
import { rowsUpdated } from '../../migration/key/queries.ts';
import type { BaseTable, Key } from '../../migration/key/key.ts';
import type { Session } from '../../postgres/session.ts';

/** What rows of the base table hold at one moment. */
export interface Images {
  readonly columns: readonly string[];
  /** By `idOf` the row's key. A row that is gone has no image. */
  readonly rows: ReadonlyMap<string, RowImage>;
}

export interface RowImage {
  /** The start of each column's text; null: SQL null. */
  readonly shown: readonly (string | null)[];
  /** A fingerprint of each column's whole text. */
  readonly prints: readonly (string | null)[];
}

/** A key as a map's key, with a number from its second row on. */
function idOf(key: Key, seen: Map<string, number>): string {
  const id = JSON.stringify(key);
  const before = seen.get(id) ?? 0;
  seen.set(id, before + 1);
  return before === 0 ? id : `${id} ${before}`;
}

// Enough of a value to see what became of it.
const shownCharacters = 60;

/** The columns of a table that this role may read, in their order. */
export async function readableColumns(session: Session, base: BaseTable): Promise<readonly string[]> {
  const { rows } = await session.query(
    `select a.attname::pg_catalog.text as name from pg_catalog.pg_attribute as a
     where a.attrelid operator(pg_catalog.=) $1::pg_catalog.oid and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped
       and pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'select')
     order by a.attnum`,
    [base.oid],
  );
  return rows.map((row) => String(row['name']));
}

/** Reads what the rows of these keys hold now. */
export async function readImages(
  session: Session,
  base: BaseTable,
  columns: readonly string[],
  keys: readonly Key[],
): Promise<Images> {
  const { text: chosen, values, key } = rowsUpdated(base, keys);
  const texts = columns.map((column) => `t.${quote(column)}::pg_catalog.text`);
  // Not md5, which a server may have forbidden.
  const prints = texts.map(
    (text) => `pg_catalog.hashtextextended(${text} collate pg_catalog."C", 0)::pg_catalog.text`,
  );
  const { rows } = await session.query(
    `select ${key} as key,
            array[${texts.map((text) => `pg_catalog.left(${text}, ${shownCharacters})`).join(', ')}] as shown,
            array[${prints.join(', ')}] as prints
     from ${chosen}, prints`,
    values,
  );
  // Rows of a group share its key: they are told apart by what they hold, so that the same ones count as the same.
  const seen = new Map<string, number>();
  const images = rows.map((row): [string, RowImage] => [
    idOf(row['key'] as Key, seen),
    { shown: row['shown'] as RowImage['shown'], prints: row['prints'] as RowImage['prints'] },
  ]);
  return { columns, rows: new Map(images) };
}

/** Columns in which some row differs between two moments; a row that is there only once differs in none. */
export function changedColumns(before: Images, after: Images): readonly string[] {
  const differing = new Set<number>();
  for (const [id, { prints }] of before.rows) {
    const other = after.rows.get(id);
    for (const [index, print] of prints.entries()) {
      if (other !== undefined && other.prints[index] !== print) differing.add(index);
    }
  }
  return before.columns.filter((_, index) => differing.has(index));
}

/** How many rows are not the same at both moments, those that are gone or new included. */
export function differingRows(before: Images, after: Images): number {
  const ids = new Set([...before.rows.keys(), ...after.rows.keys()]);
  const same = (id: string): boolean => {
    const [one, other] = [before.rows.get(id), after.rows.get(id)];
    return JSON.stringify(one?.prints) === JSON.stringify(other?.prints);
  };
  return [...ids].filter((id) => !same(id)).length;
}

/** One row as a person compares it: the columns that changed, before and after. `after` null: it is gone. */
export interface Example {
  readonly key: Key;
  readonly before: Readonly<Record<string, string | null>>;
  readonly after: Readonly<Record<string, string | null>> | null;
}

/** The first rows that differ, at most `most`. */
export function examplesOf(before: Images, after: Images, most: number): readonly Example[] {
  const examples: Example[] = [];
  for (const [id, image] of before.rows) {
    if (examples.length === most) break;
    const other = after.rows.get(id);
    const indexes = [...before.columns.keys()].filter((at) => image.prints[at] !== other?.prints[at]);
    if (indexes.length === 0) continue;
    const shown = ({ shown: texts }: RowImage): Record<string, string | null> =>
      Object.fromEntries(indexes.map((at) => [before.columns[at] ?? '', texts[at] ?? null]));
    examples.push({
      key: JSON.parse(id.slice(0, id.lastIndexOf(']') + 1)) as Key,
      before: shown(image),
      after: other === undefined ? null : shown(other),
    });
  }
  return examples;
}
