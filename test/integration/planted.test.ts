import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { plant } from '../support/planted.ts';
import { makeProject } from '../support/project.ts';

/**
 * The author's search path holds for the author's statements and names, nothing else: a schema ahead of `pg_catalog` may
 * have any operator, function or type. These migrations use none themselves.
 */
const migrations = {
  '5-rows.ts': `
    import { updateRows } from 'umzug-cluster';
    const to = (n) => (db, rows) =>
      updateRows(db, 'a', rows.map(({ id }) => ({ id, n })), { key: ['id'], set: ['n'] });
    export const select = (db) => db('a').whereNull('n');
    export const update = to(1);
    export const down = { select: (db) => db('a').whereNotNull('n'), update: to(null) };`,
  '6-sets.ts': `
    import { setBased } from 'umzug-cluster';
    export const options = { chunkSize: 150 };
    export const select = (db) => db('b').whereNull('n');
    export const update = setBased(async (chunk, db) => {
      await db.raw('insert into o select c.a from ? c', [chunk.clone()]);
      await chunk.update({ n: 1 });
    });
    export const down = {
      select: (db) => db('b').whereNotNull('n'),
      update: setBased((chunk) => chunk.update({ n: null })),
    };`,
  '1-physical.ts': `
    import { setBased } from 'umzug-cluster';
    export const options = { order: 'physical' };
    export const select = (db) => db('c').whereNull('n');
    export const update = setBased((chunk) => chunk.update({ n: 1 }));`,
  '2-joined.ts': `
    export const options = { sweep: true };
    export const select = (db) => db.with('w', db('b')).select('d.*').from('d').crossJoin('one').whereNull('d.n');
    export const update = (db) => db('d').whereNull('n').update({ n: 1 });`,
  '3-large.ts': `
    export const select = (db) => db('e').whereNull('n');
    export const update = (db) => db('e').whereNull('n').update({ n: 1 });`,
  '4-schema.ts': `
    export const up = (db) => db.raw('alter table e add column m public.whole');
    export const down = (db) => db.raw('alter table e drop column m');`,
};

const tables = `
  create domain whole as int;
  create table a (id bigint primary key, n int); insert into a select i from generate_series(1, 300) as i;
  create table b (a int, b text, n int, primary key (a, b)); insert into b select i, 'x' from generate_series(1, 300) as i;
  create table c (id uuid primary key, n int); insert into c select gen_random_uuid() from generate_series(1, 300);
  create table d (id int, at timestamptz, n int, primary key (id, at)) partition by range (id);
  create table d_all partition of d default;
  insert into d select i, now() from generate_series(1, 300) as i;
  create table one (x int); insert into one values (1);
  create table e (id varchar primary key, t text, n int); alter table e alter t set storage external;
  insert into e select i, repeat('x', 10000) from generate_series(1, 30) as i;
  create table o (id int);
  create function touch() returns trigger language plpgsql set search_path = '' as $$ begin return new; end $$;
  create trigger touch before update on b for each row execute function touch();
  analyze`;

describe('with every operator, function and type planted ahead of those of Postgres', () => {
  it('none of them is called', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      await plant(client);
      const { rows } = await client.query('select current_database() as name');
      await client.query(
        `alter database "${String(rows[0].name)}" set search_path = evil, pg_catalog, public`,
      );
      const place = { cwd: makeProject(migrations).dir, url };
      for (const command of [
        ['plan'],
        ['up', '--chunk-size', '100'],
        ['status'],
        ['verify'],
        ['down'],
        ['down'],
        ['down'],
        ['create', '--name', 'more', '--table', 'a', '--allow-confusing-ordering'],
      ]) {
        const { code, stdout, stderr } = await run(command, place);
        expect(stdout + stderr, command.join(' ')).not.toMatch(/planted/);
        expect([command[0], code], stderr).toEqual([command[0], 0]);
      }
    });
  });
});
