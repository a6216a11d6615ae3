import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type PlanReport, createMigrator } from '../../src/index.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { startProxy } from '../support/proxy.ts';

/** What `plan` says of tables that were never analyzed: each number is counted, measured or called unknown. */

const migration = (select: string, options: string): string => `
  export const options = ${options};
  export const select = (db) => ${select};
  export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });`;

async function planOf(
  seed: string,
  select: string,
  options = '{}',
): Promise<PlanReport['migrations'][number]> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(`create table t (id int primary key, n int, pad text) with (autovacuum_enabled = off);
      alter table t alter pad set storage external; ${seed}`);
    const { dir } = makeProject({ 'a.ts': migration(select, options) });
    const migrator = await createMigrator({ cwd: dir, databaseUrl: url });
    const { report } = await migrator.plan();
    await migrator.close();
    const [plan] = report.migrations;
    if (plan === undefined) throw new Error('nothing was planned');
    return plan;
  });
}

const rows = (count: number, pad = `'x'`): string =>
  `insert into t select i, null, ${pad} from generate_series(1, ${count}) as i;`;

describe('the numbers of plan, without statistics', () => {
  it('counts a table that is all in the sample, measures its size, and asks for no statistics that nothing needs', async () => {
    let all = await planOf(rows(50_000), `db('t').select('id')`);
    // A busy machine may have no time for it; then it says so.
    for (let again = 0; again < 5 && all.rows.why !== null; again += 1) {
      all = await planOf(rows(50_000), `db('t').select('id')`);
    }
    expect(all.rows).toEqual({
      estimated: 50_000,
      table: 50_000,
      isCounted: true,
      isTableCounted: true,
      why: null,
    });
    // 222 blocks; a row of the file takes 36 bytes and its line pointer.
    expect(all.estimate?.tableBytes).toBeGreaterThanOrEqual(222 * 8_192);
    expect(all.estimate?.tableBytes).toBeLessThan(300 * 8_192);
    expect(all.warnings).toEqual([]);
    const some = await planOf(rows(30_000), `db('t').select('id').whereNull('n').whereRaw('id % 3 = 0')`);
    expect(some.rows).toMatchObject({ estimated: 10_000, table: 30_000, isCounted: true });
    expect(some.warnings).toEqual([expect.stringMatching(/^"t" has no statistics on "id", "n",.*analyze/)]);
  });

  it('tells a sample that has none from one for which there was no time', async () => {
    const wide = rows(20_000, `repeat('x', 600)`);
    const rare = await planOf(wide, `db('t').select('id').where('id', '>', 19998).where('id', '<', 20000)`);
    // The one row is found by the chunk that is tried.
    expect(rare.rows).toMatchObject({ estimated: 1, isCounted: true, isTableCounted: false });
    const first = await planOf(
      wide,
      `db('t').select('id').where('id', '>', 19998).where('id', '<', 20000)`,
      '{ chunkSize: 1 }',
    );
    expect(first.rows.why).toMatch(/^a sample of the table has none; it has about [\d,]+ rows$/);
    const slow = await planOf(
      rows(20_000),
      `db('t').select('id').whereRaw('length(repeat(md5(pad), 20000)) > 0')`,
      '{ chunkSize: 10 }',
    );
    expect(slow.rows).toMatchObject({
      estimated: null,
      why: 'select took too long on a sample of the table; it has 20,000 rows',
    });
  });

  it('compares the rows that a chunk takes, where some of them are too large to be read with others', async () => {
    const mixed = rows(500, `case when i between 3 and 4 then repeat('x', 40000000) else 'x' end`);
    const few = 20_000_000;
    const plans = [];
    // What other sessions write in that time counts as well, and other tests write.
    do plans.push(await planOf(mixed, `db('t').select('id', 'pad').whereNull('n')`, '{ chunkSize: 8 }'));
    while ((plans.at(-1)?.estimate?.tableBytes ?? 0) > few && plans.length < 10);
    const plan = plans.at(-1);
    if (plan === undefined) throw new Error('nothing was planned');
    expect(plan.rows.estimated).toBe(500);
    expect(plan.sample?.changedColumns).toEqual(['n']);
    expect(plan.sample?.rows).toBeLessThan(5);
    expect(plan.warnings).toEqual([]);
    // Their pads of 80 MB are not written again; whole pages may be, after a checkpoint.
    expect(plan.estimate?.tableBytes).toBeLessThan(few);
  });

  it('knows an empty table, and a single row', async () => {
    expect((await planOf('', `db('t').select('id')`)).rows).toMatchObject({ estimated: 0, isCounted: true });
    const one = await planOf(rows(1), `db('t').select('id').whereNull('n')`);
    expect(one.rows).toMatchObject({ estimated: 1, table: 1, isCounted: true });
    expect(one.estimate?.tableBytes).toBeGreaterThan(0);
  });
});

it('a plan ends once the database is away, and does not wait for it with each migration', async () => {
  vi.stubEnv('UMZUG_CLUSTER_RETRY_BUDGET_MS', '500');
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  await withDatabase(async ({ url, client }) => {
    await client.query('create table t (id int primary key, n int); insert into t values (1)');
    let isAway = false;
    const proxy = await startProxy(url, ({ body }) => {
      isAway ||= body.includes('update "t"');
      return isAway ? 'cut-before' : 'pass';
    });
    const source = migration(`db('t').select('id')`, '{}');
    const { dir } = makeProject({ 'a.ts': source, 'b.ts': source });
    const migrator = await createMigrator({ cwd: dir, databaseUrl: proxy.url(url) });
    await expect(migrator.plan()).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' });
    await migrator.close();
    await proxy.close();
  });
});
