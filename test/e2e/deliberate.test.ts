import type pg from 'pg';
import { expect, it } from 'vitest';
import { type Place, run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { runInProcess } from '../support/in-process.ts';
import { counterRows, createCounters, makeProject, rowsMigration } from '../support/project.ts';

async function statusOf(place: Place): Promise<{ state: string; rows: { done: number } }> {
  const { stdout } = await run(['status', 'a', '--json'], place);
  const { migrations } = JSON.parse(stdout) as { migrations: never[] };
  return migrations[0] ?? Promise.reject(new Error(stdout));
}

async function values(client: pg.Client): Promise<unknown> {
  return (await client.query<{ n: number }>('select distinct n from counters')).rows.map(({ n }) => n);
}

const writes = (table: string): string => `
  export const select = (db) => db('${table}').where('n', '<', 2).select('id');
  export const update = (db, rows) => {
    if (rows.length > 1) throw new Error('too many');
    return db('${table}').whereIn('id', rows.map(({ id }) => id)).increment('n', 2);
  };`;

it('up --past runs what comes after a parked migration, but not what selects from its table', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table t (id int primary key, n int not null default 0);
      create table other (id int primary key, n int not null default 0);
      insert into t values (1, 0), (2, 0); insert into other values (1, 0)`);
    const files = {
      'a.ts': writes('t').replace('rows.length > 1', 'true'),
      'b.ts': `export const up = (db) => db.raw('create table b ()');`,
      'c.ts': writes('other'),
      'd.ts': writes('t'),
    };
    const place = { cwd: makeProject(files).dir, url };
    expect((await run(['up'], place)).code).toBe(1);
    const early = await run(['up', '--past', 'a'], place);
    expect(early.code, early.stderr).toBe(2);
    expect(early.stderr).toMatch(/neither paused nor cancelled[^]*park it first: umzug-cluster cancel a/);
    expect(await run(['cancel', 'a'], place)).toMatchObject({ code: 0 });
    expect((await run(['status', 'a'], place)).stdout).toMatch(
      /a: parked by .* UTC; resume: .*up --past a$/m,
    );
    expect((await run(['up'], place)).code).toBe(5);
    const past = await run(['up', '--past', 'a'], place);
    expect(past.code, past.stderr).toBe(3);
    expect(past.stderr).toMatch(/d selects from public\.t, as a does, which is parked[^]*up --name d/);
    expect((await run(['executed'], place)).stdout).toBe('b\nc\n');
    // By name it is the operator's word.
    const named = await run(['up', '--name', 'd'], place);
    expect(named.code, named.stderr).toBe(0);
    expect(await run(['up', '--past', 'a'], place)).toMatchObject({ code: 0 });
    expect(await statusOf(place)).toMatchObject({ state: 'cancelled' });
  });
});

it('up --name says what it jumps over; with --allow-out-of-order later deploys run that', async () => {
  await withDatabase(async ({ url }) => {
    const schema = 'export const up = () => undefined;';
    const project = makeProject({ '1.ts': schema, '2.ts': schema, '4.ts': schema });
    const place = { cwd: project.dir, url };
    const allowed = await run(['up', '--name', '2', '--allow-out-of-order'], place);
    expect(allowed.stderr).toMatch(/jumps over 1, .*the next umzug-cluster up runs what was jumped over/);
    expect(await run(['up'], place)).toMatchObject({ code: 0 });
    expect((await run(['executed'], place)).stdout).toBe('1\n2\n4\n');
    for (const name of ['5.ts', '6.ts', '7.ts']) project.write(name, schema);
    const jumped = await run(['up', '--name', '6'], place);
    expect(jumped.code, jumped.stderr).toBe(0);
    expect(jumped.stderr).toMatch(
      /jumps over 5, .*the next umzug-cluster up will refuse to run \(exit code 3\)/,
    );
    expect(jumped.stderr).not.toMatch(/over.*7/);
    expect(await run(['up'], place)).toMatchObject({ code: 3 });
    expect(await run(['up', '--allow-out-of-order'], place)).toMatchObject({ code: 0 });
  });
});

it('a rollback that has done nothing is abandoned by cancel: the migration is executed, or parked, as before', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const broken = rowsMigration().replace(
      'update: change(-1)',
      `update: () => { throw new Error('not yet'); }`,
    );
    const project = makeProject({ 'a.ts': broken });
    const own = { cwd: project.dir, url };
    expect(await run(['up', '--workers', '1'], own)).toMatchObject({ code: 0 });
    expect(await run(['down', '--workers', '1'], own)).toMatchObject({ code: 1 });
    const refused = await run(['up'], own);
    expect(refused.code, refused.stderr).toBe(3);
    expect(refused.stderr).toMatch(
      /down --name a, then umzug-cluster up;.*abandon the rollback: umzug-cluster cancel a/,
    );
    expect((await run(['cancel', 'a'], own)).stdout).toMatch(/^the rollback of a is abandoned/);
    expect(await statusOf(own)).toMatchObject({ state: 'executed', rows: { done: counterRows } });
    expect(await run(['up'], own)).toMatchObject({ code: 0, stdout: 'nothing is pending\n' });
    expect(await values(client)).toEqual([1]);
    project.write('a.ts', rowsMigration());
    await run(['repair'], own);
    const down = await run(['down', '--workers', '1'], own);
    expect(down.code, down.stderr).toBe(0);
    expect(await values(client)).toEqual([0]);
  });
});

it('down shows what it would revert and asks, with --plan by a sample; where nobody can be asked, it wants --yes', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url };
    expect(await run(['up'], place)).toMatchObject({ code: 0 });
    const down = (args: readonly string[], typed: string | null = null): ReturnType<typeof runInProcess> =>
      runInProcess(['down', '--no-progress', ...args], place.cwd, { DATABASE_URL: url }, typed);
    const unasked = await down(['--name', 'a']);
    expect(unasked.code).toBe(2);
    expect(unasked.stderr).toMatch(/nothing was reverted\n {2}hint: umzug-cluster down --name a --yes\n/);
    for (const no of ['n\n', 'x\n', '']) {
      const { code, stderr } = await down([], no);
      expect(code, stderr).toBe(5);
      expect(stderr).toMatch(/a: 20,000 rows that up has migrated, which took [^]*Continue\? \[y\/N\]/);
    }
    const plan = await run(['down', '--plan'], place);
    expect(plan.code, plan.stderr).toBe(0);
    expect(plan.stdout).toMatch(
      /^a \(data\)[^]*rows {7}about 20,000 [^]*1 +n +1 +0\n[^]*counters: 100 updated/,
    );
    expect(await values(client)).toEqual([1]);
    expect(await down([], 'y\n')).toMatchObject({ code: 0 });
    expect(await values(client)).toEqual([0]);
  });
});
