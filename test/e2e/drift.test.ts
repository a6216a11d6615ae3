import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { type Project, makeProject } from '../support/project.ts';

const table = `
  create table people (id bigint primary key, n int not null default 0);
  insert into people (id) select generate_series(1, 300)`;

const importing = `
  import { add } from '../lib/add.js';
  export const select = (db) => db('people').select('id');
  export const update = async (db, rows) => {
    if (process.env.BREAKS && rows.some(({ id }) => id > 100)) await db.raw('select nowhere');
    await db('people').whereIn('id', rows.map(({ id }) => id)).update({ n: db.raw('n + ?', [add()]) });
  };`;
const schemaStep = `export const up = (db) => db.raw('select 1');`;

/** Writes files beside the migrations: a.ts imports lib/add.ts, which imports lib/one.ts. */
function writeLib({ dir }: Project, one: string): void {
  mkdirSync(path.join(dir, 'lib'), { recursive: true });
  writeFileSync(
    path.join(dir, 'lib/add.ts'),
    `import { one } from './one';\nexport const add = (): number => one;`,
  );
  writeFileSync(path.join(dir, 'lib/one.ts'), one);
}

describe('a file that was changed', () => {
  it('is a warning once executed, refused by --strict, and accepted by repair', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = makeProject({ 'a.ts': importing, 'b.ts': schemaStep });
      writeLib(project, 'export const one = 1;');
      const place = { cwd: project.dir, url };
      expect((await run(['up'], place)).code).toBe(0);
      expect(await run(['up'], place)).toMatchObject({ code: 0, stderr: '' });
      writeLib(project, 'export const one = 2;');
      project.write('b.ts', `${schemaStep} // changed`);
      const up = await run(['up'], place);
      expect(up).toMatchObject({ code: 0, stdout: 'nothing is pending\n' });
      expect(up.stderr).toContain('changed after it was executed: a (../lib/one.ts), b (b.ts)');
      const strict = await run(['up', '--strict'], place);
      expect(strict.code).toBe(3);
      expect(strict.stderr).toMatch(/^error: changed after it was executed: a [^]*umzug-cluster repair/);
      const valid = await run(['validate'], place);
      expect(valid.code).toBe(0);
      expect(valid.stdout).toMatch(/^warning: a was changed after it was executed: \.\.\/lib\/one\.ts$/m);
      expect((await run(['validate', '--strict'], place)).code).toBe(3);
      const one = await run(['repair', 'b'], place);
      expect(one).toMatchObject({ code: 0, stdout: 'b: accepted b.ts\n' });
      const rest = await run(['repair', '--json'], place);
      expect(JSON.parse(rest.stdout)).toEqual({ repaired: [{ name: 'a', files: '../lib/one.ts' }] });
      expect(await run(['up', '--strict'], place)).toMatchObject({ code: 0, stderr: '' });
      expect((await run(['repair'], place)).stdout).toBe(
        'nothing to repair: files are as they were executed\n',
      );
      expect((await run(['repair', 'c'], place)).stderr).toMatch(/no executed migration is named "c"/);
    });
  });

  it('is refused while its run is in progress, by the name of the import, and goes on when it is put back', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = makeProject({ 'a.ts': importing });
      writeLib(project, 'export const one = 1;');
      const place = { cwd: project.dir, url };
      const env = { BREAKS: '1', UMZUG_CLUSTER_LANES: '1' };
      const args = ['up', '--workers', '1', '--chunk-size', '50'];
      expect((await run(args, { ...place, env })).code).toBe(1);
      writeLib(project, 'export const one = 5;');
      const refused = await run(['up'], place);
      expect(refused.code).toBe(3);
      expect(refused.stderr).toMatch(/^error: a was changed while its run is in progress$/m);
      expect(refused.stderr).toMatch(
        /the run began with import \.\.\/lib\/one\.ts [0-9a-f]{64}, this host has [0-9a-f]{64}$/m,
      );
      const valid = await run(['validate'], place);
      expect(valid.code).toBe(3);
      expect(valid.stdout).toMatch(/^error: a was changed while its run is in progress$/m);
      rmSync(path.join(project.dir, 'lib/one.ts'));
      expect((await run(['validate'], place)).code).toBe(2);
      writeLib(project, 'export const one = 1;');
      expect((await run(['up'], place)).code).toBe(0);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 1 }]);
    });
  });
});

it('names that read in another order than they run are said, until both are executed', async () => {
  await withDatabase(async ({ url }) => {
    const place = { cwd: makeProject({ '2-a.ts': schemaStep, '10-b.ts': schemaStep }).dir, url };
    const up = await run(['up'], place);
    expect(up.code).toBe(0);
    expect(up.stderr).toContain('10-b runs before 2-a: names are compared letter by letter');
    expect((await run(['up'], place)).stderr).toBe('');
  });
});
