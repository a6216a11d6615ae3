import { describe, expect, it } from 'vitest';
import { UmzugClusterError } from '../../src/index.ts';
import { appDatabase, columns } from '../support/app-schema.ts';
import { type Visiting, visitAll } from '../support/visits.ts';

const database = appDatabase();

/** What `up` says; fails where it runs, or where anything was written before it refused. */
async function refusal(
  made: string,
  visiting: Partial<Visiting>,
  failing?: string,
): Promise<{ readonly code: string; readonly text: string }> {
  const { client, url } = database;
  await client.query(made);
  if (failing !== undefined) await expect(client.query(failing)).rejects.toThrow();
  const refused: unknown = await visitAll(url, {
    table: 'app.t',
    written: 'app.t',
    style: 'rows',
    ...visiting,
  }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(UmzugClusterError);
  const { code, message, detail, hint } = refused as UmzugClusterError;
  const { rows } = await client.query(`select to_regclass('umzug_cluster.runs') as ledger`);
  expect(rows, 'nothing is written').toEqual([{ ledger: null }]);
  return { code, text: [message, detail, hint].join('\n') };
}

const inserted = 'insert into t (id, no) select i, i from generate_series(1, 10) as i';

describe('a key is refused that', () => {
  it.each<[what: string, table: string, key: readonly string[] | undefined, said: RegExp]>([
    [
      'is not there, where a unique index would do',
      `create table t ("The Id" int not null unique, email text unique, ${columns})`,
      undefined,
      /no primary key[\s\S]*options = \{ key: \['The Id'\] \}/,
    ],
    [
      'is a deferrable primary key, where a unique index would do',
      `create table t (id int primary key deferrable, u int not null unique, ${columns})`,
      undefined,
      /primary key cannot be used: it is deferrable[\s\S]*options = \{ key: \['u'\] \}/,
    ],
    [
      'is deferrable',
      `create table t (id int primary key, u int not null unique deferrable initially deferred, ${columns})`,
      ['u'],
      /"t_u_key" cannot be used: it is deferrable[\s\S]*leave out options.key: the primary key works/,
    ],
    [
      'may be null',
      `create table t (id int primary key, u int unique, v int not null, unique (v, u), ${columns})`,
      ['v', 'u'],
      /nullable: u; rows with a null key would never be processed/,
    ],
    [
      'has an expression',
      `create table t (id int not null, ${columns}); create unique index by_abs on t (id, abs(no))`,
      ['id'],
      /"by_abs" cannot be used: it is over an expression[\s\S]*leave out options.key/,
    ],
    [
      'is unique in part of the rows',
      `create table t (id int not null, ${columns}); create unique index few on t (id) where no > 3`,
      ['id'],
      /"few" cannot be used: it is partial/,
    ],
    [
      'is unique together with more columns',
      `create table t (id int, a int, b int, ${columns}, primary key (id, a), unique (a, b))`,
      ['a'],
      /no unique index covers exactly \(a\)/,
    ],
    [
      'is unique in another collation',
      `create table t (id text collate "C" not null, ${columns}); create unique index other on t (id collate "en-x-icu")`,
      ['id'],
      /"other" cannot be used: it has another collation/,
    ],
    [
      'is unique in another operator class',
      `create type pair as (a numeric); create table t (id pair not null, ${columns});
       create unique index bitwise on t (id record_image_ops)`,
      ['id'],
      /"bitwise" cannot be used: it has an operator class of its own/,
    ],
    [
      'is misspelt',
      `create table t (id int primary key, ${columns})`,
      ['idd'],
      /"idd" is not a column of "app.t"[\s\S]*its columns: id, no, n[\s\S]*did you mean "id"/,
    ],
  ])('%s', async (_what, table, key, said) => {
    const { code, text } = await refusal(table, { key });
    expect(code).toBe('SELECT_REFUSED');
    expect(text).toMatch(said);
  });

  it('names a column twice', async () => {
    const table = `create table t (id int primary key, ${columns})`;
    const { code, text } = await refusal(table, { key: ['id', 'id'] });
    expect({ code, text }).toMatchObject({
      code: 'MIGRATION_FILE',
      text: expect.stringMatching(/options.key must be a list of distinct column names/),
    });
  });

  it('has an index that was never finished', async () => {
    const twice = `create table t (id int not null, ${columns}); ${inserted}; ${inserted}`;
    const { text } = await refusal(
      twice,
      { key: ['id'] },
      'create unique index concurrently broken on t (id)',
    );
    expect(text).toMatch(/"broken" cannot be used: it is not valid/);
  });

  it('holds nulls in spite of its constraint, which was never validated (Postgres 18)', async (context) => {
    if (database.version < 180_000)
      return context.skip('constraints NOT NULL cannot be NOT VALID before Postgres 18');
    const table = `create table t (id int unique, ${columns}); insert into t (no) values (1), (2);
      alter table t add constraint filled not null id not valid`;
    expect((await refusal(table, { key: ['id'] })).text).toMatch(/nullable: id/);
  });

  it('is unique over time, in an index without an order (Postgres 18)', async (context) => {
    if (database.version < 180_000) return context.skip('WITHOUT OVERLAPS came with Postgres 18');
    const table = `create extension if not exists btree_gist schema public;
      create table t (id int, at tstzrange, ${columns}, primary key (id, at without overlaps))`;
    expect((await refusal(table, { key: ['id', 'at'] })).text).toMatch(
      /cannot be used: it is no btree index/,
    );
  });
});

describe('what cannot be migrated:', () => {
  const base = `create table base (id int primary key, ${columns}); insert into base values (1, 1)`;
  const foreign = `create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;`;
  const noWrapper = 'drop foreign data wrapper if exists nothing cascade';

  it.each<[what: string, made: string, table: string, said: RegExp]>([
    [
      'a view',
      `${base}; create view t as select * from base`,
      'app.t',
      /it is a view: select from its table/,
    ],
    [
      'a materialized view',
      `${base}; create materialized view t as select * from base; create unique index on t (id)`,
      'app.t',
      /it is a materialized view/,
    ],
    [
      'a foreign table',
      `${noWrapper}; ${foreign} create foreign table t (id int not null, ${columns}) server nowhere`,
      'app.t',
      /it is a foreign table: its rows cannot be locked here/,
    ],
    [
      'a table with a partition that is a foreign table',
      `${noWrapper}; ${foreign} create table t (id int not null, ${columns}) partition by list (no);
       create table t1 partition of t for values in (1);
       create table rest partition of t default partition by hash (id);
       create foreign table far partition of rest for values with (modulus 2, remainder 1) server nowhere`,
      'app.t',
      /partition that is a foreign table[\s\S]*migrate each of its other partitions separately/,
    ],
    ['a sequence', 'create sequence t', 'app.t', /it is a sequence/],
    ['a composite type', 'create type t as (id int)', 'app.t', /it is a composite type/],
    ['an index', `${base}; create index t on base (no)`, 'app.t', /it is an index/],
    ['a system catalog', 'select', 'pg_catalog.pg_class', /it is a system catalog/],
    ['a view of the information schema', 'select', 'information_schema.tables', /it is a system catalog/],
    ['nothing', 'select', 'app.t', /table "app.t" does not exist/],
    [
      'a table from which others inherit',
      `create table t (id int primary key, ${columns}); create table child () inherits (t)`,
      'app.t',
      /tables inherit from it[\s\S]*\{ only: true \}\), and migrate each of the others by itself/,
    ],
  ])('%s', async (_what, made, table, said) => {
    const { code, text } = await refusal(made, { table });
    expect(code).toBe('SELECT_REFUSED');
    expect(text).toMatch(said);
  });

  it('a temporary table of another session', async () => {
    const { client } = database;
    await client.query(`create temp table brief (id int primary key, ${columns})`);
    const { rows } = await client.query(`select pg_my_temp_schema()::regnamespace::text as schema`);
    const { text } = await refusal('select', { table: `${rows[0].schema}.brief` });
    expect(text).toMatch(/it is a temporary table: other workers cannot see it/);
  });
});
