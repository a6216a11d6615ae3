import { describe, expect, it } from 'vitest';
import { UmzugClusterError } from '../../src/index.ts';
import { appDatabase, columns, filled, rows, styles, visitTwice } from '../support/app-schema.ts';
import { runHere, visits } from '../support/visits.ts';

const database = appDatabase();

describe('a table from which others inherit', () => {
  it('gives its own rows alone, and so does each of the others', async () => {
    await database.client.query(`
      create table t (id int primary key, ${columns});
      create table child (extra text, primary key (id)) inherits (t);
      ${filled('no')}; insert into child select id, no, 0, 'x' from only t; analyze t; analyze child`);
    await visitTwice(database, { only: true });
    expect(await visits(database.client, 'only t')).toEqual({ 22: rows });
    expect(await visits(database.client, 'child')).toEqual({ 0: rows });
    await visitTwice(database, { table: 'app.child' });
    expect(await visits(database.client, 't')).toEqual({ 22: 2 * rows });
  });
});

describe('a table', () => {
  it.each<[what: string, sql: string, check?: string]>([
    ['that is unlogged', `create unlogged table t (id int primary key, ${columns}); ${filled('no')}`],
    [
      'with generated columns',
      `create table t (id int primary key, ${columns}, twice int generated always as (n * 2) stored,
         of_id int generated always as (id * 2) stored unique);
       ${filled('no')}`,
      'select count(*) from t where twice <> 44 or of_id <> id * 2',
    ],
    [
      'whose key is an identity column',
      `create table t (id bigint generated always as identity primary key, ${columns});
       insert into t (no) select generate_series(1, ${rows})`,
    ],
    [
      'with triggers before and after each row and statement',
      `create table t (id int primary key, ${columns}, changes int not null default 0); ${filled('no')};
       create table audit (id int); create table statements (at timestamptz);
       create function note() returns trigger language plpgsql as $$ begin
         if tg_level = 'STATEMENT' then insert into app.statements values (now()); return null; end if;
         if tg_when = 'BEFORE' then new.changes = old.changes + 1; return new; end if;
         insert into app.audit values (new.id); return null; end $$;
       create trigger first before update on t for each row execute function note();
       create trigger last after update on t for each row execute function note();
       create trigger each_time after update on t for each statement execute function note()`,
      `select count(*) from (select id, changes, count(*) as noted from t join audit using (id) group by id) as seen
       where changes <> 4 or noted <> 4`,
    ],
    [
      'with foreign keys in both directions, and to itself',
      `create table owners (id int primary key);
       insert into owners select generate_series(1, 9);
       create table t (id int primary key, ${columns}, owner int not null default 1 references owners, up int references t);
       ${filled('no')}; update t set owner = id % 9 + 1, up = nullif(id - 1, 0);
       create table items (id int primary key, t_id int not null references t on update cascade on delete restrict);
       insert into items select id, id from t; alter table owners add t_id int references t;
       update owners set t_id = id`,
      `select count(*) from t left join items on items.t_id = t.id where items.id is null`,
    ],
    [
      'with values that are stored out of line',
      `create table t (id int primary key, ${columns}, body text, packed text, doc jsonb);
       alter table t alter body set storage external;
       insert into t (id, no, body, packed, doc)
         select no, no, repeat(md5(no::text), 400), repeat('x' || no, 30000), jsonb_build_object('a', repeat(md5(no::text), 200))
         from generate_series(1, ${rows}) as no`,
      `select count(*) from t where body <> repeat(md5(no::text), 400) or packed <> repeat('x' || no, 30000)
         or doc <> jsonb_build_object('a', repeat(md5(no::text), 200))`,
    ],
    [
      'with row-level security, of which its owner sees nothing',
      `create table t (id int primary key, ${columns}); ${filled('no')}; alter table t enable row level security;
       create policy few on t using (id < 5)`,
    ],
    [
      'whose key is a text of its language and a moment of microseconds',
      `create table t (code text collate "de-x-icu", at timestamptz, ${columns}, primary key (code, at));
       ${filled(`(array['ä', 'Z', 'a', 'ß'])[no % 4 + 1], timestamptz 'epoch' + no / 4 * interval '1 us'`)}`,
    ],
    [
      'whose key is of a domain, and of a type of an extension',
      `create extension if not exists citext; create domain code as text;
       create table t (code code, name citext, ${columns}, primary key (code, name));
       ${filled(`'c' || no % 7, 'N' || no`)}`,
    ],
    [
      'whose key has more columns in its index',
      `create table t (id int not null, ${columns}, unique (id) include (no)); ${filled('no')}`,
    ],
  ])('%s: each row is visited once up and once down', async (what, sql, check) => {
    await database.client.query(sql);
    await visitTwice(database, { key: what.includes('in its index') ? ['id'] : undefined });
    expect(await visits(database.client, 't')).toEqual({ 22: rows });
    if (check === undefined) return;
    expect((await database.client.query(check)).rows).toEqual([{ count: '0' }]);
  });

  it('with virtual generated columns (Postgres 18)', async (context) => {
    if (database.version < 180_000) return context.skip('virtual generated columns came with Postgres 18');
    await database.client.query(
      `create table t (id int primary key, ${columns}, twice int generated always as (n * 2)); ${filled('no')}`,
    );
    await visitTwice(database);
    expect(await visits(database.client, 't')).toEqual({ 22: rows });
  });

  const generatedKey = `create table t (a int not null, ${columns}, k int generated always as (a * 2) stored primary key); ${filled('no')}`;

  it.each([
    [
      'rows',
      `(db, rows) => db('app.t').whereIn('no', rows.map(({ no }) => no)).update({ a: db.raw('a + 1000') })`,
    ],
    ['sets', `setBased((chunk, db) => chunk.update({ a: db.raw('a + 1000') }))`],
  ])('whose key is generated from what update changes: refused, by %s', async (_style, update) => {
    await database.client.query(generatedKey);
    const source = `
      import { setBased } from 'umzug-cluster';
      export const select = (db) => db('app.t');
      export const update = ${update};`;
    await expect(runHere(database.url, () => source, {})).rejects.toThrow(
      /update (changes the key|moved or deleted)/,
    );
    expect((await database.client.query('select count(*) from t where a > 1000')).rows).toEqual([
      { count: '0' },
    ]);
  });
});

describe('a constraint that is checked at COMMIT', () => {
  const raise = `create function refuse() returns trigger language plpgsql as $$ begin
    if new.id = 77 then raise exception 'no'; end if; return null; end $$`;

  it.each<[what: string, sql: string, set: string, sqlstate: string]>([
    [
      'foreign key',
      `create table others (id int primary key); insert into others select generate_series(1, ${rows}) except select 77;
       alter table t add other int references others deferrable initially deferred`,
      'other = id',
      '23503',
    ],
    [
      'unique',
      `alter table t add u int unique deferrable initially deferred; insert into t (id, no, n, u) values (1000, 1000, 1, 77)`,
      'u = id',
      '23505',
    ],
    [
      'trigger',
      `${raise}; create constraint trigger late after update on t deferrable initially deferred
         for each row execute function refuse()`,
      'no = no',
      'P0001',
    ],
  ])('%s: the row that breaks it is quarantined, the others are done', async (_what, sql, set, sqlstate) => {
    const { client, url } = database;
    for (const style of styles) {
      await client.query(`drop table if exists t, others cascade; drop function if exists refuse;
        drop schema if exists umzug_cluster cascade; create table t (id int primary key, ${columns}); ${filled('no')}; ${sql}`);
      const written = `n = n + 1, ${set}`;
      const update =
        style === 'sets'
          ? `setBased((chunk, db) => chunk.update({ n: db.raw('n + 1'), ${set.replace(/(\w+) = (\w+)/, `$1: db.raw('$2')`)} }))`
          : `(db, rows) => db.raw('update app.t set ${written} where id = any (?)', [rows.map(({ id }) => id)])`;
      const source = `
        import { setBased } from 'umzug-cluster';
        export const options = { chunkSize: 60 };
        export const select = (db) => db('app.t').where('id', '<=', ${rows});
        export const update = ${update};`;
      const failed: unknown = await runHere(url, () => source, {}).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(UmzugClusterError);
      expect((failed as UmzugClusterError).detail).toMatch(
        new RegExp(`^row 77: .*\\(SQLSTATE ${sqlstate}\\)$`),
      );
      const { rows: left } = await client.query(`select id from t where n <> 1`);
      expect(left).toEqual([{ id: 77 }]);
    }
  });
});
