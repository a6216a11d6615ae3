import type pg from 'pg';
import { expect, it } from 'vitest';
import { run, start } from '../support/cli.ts';
import { connect, withDatabase } from '../support/database.ts';
import { makeProject, rowsMigration, setMigration } from '../support/project.ts';

const table = `
  create table counters (id bigint primary key, n int not null default 0);
  insert into counters (id) select generate_series(101, 1000);
  analyze counters;`;

async function notDone(client: pg.Client): Promise<readonly unknown[]> {
  const { rows } = await client.query<{ id: string }>('select id from counters where n <> 1 order by id');
  return rows.map(({ id }) => Number(id));
}

const draining = (options: string): string => `
  import { setBased } from 'umzug-cluster';
  export const options = { ${options} };
  export const select = (db) => db('counters').where('n', 0);
  export const update = setBased((chunk, db) => chunk.update({ n: db.raw('n + 1') }));
`;

it.each([
  ['by rows', table, rowsMigration()],
  ['by sets', table, setMigration()],
  ['in physical order', table, draining(`order: 'physical'`)],
  [
    'of a table that was empty',
    'create table counters (id bigint primary key, n int not null default 0)',
    setMigration(),
  ],
])(
  'migrates what several transactions insert that were writing when up began, first, last and between; they are waited for by name: %s',
  async (_style, sql, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(sql);
      const [first, second] = [await connect(url), await connect(url)];
      const insert = (on: pg.Client, ids: string): Promise<unknown> =>
        on.query(`insert into counters (id) select * from ${ids} as new (id)`);
      await first.query('begin');
      await second.query('begin');
      await insert(first, 'generate_series(2001, 4000)');
      await insert(second, '(values (50), (9000))');
      const { rows } = await first.query<{ pid: number }>('select pg_backend_pid() as pid');
      const up = start(['up'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      await up.says(new RegExp(`waiting for transaction of pid ${rows[0]?.pid}\\b`));
      await insert(first, '(values (-7), (9001))');
      await first.query('commit');
      await insert(second, '(values (1), (1500))');
      await second.query('commit');
      await Promise.all([first.end(), second.end()]);
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect(await notDone(client)).toEqual([]);
      const { rows: found } = await client.query('select count(*) >= 2006 as are_there from counters');
      expect(found).toEqual([{ are_there: true }]);
    });
  },
);

it('is asked for nothing by a transaction that only reads: a dump holds nobody up', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const dump = await connect(url);
    await dump.query('begin isolation level repeatable read; select count(*) from counters');
    const up = await run(['up'], { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url });
    expect(up.code, up.stderr).toBe(0);
    expect(up.stderr).not.toContain('waiting for');
    expect(await notDone(client)).toEqual([]);
    await dump.end();
  });
});

it('a run that was paused while it waited goes over what came meanwhile when it is resumed', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const old = await connect(url);
    await old.query('begin; insert into counters (id) values (2000)');
    const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url };
    const up = start(['up'], place);
    await up.says(/waiting for transaction/);
    expect(await run(['pause', 'a'], place)).toMatchObject({ code: 0 });
    expect((await up.outcome).code, 'it was paused before it had a range').toBe(5);
    await old.query('commit');
    await old.end();
    const again = await run(['resume', 'a'], place);
    expect(again.code, again.stderr).toBe(0);
    expect(await notDone(client)).toEqual([]);
  });
});
