import os from 'node:os';
import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** Each chunk waits before it writes. */
const source = (wait: string): string => `
  export const select = (db) => db('t').select('id').where('n', 0);
  export const update = async (db, rows) => {
    await ${wait};
    await db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });
  };`;

it('as many lanes as there may be share the work of one process, and Node warns of nothing', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query('create table t (id int primary key, n int not null)');
    await client.query('insert into t select no, 0 from generate_series(1, 2000) as no; analyze t');
    const { dir } = makeProject({ 'a.ts': source(`db.raw('select pg_sleep(0.1)')`) });
    const env = { UMZUG_CLUSTER_LANES: '16' };
    const up = await run(['up', '--workers', '1', '--chunk-size', '10'], { cwd: dir, url, env });
    expect(up.code).toBe(0);
    expect(up.stderr).not.toMatch(/Warning/);
    const { rows } = await client.query(
      'select count(distinct worker)::int as lanes from umzug_cluster.ranges',
    );
    expect(rows[0]?.lanes).toBeGreaterThan(10);
    expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 1 }]);
  });
});

it('there are more lanes than two where chunks keep neither the server nor this process busy', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query('create table t (id int primary key, n int not null)');
    await client.query('insert into t select no, 0 from generate_series(1, 12000) as no; analyze t');
    const { dir } = makeProject({ 'a.ts': source('new Promise((resolve) => setTimeout(resolve, 400))') });
    const up = await run(['up', '--workers', '1', '--chunk-size', '250'], { cwd: dir, url });
    expect(up.code, up.stderr).toBe(0);
    const { rows } = await client.query(
      'select count(distinct worker)::int as lanes from umzug_cluster.ranges',
    );
    expect(rows[0]?.lanes).toBeGreaterThan(2);
    expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 1 }]);
  });
});

it('a host opens as many connections as its settings allow and no more, each with a name', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table t (id int primary key, n int not null);
      create table seen (chunk xid8, pid int, state text, name text);
      insert into t select no, 0 from generate_series(1, 3000) as no; analyze t`);
    const { rows: own } = await client.query('select pg_backend_pid() as pid');
    const look = `db.raw(\`insert into seen select pg_current_xact_id(), pid, state, application_name
      from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
        and pid <> ${own[0]?.pid}\`).then(() => db.raw('select pg_sleep(0.2)'))`;
    const { dir } = makeProject({ 'a.ts': source(look) });
    const env = { UMZUG_CLUSTER_LANES: '2' };
    const up = await run(['up', '--workers', '2', '--chunk-size', '50'], { cwd: dir, url, env });
    expect(up.code, up.stderr).toBe(0);
    const { rows } = await client.query<{ most: number; processes: number; names: string[]; idle: boolean }>(
      `select (select max(n)::int from (select count(*) as n from seen group by chunk) as looks) as most,
              (select count(distinct substring(name from ':[0-9]+'))::int from seen) as processes,
              (select array_agg(distinct regexp_replace(name, ':[0-9]+', ':0')) from seen) as names,
              (select bool_or(state = 'idle') from seen) as idle`,
    );
    // of 2 processes with 2 lanes each, and what the command itself asks and says
    expect(rows[0]).toMatchObject({ most: 5, processes: 2, idle: true });
    const host = os.hostname();
    expect(rows[0]?.names.toSorted()).toEqual(
      expect.arrayContaining([
        `umzug-cluster a ${host}:0 1`,
        `umzug-cluster a ${host}:0 2`,
        `umzug-cluster ${host}:0 control`,
      ]),
    );
    for (const name of rows[0]?.names ?? []) expect(name).toMatch(/^umzug-cluster (a )?\S+:0 (\d+|control)$/);
  });
});
