import { describe, expect, it } from 'vitest';
import { afterUp } from '../support/after-up.ts';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** Rollbacks by stored values of rows in tables other than the migration's own. */

const shops = `
  create type place as (town text, at regclass);
  create table owner (id int primary key, total int not null, name text, seen timestamptz default '2025-01-01',
    kind regclass default 'pg_class', spot place default row('a "town"', 'pg_proc'));
  insert into owner select i, i * 10, 'owner ' || i from generate_series(1, 5) as i;
  create table t (id int primary key, owner int references owner (id));
  insert into t select i, i % 5 + 1 from generate_series(1, 40) as i;
  create table tag (t_id int, word text, made text default 'by hand', primary key (t_id, word));
  insert into tag (t_id, word) select i, w from generate_series(1, 40) as i, unnest(array['old', 'kept']) as w;
  create extension if not exists citext;
  create table sum (word citext primary key, n int default 0, note text);
  insert into sum values ('One', 1, 'first');
  create table owner_old as table owner; create table tag_old as table tag; create table sum_old as table sum;`;

/** How many rows of the tables beside `t` are not as they were. */
const changedBeside = ['owner', 'tag', 'sum']
  .map(
    (name) => `
      select '${name}' as "table", was::text as was, is_now::text as is_now
      from ${name}_old as was full join ${name} as is_now on was::text = is_now::text
      where was.tableoid is null or is_now.tableoid is null`,
  )
  .join(' union all ');

const writing = (update: string, options = ''): string => `
  import { deleteRows, insertRows, updateRows } from 'umzug-cluster';
  export const options = { undo: true, chunkSize: 10, ${options} };
  export const select = (db) => db('t').select('id', 'owner');
  export const update = async (db, rows) => {
    const ids = rows.map(({ id }) => id);
    ${update}
  };`;

const add = `
  const owners = await db('owner').select('id', 'total').forUpdate();
  await updateRows(db, 'owner', owners.map(({ id, total }) => ({ id, total: total + 1 })), { key: ['id'], set: ['total'] });`;

describe('rows of other tables that the helpers write', () => {
  it.each([
    ['changed by every chunk', add],
    [
      'changed twice by a chunk, at a time',
      `await Promise.all([1, 2].map((n) => updateRows(db, 'owner', [1, 2, 3].map((id) => ({ id, name: 'new ' + n })), { key: ['id'], set: ['name'] })));`,
    ],
    [
      'deleted, found by a part of their key',
      `await deleteRows(db, 'tag', ids.map((id) => ({ t_id: id })), { key: ['t_id'] });`,
    ],
    [
      'deleted and inserted again',
      `
      await deleteRows(db, 'tag', ids.map((id) => ({ t_id: id })), { key: ['t_id'] });
      await insertRows(db, 'tag', ids.flatMap((id) => ['kept', 'new'].map((word) => ({ t_id: id, word }))));`,
    ],
    [
      'inserted, changed and deleted again',
      `
      await insertRows(db, 'tag', ids.map((id) => ({ t_id: id, word: 'new' })));
      await updateRows(db, 'tag', ids.map((id) => ({ t_id: id, word: 'new', made: 'here' })), { key: ['t_id', 'word'], set: ['made'] });
      if (ids.includes(1)) await deleteRows(db, 'tag', ids.map((id) => ({ t_id: id, word: 'new' })), { key: ['t_id', 'word'] });`,
    ],
    [
      'merged',
      `await insertRows(db, 'sum', [{ word: 'ONE', n: ids[0] }, { word: 'two', n: ids[0] }], { onConflict: { merge: ['n'] }, returning: ['word'] });`,
    ],
    [
      'changed in a savepoint, and in one that is rolled back',
      `
      await db.transaction(async (trx) => { ${add.replaceAll('db', 'trx')} });
      await db.transaction(async (trx) => { ${add.replaceAll('db', 'trx')} throw new Error('back'); }).catch(() => undefined);`,
    ],
    [
      'changed under settings of the migration',
      `
      await db.raw("set local datestyle to 'German'");
      await db.raw("set local timezone to 'America/St_Johns'");
      await updateRows(db, 'owner', [1, 2].map((id) => ({ id, seen: '31.12.2025 12:00' })), { key: ['id'], set: ['seen'] });`,
    ],
  ])('are restored where they were %s', async (_which, update) => {
    await afterUp(writing(update), shops, async ({ client, type }) => {
      expect((await client.query(changedBeside)).rows).not.toEqual([]);
      const { code, stdout, stderr } = await type('down', '--yes');
      expect({ code, stderr }).toMatchObject({ code: 0 });
      expect(stdout).not.toContain('left alone');
      expect((await client.query(changedBeside)).rows).toEqual([]);
    });
  });

  it('are left alone where they were changed since, and listed by their table', async () => {
    await afterUp(writing(add), shops, async ({ client, type }) => {
      await client.query(
        `update owner set total = 7 where id = 2; update owner set name = 'app' where id = 3`,
      );
      const { stdout } = await type('down', '--yes');
      expect(stdout).toContain('a: 4 rows restored, 1 left alone because they were changed since');
      expect((await type('status', 'a')).stdout).toContain(
        'a: row 2 of public.owner: "total" was changed since',
      );
      const { rows } = await client.query('select id, total, name from owner order by id limit 3');
      expect(rows).toEqual([
        { id: 1, total: 10, name: 'owner 1' },
        { id: 2, total: 7, name: 'owner 2' },
        { id: 3, total: 30, name: 'app' },
      ]);
    });
  });

  it('are named by plan only where something else writes them', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(shops);
      const project = makeProject({
        'a.ts': writing(
          `${add} await deleteRows(db, 'tag', ids.map((id) => ({ t_id: id })), { key: ['t_id'] });`,
        ),
      });
      const plan = async (): Promise<string> =>
        (await run(['plan', '--workers', '1'], { cwd: project.dir, url })).stdout;
      expect(await plan()).not.toContain('does not cover');
      project.write('a.ts', writing(`${add} await db('tag').whereIn('t_id', ids).del();`));
      expect(await plan()).toContain('does not cover what is written to public.tag');
    });
  });

  it.each([
    [
      'has no primary key',
      'alter table owner drop constraint owner_pkey cascade',
      add,
      'it has no primary key',
    ],
    [
      'gets another key',
      'select',
      `await updateRows(db, 'tag', [{ made: 'nowhere', word: 'x' }], { key: ['made'], set: ['word'], allowMissing: true });`,
      '"word" of its primary key is changed',
    ],
  ])('are refused where the table %s', async (_which, sql, update, why) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${shops} ${sql}`);
      const project = makeProject({ 'a.ts': writing(update) });
      const { code, stderr } = await run(['up', '--workers', '1'], { cwd: project.dir, url });
      expect(code).toBe(1);
      expect(stderr).toMatch(/undo could not find rows of "(owner|tag)" again that a helper writes: /);
      expect(stderr).toContain(why);
    });
  });
});

describe('foreign keys', () => {
  it('quarantine an inserted row to which the application refers by now, until it does not', async () => {
    const source = writing(`await insertRows(db, 'owner', ids.map((id) => ({ id: id + 100, total: 0 })));`);
    await afterUp(source, shops, async ({ client, type }) => {
      await client.query('update t set owner = 101 where id = 40');
      const { code, stderr } = await type('down', '--yes');
      expect({ code, stderr }).toMatchObject({ code: 1 });
      expect(stderr).toContain('row public.owner, 101 is quarantined');
      expect((await client.query('select id from owner where id > 100')).rows).toEqual([{ id: 101 }]);
      await client.query('update t set owner = 1 where id = 40');
      expect(await type('retry', 'a')).toMatchObject({ code: 0 });
      expect((await client.query('select id from owner where id > 100')).rows).toEqual([]);
    });
  });

  it('quarantine a row that would refer to one that is gone, until it is there', async () => {
    const source = writing('await db.raw("update t set owner = null where id = any (?)", [ids]);');
    await afterUp(source, shops, async ({ client, type }) => {
      await client.query('delete from owner where id = 1');
      const { code, stderr } = await type('down', '--yes');
      expect({ code, stderr }).toMatchObject({ code: 1 });
      expect(stderr).toMatch(/row 5 is quarantined: .*violates foreign key constraint/);
      expect((await client.query('select count(*)::int as n from t where owner is null')).rows).toEqual([
        { n: 8 },
      ]);
      await client.query(`insert into owner values (1, 10)`);
      expect(await type('retry', 'a')).toMatchObject({ code: 0 });
      expect((await client.query('select count(*)::int as n from t where owner is null')).rows).toEqual([
        { n: 0 },
      ]);
    });
  });

  it('let what was deleted come back before what refers to it', async () => {
    const source = writing(
      `await db.raw('update t set owner = null where id = any (?)', [ids]);
       if (ids.includes(40)) await deleteRows(db, 'owner', [1, 2, 3, 4, 5].map((id) => ({ id })), { key: ['id'] });`,
    );
    await afterUp(source, shops, async ({ client, type }) => {
      expect(await type('down', '--yes')).toMatchObject({ code: 0 });
      expect((await client.query(changedBeside)).rows).toEqual([]);
      expect((await client.query('select count(*)::int as n from t where owner is null')).rows).toEqual([
        { n: 0 },
      ]);
    });
  });
});
