import type { Knex } from 'knex';
import { resolveBaseTable } from '../../src/migration/table/base-table.ts';
import { chunkKnex } from '../../src/migration/handle/chunk-client.ts';
import { lockedChunk } from '../../src/migration/chunk/queries.ts';
import { ChunkRows } from '../../src/migration/chunk/rows.ts';
import { maxKey } from '../../src/migration/key/queries.ts';
import type { BaseTable } from '../../src/migration/key/key.ts';
import type { Statement } from '../../src/migration/key/sql.ts';
import { type SelectShape, inspectSelect } from '../../src/migration/select/shape.ts';
import { queryRows } from '../../src/postgres/row-query.ts';
import { type TestDatabase, createDatabase } from './database.ts';

export type Key = readonly string[];

/** A knex that only builds, as a migration gets one. */
export const db = chunkKnex(
  { client: 'pg' },
  {
    transacting: true,
    check: () => undefined,
    run: () => Promise.reject(new Error('it only builds')),
    refuse: (message) => new Error(message),
  },
).builder;

/** A database on which the statements of `chunk-queries` are tried. */
export class SelectDatabase {
  readonly #database: TestDatabase;

  private constructor(database: TestDatabase) {
    this.#database = database;
  }

  static async create(): Promise<SelectDatabase> {
    return new SelectDatabase(await createDatabase());
  }

  get url(): string {
    return this.#database.url;
  }

  get name(): string {
    return this.#database.name;
  }

  get client(): TestDatabase['client'] {
    return this.#database.client;
  }

  async drop(): Promise<void> {
    await this.#database.drop();
  }

  async run(statement: Statement): Promise<Record<string, unknown>[]> {
    return (await this.client.query(statement.text, [...statement.values])).rows as Record<string, unknown>[];
  }

  /** Rows as the author gets them, with their keys. */
  async read(
    statement: Statement,
    base: BaseTable,
  ): Promise<{ rows: object[]; keys: Key[]; mayHaveMoved: boolean }> {
    const taken = new ChunkRows(base);
    const { rows } = (await queryRows(this.client, statement, taken)) as { rows: object[] };
    return { rows, keys: [...taken.keys], mayHaveMoved: taken.mayHaveMoved };
  }

  async keysOf(statement: Statement): Promise<Key[]> {
    return (await this.run(statement)).map((row) => row['key'] as Key);
  }

  async prepare(query: Knex.QueryBuilder): Promise<{ shape: SelectShape; base: BaseTable }> {
    const shape = inspectSelect(query, '0001_x.ts');
    if (shape.kind !== 'table') throw new Error('begins with no table by name');
    const ask = async (text: string, values?: readonly unknown[]) =>
      await this.run({ text, values: values ?? [] });
    const base = await resolveBaseTable(
      async (text, values) => ({ rows: await ask(text, values) }),
      shape.table,
      undefined,
    );
    return { shape, base };
  }

  async stopKey(base: BaseTable): Promise<Key> {
    return (await this.keysOf(maxKey(base)))[0] ?? [];
  }

  /** Every row of a plain select, chunk by chunk. */
  async visit(shape: SelectShape, base: BaseTable, limit: number): Promise<{ rows: object[]; keys: Key[] }> {
    const rows: object[] = [];
    const keys: Key[] = [];
    const upTo = await this.stopKey(base);
    for (let after: Key | null = null; ; after = keys.at(-1) ?? null) {
      const read = await this.read(lockedChunk(shape, base, { after, upTo, limit }), base);
      rows.push(...read.rows);
      keys.push(...read.keys);
      if (read.keys.length < limit) return { rows, keys };
      if (keys.length > 10_000) throw new Error('does not end');
    }
  }
}
