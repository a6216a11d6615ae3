import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const source = (more: string): string => `
  import { updateRows } from 'umzug-cluster';
  export const select = (db) => db('people').select('id');
  export const update = (db, rows) =>
    updateRows(db, 'profiles', rows.map(({ id }) => ({ person: id, seen: true })), { key: ['person'], set: ['seen']${more} });`;

it('updateRows that finds only some of its rows is a warning of plan and up, unless they may be missing', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table people (id int primary key); insert into people select generate_series(1, 20);
      create table profiles (person int primary key, seen boolean);
      insert into profiles select generate_series(1, 20, 4); analyze`);
    const { dir } = makeProject({ 'a.ts': source(''), 'b.ts': source(', allowMissing: true') });
    const plan = await run(['plan', '--json'], { cwd: dir, url });
    const { migrations } = JSON.parse(plan.stdout) as { migrations: { warnings: string[] }[] };
    const about = migrations.map(({ warnings }) => warnings.filter((text) => text.includes('updateRows')));
    expect(about).toEqual([
      [expect.stringMatching(/^updateRows or deleteRows did not find 15 rows it was given/)],
      [],
    ]);
    const up = await run(['up', '--json', '--workers', '1', '--log-level', 'warn'], { cwd: dir, url });
    expect(up.code, up.stderr).toBe(0);
    expect(up.stderr.match(/^.*updateRows.*$/gm)).toEqual([
      expect.stringMatching(/a: updateRows or deleteRows did not find 15 rows of a chunk/),
    ]);
    const done = JSON.parse(up.stdout) as { migrations: { rows: number; changed: number }[] };
    expect(done.migrations.map(({ rows, changed }) => [rows, changed])).toEqual([
      [20, 5],
      [20, 5],
    ]);
  });
});
