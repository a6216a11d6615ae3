import { describe, expect, it } from 'vitest';
import { run, start, until } from '../support/cli.ts';
import { connect, withDatabase } from '../support/database.ts';
import { recordsIn, recordsOf } from '../support/log-records.ts';
import { makeProject } from '../support/project.ts';

const table = `
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, 100)`;

describe('who is waited for is said', () => {
  it.each([
    ['for a lock', '', (pid: number) => `AccessExclusiveLock on public.t, behind transaction of pid ${pid}`],
    [
      'outside a transaction',
      'export const options = { transaction: false };',
      (pid: number) => `transaction of pid ${pid}`,
    ],
  ])('by a schema migration, %s', async (_what, options, said) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const change = options === '' ? 'alter table t add x int' : 'create index concurrently on t (n)';
      const source = `${options} export const up = (db) => db.raw('${change}');`;
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const writer = await connect(url);
      await writer.query('begin; update t set n = 1 where id = 1');
      const { rows } = await writer.query('select pg_backend_pid() as pid');
      const up = start(['up', '--log-format', 'json'], place);
      await up.says(/"event":"run.waiting"/);
      await writer.query('commit');
      await writer.end();
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      const reasons = recordsOf(recordsIn(stderr), 'run.waiting').map(({ reason }) => reason);
      expect(reasons).toEqual([expect.stringContaining(said(rows[0].pid)) as string]);
    });
  });

  it('by chunks that wait for a lock, as status says it on another host', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const source = `
        export const select = (db) => db('t').select('id');
        export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });`;
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const application = await connect(url);
      await application.query('begin; select from t where id = 50 for update');
      const { rows } = await application.query('select pg_backend_pid() as pid');
      const holder = `a lock of transaction of pid ${rows[0].pid}, `;
      const env = {
        UMZUG_CLUSTER_WAIT_FOR_OLD_TRANSACTIONS: 'false',
        UMZUG_CLUSTER_RETRY_BUDGET_MS: '60000',
      };
      const up = start(['up', '--log-format', 'json', '--workers', '1'], { ...place, env });
      await up.says(new RegExp(`"event":"run.progress".*"waiting":"${holder}`));
      await until('status says it', async () => (await run(['status', 'a'], place)).stdout.includes(holder));
      await application.query('commit');
      await application.end();
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect(recordsOf(recordsIn(stderr), 'run.progress').at(-1)).toMatchObject({ waiting: null });
    });
  });
});
