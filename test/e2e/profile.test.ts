import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const source = `
  export const select = (db) => db('t').select('id').where('n', 0);
  export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });`;
const small = ['--workers', '2', '--chunk-size', '10'];

it('up --profile says where the time went, in all processes, and without it nothing of the kind', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query('create table t (id int primary key, n int not null)');
    await client.query('insert into t select no, 0 from generate_series(1, 100) as no');
    const { dir } = makeProject({ 'a.ts': source, 'b.ts': source });
    const up = await run(['up', '--to', 'a', '--profile', ...small], { cwd: dir, url });
    expect(up.code).toBe(0);
    expect(up.stdout).toMatch(/^a: 100 rows in \d+ chunks/);
    for (const stage of ['start', 'plan', 'connect', 'claim', 'open', 'read', 'parse', 'update', 'write']) {
      expect(up.stderr).toMatch(new RegExp(String.raw`^${stage} +\d+ +[\d.,]+ +[\d.,]+ +[\d.]+%`, 'm'));
    }
    const chunks = /in (\d+) chunks/.exec(up.stdout)?.[1];
    expect(up.stderr).toMatch(new RegExp(`^commit +${chunks} `, 'm'));
    expect((await run(['up', ...small], { cwd: dir, url })).stderr).not.toMatch(/^commit /m);

    await client.query('update t set n = 0; drop schema umzug_cluster cascade');
    const args = ['up', '--to', 'a', '--json', '--profile=true', ...small];
    const { stdout, stderr } = await run(args, { cwd: dir, url });
    const { migrations, profile } = JSON.parse(stdout) as {
      migrations: { chunks: number }[];
      profile: { chunks: number; stages: { stage: string; share: number }[] };
    };
    expect(profile.chunks).toBe(migrations[0]?.chunks);
    expect(profile.stages.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    expect(stderr).not.toMatch(/^commit /m);
  });
});

it('a chunk that takes all rows needs one connection beside that of the command', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query('create table t (id int primary key, n int not null)');
    await client.query('insert into t select no, 0 from generate_series(1, 1000) as no');
    await client.query('analyze t');
    const { dir } = makeProject({ 'a.ts': source });
    const up = await run(['up', '--profile'], { cwd: dir, url });
    expect(up.stdout).toMatch(/^a: 1,000 rows/);
    expect(up.stderr).toMatch(/^connect +1 /m);
  });
});
