import { writeFileSync } from 'node:fs';
import path from 'node:path';
import knexFactory, { type Knex } from 'knex';
import type pg from 'pg';
import { type MigrationOutcome, createMigrator } from '../../src/index.ts';
import type { Logger } from '../../src/logger.ts';
import { type TestDatabase, createDatabase } from './database.ts';
import { makeProject } from './project.ts';
import type { Query } from './queries.ts';

/** Tables on which selects of many kinds are tried; `visits` and `seen` tell which query has met a row. */
const tables = `
  create schema "Other";
  create table teams (id int primary key, name text, kind text);
  insert into teams select i, 'team ' || i, case when i % 2 = 0 then 'even' else 'odd' end from generate_series(1, 9) as i;
  create table people (
    id bigint primary key, team int, boss bigint, name text, tags text[], doc jsonb, born timestamptz,
    "what? ""now""" text, n int not null default 0, visits int[] not null default '{}'
  );
  insert into people
    select i, nullif(i % 10, 0), nullif(i / 10, 0), 'Person ' || i, array['t' || i % 3, 'x'],
      jsonb_build_object('a', i, 'b', jsonb_build_object('c', i % 5)) || case when i % 4 = 0 then '{"d": 1}' else '{}' end::jsonb,
      '2024-01-01Z'::timestamptz + i * interval '1 day', case when i % 2 = 0 then 'yes?' end, i % 7
    from generate_series(1, 200) as i;
  create table notes (id int primary key, person_id bigint, body text, at date);
  insert into notes select i, 1 + i * 7 % 150, 'note ' || i, date '2024-01-01' + i from generate_series(1, 300) as i;
  create table "Other"."Things" (a int, b text, v int, visits int[] not null default '{}', primary key (a, b));
  insert into "Other"."Things" select i % 10, 'b' || i, i from generate_series(1, 120) as i;
  create table events (id int, at date, v int, visits int[] not null default '{}', primary key (id, at)) partition by range (at);
  create table events_1 partition of events for values from ('2024-01-01') to ('2024-02-01');
  create table events_2 partition of events for values from ('2024-02-01') to ('2024-12-01');
  insert into events select i, date '2024-01-01' + i % 60, i from generate_series(1, 150) as i;
  create table "Odd ""T?""" ("k ?" text collate "C" primary key, v int, visits int[] not null default '{}');
  insert into "Odd ""T?""" select chr(65 + i % 50) || i, i from generate_series(1, 100) as i;
  create table keyless (v int);
  insert into keyless values (1);
  create view grown as select id, name from people;
  create table seen (query int, row text);
  create sequence counter;
  create aggregate total (int) (sfunc = int4pl, stype = int);
  create function logs(bigint) returns bigint language plpgsql as
    $$ begin insert into seen (row) values ('logged'); return $1; end $$;
  analyze`;

/** How many rows a chunk has at most. */
export const chunkSize = 60;

/** What a query gave: rows as text, sorted, and how many rows were changed how often by sets. */
export interface Visited {
  readonly rows: readonly string[];
  readonly changed: Readonly<Record<string, number>>;
}

/** Runs migrations with selects of many kinds, in this process, in small chunks. */
export class Selects {
  readonly #database: TestDatabase;
  /** The application's own knex. */
  readonly #db: Knex;

  private constructor(database: TestDatabase) {
    this.#database = database;
    this.#db = knexFactory({ client: 'pg', connection: database.url });
  }

  static async create(): Promise<Selects> {
    const database = await createDatabase();
    await database.client.query(tables);
    return new Selects(database);
  }

  get client(): pg.Client {
    return this.#database.client;
  }

  get url(): string {
    return this.#database.url;
  }

  async drop(): Promise<void> {
    await this.#db.destroy();
    await this.#database.drop();
  }

  /** What the author's query gives at once, as text, sorted. */
  async atOnce(select: string): Promise<readonly string[]> {
    // oxlint-disable-next-line typescript/no-implied-eval
    const make = new Function('db', `return ${select}`) as (db: Knex) => Promise<unknown>;
    const result = await make(this.#db);
    const rows = Array.isArray(result) ? (result as object[]) : (result as { rows: object[] }).rows;
    return rows.map((row) => JSON.stringify(row)).toSorted();
  }

  /** Runs all queries chunk by chunk, first by rows, then by sets: one `up`. */
  async visitAll(queries: readonly Query[]): Promise<readonly Visited[]> {
    const head = (select: string): string => `
      export const options = { chunkSize: ${chunkSize} };
      export const select = (db) => ${select};`;
    const byRows = queries.map(
      ([, select], index) => `${head(select)}
        export const update = (db, rows) =>
          db('seen').insert(rows.map((row) => ({ query: ${index}, row: JSON.stringify(row) })));`,
    );
    const bySets = queries.map(
      ([, select], index) => `import { setBased } from 'umzug-cluster'; ${head(select)}
        export const update = setBased((chunk, db) => chunk.update({ visits: db.raw('visits || ${index}') }));`,
    );
    await this.run([...byRows, ...bySets]);
    return await Promise.all(queries.map(([, , base = 'people'], index) => this.#visited(index, base)));
  }

  async #visited(index: number, base: string): Promise<Visited> {
    const seen = await this.client.query<{ row: string }>('select row from seen where query = $1', [index]);
    const changed = await this.client.query<{ times: number; rows: number }>(
      `select cardinality(array_positions(visits, $1)) as times, count(*)::int as rows
       from ${base} where $1 = any (visits) group by times`,
      [index],
    );
    return {
      rows: seen.rows.map(({ row }) => row).toSorted(),
      changed: Object.fromEntries(changed.rows.map(({ times, rows }) => [times, rows])),
    };
  }

  /** Runs migration files, and returns the warnings about what they select. */
  async run(sources: readonly string[], url = this.#database.url): Promise<readonly string[]> {
    return (await this.outcomes(sources, url)).plans;
  }

  /** Runs migration files: what became of each, and all warnings, those about selects by themselves as well. */
  async outcomes(
    sources: readonly string[],
    url = this.#database.url,
  ): Promise<{
    readonly outcomes: readonly MigrationOutcome[];
    readonly plans: readonly string[];
    readonly warnings: readonly string[];
  }> {
    const files = sources.map((source, index) => [`m${String(index).padStart(4, '0')}.ts`, source]);
    const { dir } = makeProject(Object.fromEntries(files) as Record<string, string>);
    // One lane: where there are two, one waits for the other's word that the run is over.
    const knexfile = `export default { client: 'pg', migrations: { cluster: { lanes: 1, workers: 1 } } };`;
    writeFileSync(path.join(dir, 'knexfile.ts'), knexfile);
    const plans: string[] = [];
    const warnings: string[] = [];
    const nothing = (): void => undefined;
    const logger: Logger = {
      debug: nothing,
      info: nothing,
      warn: (record, message) => {
        if (record.event === 'plan.warning') plans.push(record.warning);
        else warnings.push(message ?? '');
      },
      error: nothing,
    };
    const migrator = await createMigrator({
      cwd: dir,
      databaseUrl: url,
      logger,
    });
    try {
      return { outcomes: await migrator.up(), plans, warnings };
    } finally {
      await migrator.close();
    }
  }
}
