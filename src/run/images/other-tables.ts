import { quote } from '../../core/values/quote.ts';
import { UmzugClusterError, fail } from '../../errors.ts';
import {
  type ImageSink,
  type ImagedTable,
  type KeptRows,
  foundRows,
  imagingInsert,
  keepRows,
  keptImages,
} from '../../migration/chunk/images.ts';
import type { Imaged } from '../../migration/handle/guard.ts';
import type { FoundRows, KnownUpdate } from '../../migration/handle/known-update.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { type StoredColumn, readStoredColumns } from '../../migration/key/stored-columns.ts';
import { resolveBaseTable } from '../../migration/table/base-table.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder, valuesPinned, valuesUnpinned } from '../../postgres/transaction.ts';
import { asWritten, overLimit } from './as-written.ts';

/** Rows of a table that helpers have written, all of which can be restored. */
export interface CoveredWrites {
  readonly oid: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

/** A statement of a helper, as it is to be sent. */
export interface HelperStatement {
  readonly sql: string;
  readonly bindings: readonly unknown[];
  readonly known: KnownUpdate & { readonly table: string };
}

interface Rules {
  readonly name: string;
  /** The table of the run, and its columns: what is inserted into it has images like its other rows. */
  readonly base: BaseTable;
  readonly baseColumns: readonly StoredColumn[];
  readonly sink: ImageSink;
  readonly returnsOld: boolean;
  readonly maxBytes: number;
}

/** Kept rows, and how many they are. */
type Kept = KeptRows & { readonly rows: number };

type Target = ImagedTable & { readonly oid: string; readonly schema: string; readonly name: string };

const sql = `select c.oid::pg_catalog.text as oid, n.nspname::pg_catalog.text as schema, c.relname::pg_catalog.text as name,
    array(select a.attname::pg_catalog.text
      from pg_catalog.pg_index as i
      cross join rows from (pg_catalog.unnest(i.indkey::pg_catalog.int2[])) with ordinality as k (attnum, no)
      join pg_catalog.pg_attribute as a on a.attrelid operator(pg_catalog.=) i.indrelid
        and a.attnum operator(pg_catalog.=) k.attnum
      where i.indrelid operator(pg_catalog.=) c.oid and i.indisprimary
        and k.no operator(pg_catalog.<=) i.indnkeyatts
      order by k.no) as key
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) c.relnamespace
  where c.oid operator(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid`;

/**
 * Keeps images of what the helpers write to other tables, and of what they insert into the run's own. What rows hold is kept
 * ahead of each statement, and compared behind it. A row that several statements change has several images.
 */
export class OtherTables {
  readonly #session: Session;
  readonly #rules: Rules;
  readonly #targets = new Map<string, Target>();
  readonly #covered: CoveredWrites[] = [];
  /** Sets of kept rows, by their numbers, that no statement uses. */
  readonly #free: number[] = [];
  #sets = 0;
  /** Why the chunk must not be committed. */
  refusal: Error | null = null;

  constructor(session: Session, rules: Rules) {
    this.#session = session;
    this.#rules = rules;
  }

  get covered(): readonly CoveredWrites[] {
    return this.#covered;
  }

  /** Before a statement of a helper: what is sent instead of it, and behind it; null where the table is not there, and it fails. */
  async ahead({ sql: text, bindings, known }: HelperStatement): Promise<Imaged | null> {
    const { inserts, finds, table } = known;
    const target = this.#targets.get(table) ?? (await this.#find(table));
    if (target === null || this.refusal !== null) return null;
    this.#targets.set(table, target);
    const isOther = target.relation !== null;
    const kept = finds === undefined || !isOther ? null : await this.#keep(target, finds, bindings);
    if (this.refusal !== null) return null;
    const { sink, returnsOld } = this.#rules;
    const merged = inserts?.isMerge === true && kept !== null ? `umzug_cluster.merged_${kept.set}` : null;
    const behind = async (rows: number): Promise<void> => {
      this.#cover(target.oid, known, rows);
      if (kept !== null) await this.#compare(target, kept, merged);
    };
    if (inserts === undefined) return { sql: text, command: null, returnsRows: true, behind };
    const instead = imagingInsert(text, inserts, target, { ...sink, returnsOld, merged });
    return { sql: instead, command: 'INSERT', returnsRows: inserts.returning !== '', behind };
  }

  async #find(written: string): Promise<Target | null> {
    const { base, baseColumns } = this.#rules;
    const [row] = (await this.#session.query(sql, [written])).rows;
    if (row === undefined) return null;
    const [oid, schema, name] = [String(row['oid']), String(row['schema']), String(row['name'])];
    const found = { oid, schema, name };
    if (oid === base.oid) {
      return { ...found, relation: null, key: base.key.map((one) => one.name), columns: baseColumns };
    }
    const key = row['key'] as readonly string[];
    if (key.length === 0) this.#refuse(name, 'it has no primary key');
    const [, columns] = await inOrder([
      this.#session.query(valuesPinned),
      readStoredColumns(this.#session, { oid }),
      this.#session.query(valuesUnpinned),
    ]);
    return { ...found, relation: [schema, name, ...key], key, columns };
  }

  async #keep(target: Target, finds: FoundRows, bindings: readonly unknown[]): Promise<Kept | null> {
    const set = finds.columns;
    const inKey = set?.find((name) => target.key.includes(name));
    if (inKey !== undefined) this.#refuse(target.name, `"${inKey}" of its primary key is changed`);
    const table = await this.#tableOf(target);
    if (table === null || this.refusal !== null) return null;
    const columns = target.columns.filter(({ name }) => set?.includes(name) ?? true);
    const no = this.#free.pop() ?? (this.#sets += 1);
    const kept = { table, columns, set: `o${no}_` };
    const { text, values } = keepRows(kept, foundRows(table, finds, bindings), no);
    const [counts = {}] = await asWritten(this.#session, text, values);
    this.refusal ??= overLimit(this.#rules.name, counts, this.#rules.maxBytes);
    return { ...kept, rows: Number(counts['rows']) };
  }

  /** `merged`: the setting that says how many rows the statement has merged into those that were there. */
  async #compare(target: Target, kept: Kept, merged: string | null): Promise<void> {
    const images = keptImages(kept, target.relation, this.#rules.sink);
    const [counts] = await asWritten(this.#session, images);
    this.#free.push(Number(kept.set.slice(1, -1)));
    const isWhole = kept.columns.length === target.columns.length;
    if (Number(counts?.['gone']) > 0 && !isWhole)
      this.#refuse(target.name, 'a trigger deletes rows that are changed');
    if (merged === null) return;
    const { rows } = await this.#session.query(`select pg_catalog.current_setting('${merged}') as merged`);
    if (Number(rows[0]?.['merged']) <= kept.rows) return;
    // Committed since they were looked for: the next try finds them.
    const error = new Error(
      `${this.#rules.name}: rows that insertRows merges were inserted by somebody else`,
    );
    this.refusal ??= Object.assign(error, { code: '40001' });
  }

  #cover(oid: string, { inserts, finds }: KnownUpdate, rows: number): void {
    const [inserted, deleted] = [inserts !== undefined, finds?.columns === null];
    const updated = finds !== undefined && !deleted;
    const of = (is: boolean): number => (is ? rows : 0);
    this.#covered.push({ oid, inserted: of(inserted), updated: of(updated), deleted: of(deleted) });
  }

  async #tableOf({ schema, name, key }: Target): Promise<BaseTable | null> {
    try {
      return await resolveBaseTable(
        async (text, values) => ({ rows: [...(await asWritten(this.#session, text, values))] }),
        { schema, name, alias: name, only: false },
        key,
      );
    } catch (error) {
      if (!(error instanceof UmzugClusterError)) throw error;
      this.#refuse(name, error.message);
      return null;
    }
  }

  #refuse(table: string, why: string): void {
    this.refusal ??= fail('MIGRATION_FAILED', {
      message: `${this.#rules.name}: undo could not find rows of ${quote(table)} again that a helper writes: ${why}`,
      hint: 'give the table a primary key that is not changed, or set options.undo to false',
    });
  }
}
