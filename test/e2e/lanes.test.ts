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
