/** A table, its migration, and what `plan --json` says of migrations. */

/** A value that must not be shown whole. */
export const longText = 'x'.repeat(500);

/** 3,000 people, with an index, a foreign key and a trigger. */
export const tables = `
  create table cities (id int primary key);
  insert into cities values (1), (2);
  create table people (
    id bigint primary key, name text not null, slug text, score int not null default 0,
    city int references cities default 1, note text);
  create index people_score on people (score);
  insert into people (id, name, note) select i, 'Secret ' || i, '${longText}' from generate_series(1, 3000) as i;
  create table visits (id bigint not null);
  create function note_visit() returns trigger language plpgsql as
    $$ begin insert into visits values (new.id); return null; end $$;
  create trigger note_visit after update of slug on people for each row execute function note_visit();
  analyze people`;

/** Drains, and its way back restores. */
export const slugs = `
  export const select = (db) => db('people').select('id', 'name').whereNull('slug');
  export const update = (db, rows) =>
    db('people').whereIn('id', rows.map(({ id }) => id)).update({ slug: db.raw('lower(name)') });
  export const down = {
    select: (db) => db('people').select('id').whereNotNull('slug'),
    update: (db, rows) => db('people').whereIn('id', rows.map(({ id }) => id)).update({ slug: null }),
  };`;

/** One migration of `plan --json`. */
export interface Plan {
  readonly name: string;
  readonly sample: Readonly<Record<string, unknown>> | null;
  readonly warnings: readonly string[];
  readonly [field: string]: unknown;
}

/** The whole of `plan --json`. */
export const planIn = (stdout: string): PlanDocument => JSON.parse(stdout) as PlanDocument;

interface PlanDocument {
  readonly migrations: readonly Plan[];
  readonly trial: { readonly durationMs: number; readonly gaveWay: string | null } | null;
}

/** The migrations of `plan --json`. */
export const plansOf = (stdout: string): readonly Plan[] => planIn(stdout).migrations;
