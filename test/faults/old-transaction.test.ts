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

it.each([
  ['rows', rowsMigration()],
  ['sets', setMigration()],
])(
  'migrates a low key that a transaction inserts which was open when up began; it is waited for by name: by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const old = await connect(url);
      await old.query('begin');
      await old.query('insert into counters (id) values (2000)');
      const { rows } = await old.query<{ pid: number }>('select pg_backend_pid() as pid');
      const up = start(['up'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      await up.says(new RegExp(`waiting for transaction of pid ${rows[0]?.pid}\\b`));
      await old.query('insert into counters (id) values (1)');
      await old.query('commit');
      await old.end();
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      // the largest key when up began was 1000, and what comes behind it is another's: the README says so
      expect(await notDone(client)).toEqual([2000]);
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
