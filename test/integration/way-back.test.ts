import { describe, expect, it } from 'vitest';
import { afterUp, changedRows, migration, tables, ten } from '../support/after-up.ts';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** Rollbacks of migrations without a `down`, by what their runs have stored. */

describe('down without a down', () => {
  it('restores what a migration has changed, and up makes new images afterwards', async () => {
    await afterUp(ten, tables, async ({ client, type }) => {
      const down = await type('down', '--yes');
      expect(down).toMatchObject({ code: 0 });
      expect(down.stdout).toContain('a: 50 rows restored, in ');
      expect((await client.query(changedRows)).rows).toEqual([]);
      expect((await type('status', 'a')).stdout).not.toContain('stored');
      expect(await type('up')).toMatchObject({ code: 0 });
      expect(await type('down', '--yes')).toMatchObject({ code: 0 });
      expect((await client.query(changedRows)).rows).toEqual([]);
    });
  });

  it('leaves rows alone that were changed since, and lists them; other columns are nobody’s', async () => {
    await afterUp(ten, tables, async ({ client, type }) => {
      await client.query(
        `update t set n = 7 where id in (3, 4); update t set other = 1 where id = 5; delete from t where id = 6`,
      );
      const down = await type('down', '--yes', '--json');
      const [outcome] = JSON.parse(down.stdout).migrations;
      expect(outcome.restored).toMatchObject({ rows: 47, leftAlone: 2, gone: 1 });
      expect(outcome.restored.conflicts).toEqual([
        { key: ['3'], table: null, columns: ['n'], reason: 'changed' },
        { key: ['4'], table: null, columns: ['n'], reason: 'changed' },
        { key: ['6'], table: null, columns: [], reason: 'gone' },
      ]);
      const { rows } = await client.query(
        'select id, n, note, other from t where id between 3 and 7 order by id',
      );
      expect(rows).toEqual([
        { id: 3, n: 7, note: 'new', other: null },
        { id: 4, n: 7, note: 'new', other: null },
        { id: 5, n: 5, note: 'old', other: 1 },
        { id: 7, n: 7, note: 'old', other: null },
      ]);
      const { stdout } = await type('status', 'a');
      expect(stdout).toContain('a: not restored by its rollback: 2 rows left alone, 1 gone');
      expect(stdout).toContain('a: row 3: "n" was changed since');
      expect(stdout).toContain('a: stored, also of what was not restored: ');
      await client.query(`update umzug_cluster.runs set finished_at = now() - interval '2 days'`);
      expect(await type('prune', '--older-than', '1d')).toMatchObject({ code: 0 });
      expect((await client.query('select count(*)::int as n from umzug_cluster.images')).rows).toEqual([
        { n: 0 },
      ]);
    });
  });

  it('restores them as well with --overwrite, but none that is gone', async () => {
    await afterUp(ten, tables, async ({ client, type }) => {
      await client.query('update t set n = 7 where id = 3; delete from t where id = 6');
      const { stdout } = await type('down', '--yes', '--overwrite');
      expect(stdout).toContain('a: 49 rows restored, 1 gone, in ');
      expect((await client.query(changedRows)).rows).toEqual([{ id: 6 }]);
    });
  });

  const deleting = `
    export const options = { undo: true, allowDelete: true, chunkSize: 10 };
    export const select = (db) => db('t').select('id').where('id', '>', 40);
    export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).del();`;

  it('inserts deleted rows again, with the values of identity columns, unless their keys are there again', async () => {
    const sql = `
      create table t (id int generated always as identity primary key, n int, twice int generated always as (n * 2) stored);
      insert into t (n) select i from generate_series(1, 50) as i; create table t_old as table t;`;
    await afterUp(deleting, sql, async ({ client, type }) => {
      await client.query('insert into t (id, n) overriding system value values (45, 1)');
      const { stdout } = await type('down', '--yes');
      expect(stdout).toContain('a: 9 rows restored, 1 left alone because they were changed since, in ');
      expect((await client.query(changedRows)).rows).toEqual([{ id: 45 }]);
    });
  });

  it('deletes rows that insertRows has added, where they are as they were added', async () => {
    const adding = `import { insertRows } from 'umzug-cluster';
      export const options = { undo: true, chunkSize: 10 };
      export const select = (db) => db('t').select('id').where('id', '<=', 4);
      export const update = (db, rows) => insertRows(db, 'log', rows.map(({ id }) => ({ id, word: 'as added' })));`;
    const log = `create table log (id int primary key, word text, seen boolean default false);`;
    await afterUp(adding, `${tables} ${log}`, async ({ client, type }) => {
      await client.query(`
        update log set word = 'changed' where id = 2; update log set seen = true where id = 3;
        delete from log where id = 4; insert into log values (5, 'of the application')`);
      const { stdout } = await type('down', '--yes');
      expect(stdout).toContain('a: 2 rows restored, 2 left alone');
      expect((await client.query('select id from log order by id')).rows).toEqual([
        { id: 2 },
        { id: 3 },
        { id: 5 },
      ]);
      expect((await type('status', 'a')).stdout).toContain(
        'a: row 2 of public.log: "word" was changed since',
      );
    });
  });

  it('tries rows again at the end whose unique values others had', async () => {
    const sql = tables.replace('n int', 'n int unique');
    await afterUp(ten, sql, async ({ client, type }) => {
      // the way back begins with the last rows
      await client.query(`
        update t set n = 11 where id = 10; update t set n = 12 where id = 11;
        update umzug_cluster.images set after = case key when '{10}' then '{11,new}' else '{12,new}' end
        where key in ('{10}', '{11}')`);
      const { code, stdout, stderr } = await type('down', '--yes');
      expect({ code, stderr }).toMatchObject({ code: 0 });
      expect(stdout).toContain('a: 50 rows restored, in ');
      expect(stderr).toContain('row 12 is quarantined: duplicate key value');
      expect((await client.query(changedRows)).rows).toEqual([]);
    });
  });

  it('restores the values of before the first of several changes of a row', async () => {
    const sweeping = migration('n = n + 100', 'sweep: true').replace(
      "select('id')",
      "select('id').where('n', '<', 60)",
    );
    await afterUp(sweeping, tables, async ({ client, type }) => {
      // the application made them match again
      await client.query(`
        insert into umzug_cluster.images (run_id, key, columns, before, after)
        select run_id, key, '{2,4}', '{5,NULL}', '{105,1}'
        from umzug_cluster.images where (key::text[])[1]::int <= 10;
        update t set n = 105, other = 1 where id <= 10`);
      expect(await type('down', '--yes')).toMatchObject({ code: 0 });
      expect((await client.query(changedRows)).rows).toEqual([]);
    });
  });

  it.each([
    ['is gone', 'alter table t drop column note', 'column "note" of "t" is gone'],
    [
      'has another type',
      'alter table t alter n type bigint',
      'column "n" of "t" was of type integer, and is of type bigint',
    ],
    ['is in no table', 'alter table t rename to u', 'table "public.t" does not exist'],
  ])('is refused, and nothing done, where a column %s', async (_what, change, why) => {
    await afterUp(ten, tables, async ({ client, type }) => {
      await client.query(change);
      const { code, stderr } = await type('down', '--yes');
      expect(code).not.toBe(0);
      expect(stderr).toContain(`a: its stored values cannot be restored: ${why}`);
      expect((await client.query(`select state from umzug_cluster.runs`)).rows).toEqual([{ state: 'done' }]);
    });
  });

  it('runs the down of the file where there is one, unless it is told otherwise', async () => {
    const source = `${ten}
      export const down = { select, update: (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 0 }) };`;
    await afterUp(source, tables, async ({ client, type }) => {
      expect((await type('down', '--yes', '--images')).stdout).toContain('a: 50 rows restored');
      expect((await client.query(changedRows)).rows).toEqual([]);
      expect(await type('up')).toMatchObject({ code: 0 });
      expect((await type('down', '--yes')).stdout).toContain('a: 50 rows in');
      expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 0 }]);
    });
  });
});

it('restores the values of every type as they were', async () => {
  const values = {
    bool: ['boolean', 'true'],
    small: ['smallint', '-32768'],
    big: ['bigint', '9223372036854775807'],
    num: ['numeric', '0.100000000000000000000000000010'],
    scaled: ['numeric(12, 4)', '1.5'],
    infinite: ['numeric', `'NaN'`],
    float: ['double precision', '0.1::float8 + 0.2::float8'],
    real: ['real', '0.1'],
    cash: ['money', '12.34'],
    text: ['text', `E'a\\\\b"{}\\n''c'`],
    empty: ['text', `''`],
    padded: ['char(6)', `'ab'`],
    short: ['varchar(3)', `'a  '`],
    byte: ['"char"', `'x'`],
    name: ['name', `'a name'`],
    bytes: ['bytea', `'\\x00ff5c'`],
    day: ['date', `'infinity'`],
    time: ['timetz', `'12:34:56.789+05:45'`],
    at: ['timestamptz', `'2025-03-30 02:30:00.123456 Europe/Berlin'`],
    old: ['timestamp', `'0044-03-15 12:00:00 BC'`],
    span: ['interval', `'-1 year 3 days -04:05:06.7'`],
    uuid: ['uuid', `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`],
    json: ['json', `'{"a":  1, "a": 2}'`],
    jsonb: ['jsonb', `'{"a": [1, null, "x"]}'`],
    xml: ['xml', `'<a  b="1"/>'`],
    point: ['point', `'(0.1,-0.30000000000000004)'`],
    ip: ['inet', `'10.0.0.1/24'`],
    mac: ['macaddr8', `'08:00:2b:01:02:03:04:05'`],
    bits: ['bit varying', `B'10110'`],
    search: ['tsvector', `'a fat cat'`],
    range: ['int4range', `'[1,5)'`],
    many: ['datemultirange', `'{[2025-01-01,2025-02-01)}'`],
    list: ['text[]', `array['a', null, '{"b', '']`],
    grid: ['int[]', `'[0:1][2:3]={{1,2},{3,4}}'`],
    times: ['timestamptz[]', `array['2025-03-30 02:30:00 Europe/Berlin'::timestamptz]`],
    mood: ['mood', `'so so'`],
    whole: ['whole', '5'],
    pair: ['pair', `row(1, 'a,"b')`],
    pairs: ['pair[]', `array[row(1, null)::pair]`],
    table: ['regclass', `'t'`],
    nothing: ['int', 'null'],
  } as const;
  const columns = Object.entries(values).map(([name, [type]]) => `"${name}" ${type}`);
  const texts = Object.values(values).map(([kind, value]) => `(${value})::${kind}`);
  const sql = `
    create type mood as enum ('so so', 'well'); create domain whole as int; create type pair as (a int, b text);
    create table t (id int primary key, ${columns.join(', ')});
    insert into t select i, ${texts.join(', ')} from generate_series(1, 3) as i;
    create table t_old as table t;`;
  const nulled = Object.keys(values).map((name) =>
    name === 'nothing' ? '"nothing" = 1' : `"${name}" = null`,
  );
  await afterUp(migration(nulled.join(', ')), sql, async ({ client, type }) => {
    expect((await client.query(changedRows)).rows).toHaveLength(3);
    const { stdout, stderr } = await type('down', '--yes');
    expect(stdout, stderr).toContain('a: 3 rows restored, in ');
    expect((await client.query(changedRows)).rows).toEqual([]);
  });
});

it('rolls back what is half done, as the end of up says', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(tables);
    const place = { cwd: makeProject({ 'a.ts': ten }).dir, url };
    const up = await run(['up', '--workers', '1', '--limit', '20'], place);
    expect(up.stderr).toContain('roll back: umzug-cluster down --name a');
    const down = await run(['down', '--name', 'a', '--yes', '--workers', '1'], place);
    expect(down.stdout).toContain('a: 20 rows restored');
    expect((await client.query(changedRows)).rows).toEqual([]);
  });
});

it('needs no argument of the migration, secret or not', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(tables);
    const source = `${ten.replace('undo: true,', 'undo: true, args: { apiKey: { secret: true, required: true } },')}
      export const down = { select, update: (db, rows, { args }) => { throw new Error(args.apiKey); } };`;
    const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
    const key = { UMZUG_CLUSTER_ARG_API_KEY: 'a secret of eight words' };
    expect(await run(['up'], { ...place, env: key })).toMatchObject({ code: 0 });
    expect(await run(['down', '--yes'], place)).toMatchObject({ code: 2 });
    expect(await run(['down', '--plan', '--images'], place)).toMatchObject({ code: 0 });
    expect((await run(['down', '--yes', '--images'], place)).stdout).toContain('a: 50 rows restored');
    expect((await client.query(changedRows)).rows).toEqual([]);
  });
});

describe('forget', () => {
  it('removes what a migration has stored, after which down says when that was', async () => {
    await afterUp(ten, tables, async ({ type, client }) => {
      expect((await type('status', 'a')).stdout).toMatch(
        /a: stored to be rolled back: \d+ kB; remove it: umzug-cluster forget a/,
      );
      const unasked = await type('forget', 'a');
      expect(unasked).toMatchObject({ code: 2 });
      expect((await type('forget', 'a', '--yes')).stdout).toContain('removed what 1 run of a had stored');
      const { code, stderr } = await type('down', '--yes');
      const { rows } = await client.query('select current_date::text as day');
      expect(code).toBe(2);
      expect(stderr).toContain(`error: the values that a stored were forgotten on ${rows[0].day}`);
      expect((await type('forget', 'a', '--yes')).stdout).toContain('a has stored nothing');
      expect((await type('history', 'a')).stdout).toContain('forgotten');
    });
  });

  it('removes what is stored of one row, which stays as it is', async () => {
    await afterUp(ten, tables, async ({ client, type }) => {
      expect((await type('forget', 'a', '--key', '007', '--yes')).stdout).toContain(
        'removed 1 stored value of one row',
      );
      expect((await type('forget', 'a', '--key', 'x', '--yes')).stderr).toContain(
        'error: x is no key of "t"',
      );
      expect((await type('down', '--yes')).stdout).toContain('a: 49 rows restored');
      expect((await client.query(changedRows)).rows).toEqual([{ id: 7 }]);
    });
  });

  it('is refused for a run that is not done', async () => {
    await afterUp(ten, tables, async ({ client, type }) => {
      await client.query(
        `update umzug_cluster.runs set state = 'paused'; delete from umzug_cluster.migrations`,
      );
      const { code, stderr } = await type('forget', 'a', '--yes');
      expect({ code, stderr }).toMatchObject({ code: 3 });
      expect(stderr).toContain('a is started but not done: what it stores cannot be removed');
    });
  });

  it('happens by itself when the days of options.undo are over, and by prune', async () => {
    const source = ten.replace('undo: true', 'undo: { keepDays: 30 }');
    await afterUp(source, tables, async ({ client, type }) => {
      const left = async (): Promise<unknown> =>
        (
          await client.query(
            `select count(*)::int as n from pg_inherits where inhparent = 'umzug_cluster.images'::regclass`,
          )
        ).rows[0];
      await client.query(`update umzug_cluster.runs set finished_at = now() - interval '29 days'`);
      await type('up');
      expect(await left()).toEqual({ n: 1 });
      await client.query(`update umzug_cluster.runs set finished_at = now() - interval '31 days'`);
      await type('up');
      expect(await left()).toEqual({ n: 0 });
      const { code, stderr } = await type('down', '--yes');
      expect(code).toBe(2);
      expect(stderr).toContain('error: the values that a stored were forgotten on ');
    });
  });
});

it('says in plan, and when it runs, that a schema migration drops what could be restored', async () => {
  await afterUp(ten, tables, async ({ again, type }) => {
    again('b.ts', `export const up = (db) => db.raw('alter table t drop column note');`);
    expect((await type('plan')).stdout).toContain(
      'it seems to drop "note" of public.t, of which a has stored values: they could not be restored any more',
    );
    const { code, stderr } = await type('up');
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr).toContain(
      'b dropped "note" of public.t, of which a has stored values: they cannot be restored any more',
    );
  });
});
