import { quote } from '../core/values/quote.ts';
import type { KeyColumn } from '../migration/key/key.ts';
import { imagesName } from './image-columns.ts';
import { LedgerPart } from './part.ts';

/** The stored values of one run. */
export interface StoredRun {
  readonly runId: string;
  readonly name: string;
  /** It is started and not ended, or its rollback is. */
  readonly isLive: boolean;
  readonly bytes: number;
}

/** A column of which values are stored. */
export interface StoredValues {
  readonly migration: string;
  readonly table: string;
  readonly column: string;
}

const imagesSince = 4;

/** How much is stored of what rows held, and its end. */
export class Forgetting extends LedgerPart {
  /** Runs whose values are stored, in the order in which they began. Reads only. */
  async stored(name: string | null = null): Promise<readonly StoredRun[]> {
    if (this.names.version < imagesSince) return [];
    const { rows } = await this.session.query(
      `select r.id::text, r.name, r.state not in ('done', 'reverted') as is_live,
              pg_catalog.pg_total_relation_size(c.oid) as bytes
       from ${this.#partitions} join ${this.names.runs} as r on c.relname = $1 || r.id
       where $2::text is null or r.name = $2 order by r.id`,
      [this.#prefix, name],
    );
    return rows.map((row) => ({
      runId: String(row['id']),
      name: String(row['name']),
      isLive: row['is_live'] === true,
      bytes: Number(row['bytes']),
    }));
  }

  async hasImages(runId: string): Promise<boolean> {
    if (this.names.version < imagesSince) return false;
    const { rows } = await this.session.query(`select from ${this.#partitions} where c.relname = $1`, [
      imagesName(this.names.prefix, runId),
    ]);
    return rows.length > 0;
  }

  /** The day on which the values of a run were forgotten; null: that is not known. */
  async forgottenAt(runId: string): Promise<string | null> {
    const { rows } = await this.session.query(
      `select pg_catalog.max(at)::date::text as day from ${this.names.history}
       where run_id = $1::bigint and event = 'forgotten' and detail -> 'rows' is null`,
      [runId],
    );
    return (rows[0]?.['day'] as string | null | undefined) ?? null;
  }

  /**
   * Ended runs whose values nobody needs any more: their options keep them for a time that is over, by the database's clock, or
   * all of them are restored. Reads only.
   */
  async expired(): Promise<readonly string[]> {
    if (this.names.version < imagesSince) return [];
    const { rows } = await this.session.query(
      `select r.id::text from ${this.#partitions} join ${this.names.runs} as r on c.relname = $1 || r.id
       where r.state in ('done', 'reverted')
         and r.finished_at < clock_timestamp() - (r.plan #>> '{undo,keepDays}')::double precision * interval '1 day'
         or r.state = 'reverted' and not exists (
           select from ${this.names.runs} as d join ${this.names.conflicts} as f on f.run_id = d.id where d.reverts = r.id)
       order by r.id`,
      [this.#prefix],
    );
    return rows.map(({ id }) => String(id));
  }

  /**
   * Columns of which values are stored, of migrations that are executed or have started, or those of them that are gone by
   * now. What it lists first has to be looked for in all that is stored. Reads only.
   */
  async columns(which: 'present' | 'gone'): Promise<readonly StoredValues[]> {
    if (this.names.version < imagesSince) return [];
    const { rows } = await this.session.query(
      `select r.id::text, r.name, r.plan #>> '{base,schema}' as schema, r.plan #>> '{base,name}' as table, u.name as column, u.attnum
       from ${this.#partitions} join ${this.names.runs} as r on c.relname = $1 || r.id and r.state <> 'reverted'
       cross join lateral pg_catalog.jsonb_to_recordset(r.plan #> '{undo,columns}') as u (attnum smallint, name text)
       where exists (
         select from pg_catalog.pg_attribute as a
         join pg_catalog.pg_class as t on t.oid = a.attrelid join pg_catalog.pg_namespace as n on n.oid = t.relnamespace
         where n.nspname = r.plan #>> '{base,schema}' and t.relname = r.plan #>> '{base,name}'
           and a.attname = u.name and not a.attisdropped) = $2
       order by r.id, u.attnum`,
      [this.#prefix, which === 'present'],
    );
    const found: StoredValues[] = [];
    for (const { id, attnum, ...row } of rows) {
      const { rows: used } = await this.session.query(
        `select exists (select from ${this.names.images} where run_id = $1::bigint and $2::text = any (columns::text[])
                          and relation is null) as is_used`,
        [id, attnum],
      );
      if (used[0]?.['is_used'] !== true) continue;
      found.push({
        migration: String(row['name']),
        table: `${String(row['schema'])}.${String(row['table'])}`,
        column: String(row['column']),
      });
    }
    return found;
  }

  /** Drops what is stored of these runs, where it is. Waits for whoever stores or reads such values, up to the lock timeout. */
  async drop(runIds: readonly string[]): Promise<void> {
    for (const runId of runIds) {
      await this.session.query(
        `drop table if exists ${this.names.schema}.${quote(imagesName(this.names.prefix, runId))}`,
      );
    }
  }

  /** Deletes what is stored of one row, whose key is given as people write it; how many images. */
  async dropRow(runId: string, columns: readonly KeyColumn[], key: readonly string[]): Promise<number> {
    const parts = columns.map(({ type }, index) => `$${index + 2}::text::${type}::text`);
    const values = [runId, ...key];
    const keyList = `array[${parts.join(', ')}]::text[]`;
    const own = `run_id = $1::bigint and key = (${keyList})::text`;
    const { rowCount } = await this.session.query(
      `delete from ${this.names.images} where ${own} and relation is null`,
      values,
    );
    await this.session.query(
      `delete from ${this.names.conflicts} as c using ${this.names.runs} as d
       where d.id = c.run_id and d.reverts = $1::bigint and c.relation is null and c.key = ${keyList}`,
      values,
    );
    return rowCount ?? 0;
  }

  get #prefix(): string {
    return imagesName(this.names.prefix, '');
  }

  get #partitions(): string {
    return `pg_catalog.pg_inherits as i join pg_catalog.pg_class as c
      on c.oid = i.inhrelid and i.inhparent = pg_catalog.to_regclass('${this.names.images}')`;
  }
}
