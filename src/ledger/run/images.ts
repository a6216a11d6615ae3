import { quote } from '../../core/values/quote.ts';
import { fail } from '../../errors.ts';
import type { Session } from '../../postgres/session.ts';
import { imageColumns, imagesName } from '../image-columns.ts';
import { LedgerPart } from '../part.ts';
import { grantAlike } from '../rights.ts';

/** The table of a sample's images. */
export const sampleImages = 'pg_temp.umzug_cluster_images';

/** What the images of a sample come to. */
export interface SampleImages {
  readonly bytes: number;
  readonly images: number;
  /** Numbers of the columns of which there are images. */
  readonly columns: readonly number[];
}

/** Whether this role may create the table of a sample's images. */
export async function mayCreateTemporary(session: Session): Promise<boolean> {
  const { rows } = await session.query(
    `select pg_catalog.has_database_privilege(pg_catalog.current_database(), 'temp') as may`,
  );
  return rows[0]?.['may'] === true;
}

/** Images: what rows held before and after the chunks of runs with undo. */
export class Images extends LedgerPart {
  /** All of them: what is inserted here goes to its run's partition. */
  get table(): string {
    return this.names.images;
  }

  /** Makes the table of a sample's images, which goes with its transaction. */
  async createSample(): Promise<void> {
    await this.session.query(`create temporary table ${sampleImages} (${imageColumns})`);
  }

  /** What a sample's images come to. */
  async readSample(): Promise<SampleImages> {
    const { rows } = await this.session.query(
      `select pg_catalog.pg_total_relation_size('${sampleImages}'::pg_catalog.regclass)::float8 as bytes,
         (select count(*) from ${sampleImages})::float8 as images,
         array(select distinct pg_catalog.unnest(columns::text[])::integer from ${sampleImages}
               where relation is null and before is not null and after is not null) as columns`,
    );
    const row = rows[0] ?? {};
    return {
      bytes: Number(row['bytes']),
      images: Number(row['images']),
      columns: row['columns'] as readonly number[],
    };
  }

  /** The table of a run's images, a partition of `images`; qualified. */
  partitionOf(runId: string): string {
    return `${this.names.schema}.${quote(imagesName(this.names.prefix, runId))}`;
  }

  /** Makes room for the images of a new run, in the transaction that registers it. */
  async createPartition(runId: string): Promise<void> {
    await this.#requireOwner();
    const { images } = this.names;
    const partition = this.partitionOf(runId);
    // Not `create table … partition of`, which would wait for the chunks of other runs with undo, and they for it.
    await this.session.query(
      `create table ${partition} (like ${images} including defaults including constraints)`,
    );
    await this.session.query(`alter table ${images} attach partition ${partition} for values in (${runId})`);
    // Whoever may use all of them may use it by itself: a rollback goes over it.
    await grantAlike(this.session, images, { tables: [partition] });
  }

  async #requireOwner(): Promise<void> {
    const { rows } = await this.session.query(
      `select current_user as role, relowner::pg_catalog.regrole::text as owner,
              pg_catalog.pg_has_role(relowner, 'usage')
                and pg_catalog.has_schema_privilege(relnamespace, 'create') as may
       from pg_catalog.pg_class where oid = $1::regclass`,
      [this.names.images],
    );
    const { role, owner, may } = rows[0] ?? {};
    if (may === true) return;
    throw fail('PERMISSION', {
      message: `role ${quote(String(role))} may not keep what rows held before: it cannot create tables in the ledger’s schema ${this.names.schema} like its owner ${String(owner)}`,
      detail: 'the images of a run with undo are a table of their own; nothing was changed',
      hint: `run it as ${String(owner)}, or without undo: options.undo = false`,
    });
  }
}
