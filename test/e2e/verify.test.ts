import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const table = `create table people (id bigint primary key, name text not null, slug text);
  insert into people select i, 'P ' || i, null from generate_series(1, 500) as i`;

const slugs = `
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('people').whereNull('slug');
  export const update = setBased((chunk, db) => chunk.update({ slug: db.raw('lower(name)') }));`;

/** Its select matches what its update wrote. */
const shout = `
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('people');
  export const update = setBased((chunk, db) => chunk.update({ name: db.raw('upper(name)') }));`;
const quietLeft = `export const verify = (db) => db('people').whereRaw('name <> upper(name)').limit(10);`;

describe('verify', () => {
  it('finds the rows that an executed migration left behind, and none where there are none', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const { dir } = makeProject({ 'a.ts': slugs, 'b.ts': shout + quietLeft });
      const place = { cwd: dir, url };
      expect(await run(['verify'], place)).toMatchObject({ code: 0, stdout: 'nothing is executed\n' });
      expect((await client.query(`select to_regnamespace('umzug_cluster') as there`)).rows).toEqual([
        { there: null },
      ]);
      expect((await run(['up'], place)).code).toBe(0);
      expect(await run(['verify'], place)).toMatchObject({
        code: 0,
        stdout: 'a  data  no rows left\nb  data  no rows left\n',
        stderr: '',
      });
      await client.query(`insert into people values (501, 'x', null), (502, 'Y', null)`);
      const { code, stdout, stderr } = await run(['verify'], place);
      expect({ code, stdout }).toEqual({
        code: 1,
        stdout: 'a  data  2 rows are left\nb  data  1 row is left\n',
      });
      expect(stderr).toMatch(/^error: a: 2 rows are left; b: 1 row is left\n/);
      const one = await run(['verify', 'a', '--json'], place);
      expect(one.code).toBe(1);
      expect(JSON.parse(one.stdout)).toMatchObject({
        contradictions: [],
        migrations: [{ name: 'a', kind: 'data', left: 2 }],
        error: { code: 'MIGRATION_FAILED', message: 'a: 2 rows are left' },
      });
    });
  });

  it('says that a migration is unknown, what a wrong verify is, and that the ledger is damaged', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = makeProject({ 'a.ts': slugs });
      const place = { cwd: project.dir, url };
      expect((await run(['up'], place)).code).toBe(0);
      const unknown = await run(['verify', 'aa'], place);
      expect(unknown.code).toBe(2);
      expect(unknown.stderr).toMatch(/no executed migration is named "aa"[\s\S]*did you mean "a"/);
      project.write('a.ts', `${slugs} export const verify = async (db) => await db('people');`);
      const awaited = await run(['verify'], place);
      expect(awaited.code).toBe(2);
      expect(awaited.stderr).toMatch(/a: verify must return a query/);
      project.write('a.ts', `${slugs} export const verify = (db) => db('nowhere');`);
      const nowhere = await run(['verify'], place);
      expect(nowhere.code).toBe(2);
      expect(nowhere.stderr).toMatch(/verify is refused by Postgres: relation "nowhere" does not exist/);
      project.write(
        'a.ts',
        `${slugs} export const verify = (db) => db.raw('delete from people returning id');`,
      );
      expect((await run(['verify'], place)).code).toBe(2);
      expect((await client.query('select count(*)::int as n from people')).rows).toEqual([{ n: 500 }]);
      project.write('a.ts', slugs);
      await client.query(`update umzug_cluster.ranges set rows = rows + 1, chunks = 0`);
      const damaged = await run(['verify', '--json'], place);
      expect(damaged.code).toBe(70);
      expect(JSON.parse(damaged.stdout)).toMatchObject({
        contradictions: [expect.stringMatching(/^range 1 of run \d+ of a counts 501 rows in no chunk$/)],
        error: { code: 'LEDGER_DAMAGED' },
      });
    });
  });
});

describe('assertDone and assertExecuted', () => {
  it('throw until the migration is executed, and where its table was recreated since', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const { dir } = makeProject({ 'a.ts': slugs });
      const index = path.join(import.meta.dirname, '../../dist/index.js');
      const open = `
        import { createMigrator } from ${JSON.stringify(index)};
        const migrator = await createMigrator({ databaseUrl: ${JSON.stringify(url)} });`;
      const script = `${open}
        const said = (promise) => promise.then(() => 'done', ({ code, message }) => code + ' ' + message);
        const look = async () => [await said(migrator.assertDone()), await said(migrator.assertExecuted('a'))];
        const before = await look();
        await migrator.up();
        const after = await look();
        const unknown = await said(migrator.assertExecuted('b'));
        const { migrations } = await migrator.verify();
        await migrator.close();
        console.log(JSON.stringify({ before, after, unknown, migrations }));`;
      const options = { cwd: dir, encoding: 'utf8' } as const;
      const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], options);
      expect(JSON.parse(output)).toEqual({
        before: ['NOT_EXECUTED a: not executed', 'NOT_EXECUTED a: not executed'],
        after: ['done', 'done'],
        unknown: 'USAGE no known migration is named "b"',
        migrations: [{ name: 'a', kind: 'data', left: 0, quarantined: 0 }],
      });
      await client.query(`drop table people; ${table}`);
      const later = `${open} await migrator.assertDone().catch(({ code }) => console.log(code)); await migrator.close();`;
      expect(execFileSync(process.execPath, ['--input-type=module', '-e', later], options)).toBe('DRIFT\n');
    });
  });
});
