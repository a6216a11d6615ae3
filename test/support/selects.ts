import knexFactory, { type Knex } from 'knex';
import type pg from 'pg';
import { createMigrator } from '../../src/application.ts';
import type { LogFields, Logger } from '../../src/logger.ts';
import { type TestDatabase, createDatabase } from './database.ts';
import { makeProject } from './project.ts';

/** Tables on which selects of many kinds are tried; `seen` takes what `update` gets. */
const tables = `
  create schema "Other";
  create table teams (id int primary key, name text, kind text);
  insert into teams select i, 'team ' || i, case when i % 2 = 0 then 'even' else 'odd' end from generate_series(1, 9) as i;
  create table people (
    id bigint primary key, team int, boss bigint, name text, tags text[], doc jsonb, born timestamptz,
    "what? ""now""" text, n int not null default 0, hits int not null default 0
  );
  insert into people
    select i, nullif(i % 10, 0), nullif(i / 10, 0), 'Person ' || i, array['t' || i % 3, 'x'],
      jsonb_build_object('a', i, 'b', jsonb_build_object('c', i % 5)) || case when i % 4 = 0 then '{"d": 1}' else '{}' end::jsonb,
      '2024-01-01Z'::timestamptz + i * interval '1 day', case when i % 2 = 0 then 'yes?' end, i % 7
    from generate_series(1, 200) as i;
  create table notes (id int primary key, person_id bigint, body text, at date);
  insert into notes select i, 1 + i * 7 % 150, 'note ' || i, date '2024-01-01' + i from generate_series(1, 300) as i;
  create table "Other"."Things" (a int, b text, v int, hits int not null default 0, primary key (a, b));
  insert into "Other"."Things" select i % 10, 'b' || i, i from generate_series(1, 120) as i;
  create table events (id int, at date, v int, hits int not null default 0, primary key (id, at)) partition by range (at);
  create table events_1 partition of events for values from ('2024-01-01') to ('2024-02-01');
  create table events_2 partition of events for values from ('2024-02-01') to ('2024-12-01');
  insert into events select i, date '2024-01-01' + i % 60, i from generate_series(1, 150) as i;
  create table keyless (v int);
  insert into keyless values (1);
  create view grown as select id, name from people;
  create table seen (no int generated always as identity, row text);
  create sequence counter;
  create aggregate total (int) (sfunc = int4pl, stype = int);
  create function logs(bigint) returns bigint language plpgsql as
    $$ begin insert into seen (row) values ('logged'); return $1; end $$;
  analyze`;

/** How many rows a chunk has at most. */
export const chunkSize = 60;

export interface Visit {
  /** The rows that `update` got, as text, sorted. */
  readonly rows: readonly string[];
  readonly chunks: number;
  /** How many rows were changed how often by sets: `{ '1': rows }` where those that were, were so once. */
  readonly hits: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}

/** Runs migrations with selects of many kinds, in this process, in small chunks. */
export class Selects {
  readonly #database: TestDatabase;
  /** The application's own knex. */
  readonly db: Knex;
  #tried = 0;

  private constructor(database: TestDatabase) {
    this.#database = database;
    this.db = knexFactory({ client: 'pg', connection: database.url });
  }

  static async create(): Promise<Selects> {
    const database = await createDatabase();
    await database.client.query(tables);
    return new Selects(database);
  }

  get client(): pg.Client {
    return this.#database.client;
  }

  async drop(): Promise<void> {
    await this.db.destroy();
    await this.#database.drop();
  }

  /** What the author's query gives at once, as text, sorted. */
  async atOnce(select: string): Promise<readonly string[]> {
    // oxlint-disable-next-line typescript/no-implied-eval
    const make = new Function('db', `return ${select}`) as (db: Knex) => Promise<unknown>;
    const result = await make(this.db);
    const rows = Array.isArray(result) ? (result as object[]) : (result as { rows: object[] }).rows;
    return rows.map((row) => JSON.stringify(row)).toSorted();
  }

  /** What `update` gets, chunk by chunk; then the same by sets, on the base table. */
  async visit(select: string, base: string): Promise<Visit> {
    await this.client.query('truncate seen');
    const head = `
      export const options = { chunkSize: ${chunkSize} };
      export const select = (db) => ${select};`;
    const outcome = await this.#run([
      `${head}
      export const update = (db, rows) => db('seen').insert(rows.map((row) => ({ row: JSON.stringify(row) })));`,
      `import { setBased } from 'umzug-cluster'; ${head}
      export const update = setBased((chunk, db) => chunk.update({ hits: db.raw('hits + 1') }));`,
    ]);
    const seen = await this.client.query<{ row: string }>('select row from seen');
    const changed = await this.client.query<{ hits: number; rows: number }>(
      `select hits, count(*)::int as rows from ${base} where hits > 0 group by hits`,
    );
    await this.client.query(`update ${base} set hits = 0 where hits <> 0`);
    return {
      ...outcome,
      rows: seen.rows.map(({ row }) => row).toSorted(),
      hits: Object.fromEntries(changed.rows.map(({ hits, rows }) => [hits, rows])),
    };
  }

  /** The error that ends a migration. */
  async refusal(source: string): Promise<Error> {
    try {
      await this.#run([source]);
    } catch (error) {
      return error as Error;
    }
    throw new Error('was not refused');
  }

  /** How many runs the ledger knows. */
  async runs(): Promise<number> {
    const { rows } = await this.client.query<{ ledger: string | null }>(
      `select to_regclass('umzug_cluster.runs') as ledger`,
    );
    if (rows[0]?.ledger == null) return 0;
    return (await this.client.query('select from umzug_cluster.runs')).rowCount ?? 0;
  }

  async #run(sources: readonly string[]): Promise<Pick<Visit, 'chunks' | 'warnings'>> {
    const files = sources.map((source) => {
      this.#tried += 1;
      return [`m${String(this.#tried).padStart(4, '0')}.ts`, source];
    });
    const { dir } = makeProject(Object.fromEntries(files) as Record<string, string>);
    const warnings: string[] = [];
    const migrator = await createMigrator({
      cwd: dir,
      databaseUrl: this.#database.url,
      workers: 1,
      logger: collecting(warnings),
    });
    try {
      const [outcome] = await migrator.up();
      return { chunks: outcome?.chunks ?? 0, warnings };
    } finally {
      await migrator.close();
    }
  }
}

function collecting(warnings: string[]): Logger {
  const logger: Logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: (fields: LogFields, message?: string) => {
      if (fields.event === 'plan.warning') warnings.push(message ?? '');
    },
    error: () => undefined,
    child: () => logger,
  };
  return logger;
}
