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
        'nothing to repair: all files are as they were executed\n',
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
        /the run started with import \.\.\/lib\/one\.ts [0-9a-f]{64}, this host has [0-9a-f]{64}$/m,
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

describe('a file that is gone while its run is begun', () => {
  it('is a warning, refused by --strict, said by status, and the run goes on once it is back', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = makeProject({ 'a.ts': importing, 'b.ts': schemaStep });
      writeLib(project, 'export const one = 1;');
      const place = { cwd: project.dir, url };
      const env = { BREAKS: '1', UMZUG_CLUSTER_LANES: '1' };
      const args = ['up', '--workers', '1', '--chunk-size', '50'];
      expect((await run(args, { ...place, env })).code).toBe(1);
      expect((await run(['status'], place)).stdout).not.toContain('missing');
      rmSync(path.join(project.dir, 'migrations/a.ts'));
      const strict = await run(['up', '--strict'], place);
      expect(strict.code).toBe(3);
      expect(strict.stderr).toMatch(/^error: started, not finished, and missing: a\n[^]*put the files back/);
      const up = await run(['up'], place);
      expect(up.code, up.stderr).toBe(0);
      expect(up.stdout).toMatch(/^b: /);
      const again = await run(['up'], place);
      expect(again).toMatchObject({ code: 0, stdout: 'nothing is pending\n' });
      for (const { stderr } of [up, again]) {
        expect(stderr).toMatch(/started, not finished, and missing: a; put the files back/);
      }
      const { stdout } = await run(['status', '--json'], place);
      expect(JSON.parse(stdout)).toMatchObject({
        migrations: [
          { name: 'a', state: 'failed', fileMissing: true },
          { name: 'b', state: 'executed', fileMissing: false },
        ],
      });
      expect((await run(['status'], place)).stdout).toMatch(/^ {2}a: its file is missing here: put it back/m);
      project.write('a.ts', importing);
      const back = await run(['up', '--strict', '--allow-out-of-order'], place);
      expect({ code: back.code, stderr: back.stderr.match(/missing/) }).toEqual({ code: 0, stderr: null });
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 1 }]);
    });
  });
});

describe('a file that was mended for quarantined rows', () => {
  it('is refused by up with a word of retry, which takes it, and elsewhere without that word', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const failing = importing.replace(
        `if (process.env.BREAKS && rows.some(({ id }) => id > 100)) await db.raw('select nowhere');`,
        `if (rows.some(({ id }) => Number(id) === 7)) throw new Error('row 7');`,
      );
      const project = makeProject({ 'a.ts': failing });
      writeLib(project, 'export const one = 1;');
      const place = { cwd: project.dir, url };
      expect((await run(['up', '--workers', '1'], place)).code).toBe(1);
      project.write('a.ts', importing);
      const word = /fixed for the quarantined rows and selects the same, run umzug-cluster retry a,/;
      for (const command of ['up', 'plan', 'validate']) {
        const { code, stdout, stderr } = await run([command], place);
        expect({ command, code }).toEqual({ command, code: 3 });
        expect(stdout + stderr).toMatch(word);
      }
      await run(['cancel', 'a'], place);
      expect(await run(['up'], place)).toMatchObject({ code: 5 });
      const cancelled = await run(['resume', 'a'], place);
      expect(cancelled.code).toBe(3);
      expect(cancelled.stderr).toContain('was changed while its run is in progress');
      expect(cancelled.stderr).not.toContain('retry');
      project.write('a.ts', failing);
      expect((await run(['resume', 'a', '--workers', '1'], place)).code).toBe(1);
      project.write('a.ts', importing);
      const retried = await run(['retry', 'a', '--workers', '1'], place);
      expect(retried.code, retried.stderr).toBe(0);
      expect(retried.stdout).toMatch(/^a: 300 rows in \d+ chunks, 1 of them now, /);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 1 }]);
    });
  });
});

describe('a file that was mended before anything was changed', () => {
  const broken = importing.replace('await db(', `await db.raw('select nowhere'); await db(`);

  it('is taken by validate, plan and up alike', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = makeProject({ 'a.ts': broken });
      writeLib(project, 'export const one = 1;');
      const place = { cwd: project.dir, url };
      expect((await run(['up', '--workers', '1'], place)).code).toBe(1);
      project.write('a.ts', importing);
      expect(await run(['validate'], place)).toMatchObject({ code: 0 });
      const plan = await run(['plan', '--json'], place);
      expect(plan.code, plan.stderr).toBe(0);
      expect(JSON.parse(plan.stdout)).toMatchObject({ migrations: [{ name: 'a', isBegun: false }] });
      expect((await run(['up', '--workers', '1'], place)).code).toBe(0);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 1 }]);
    });
  });

  it('is what down goes on with where the way back was mended, which validate says', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const withDown = (raw: string): string => `${importing}
        export const down = {
          select,
          update: async (db, rows) => {
            await db.raw(${JSON.stringify(raw)});
            await db('people').whereIn('id', rows.map(({ id }) => id)).update({ n: 0 });
          },
        };`;
      const project = makeProject({ 'a.ts': withDown('select nowhere') });
      writeLib(project, 'export const one = 1;');
      const place = { cwd: project.dir, url };
      expect((await run(['up', '--workers', '1'], place)).code).toBe(0);
      expect((await run(['down', '--workers', '1'], place)).code).toBe(1);
      project.write('a.ts', withDown('select 1'));
      const valid = await run(['validate'], place);
      expect(valid.code).toBe(3);
      expect(valid.stdout).toMatch(/^error: a is being rolled back$/m);
      expect(valid.stdout).not.toContain('was changed');
      expect((await run(['down', '--workers', '1'], place)).code).toBe(0);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 0 }]);
      expect(await run(['validate'], place)).toMatchObject({ code: 0 });
    });
  });
});

it('a syntax error in the third file leaves the first two pending', async () => {
  await withDatabase(async ({ url }) => {
    const files = {
      '1.ts': schemaStep,
      '2.ts': importing.replace(/import .*/, 'const add = () => 1;'),
      '3.ts': 'export const up = (;',
    };
    const place = { cwd: makeProject(files).dir, url };
    const up = await run(['up'], place);
    expect(up).toMatchObject({ code: 2, stdout: '' });
    expect(up.stderr).toMatch(/^error: 3\.ts:1:\d+ syntax error/m);
    expect((await run(['pending'], place)).stdout).toBe('1\n2\n3\n');
  });
});

describe('a table', () => {
  const counting = `
    export const select = (db) => db('people').select('id');
    export const update = (db, rows) => {
      if (process.env.BREAKS && rows.some(({ id }) => id > 100)) return db.raw('select nowhere');
      return db('people').whereIn('id', rows.map(({ id }) => id)).update({ n: db.raw('n + 1') });
    };
    export const down = {
      select,
      update: (db, rows) => db('people').whereIn('id', rows.map(({ id }) => id)).update({ n: db.raw('n - 1') }),
    };`;
  const recreate = `drop table people; ${table}`;
  // What the ledger would hold of tables that had other numbers before they were dumped and restored.
  const restore = `update umzug_cluster.runs
    set plan = jsonb_set(jsonb_set(plan, '{base,oid}', '"1"'), '{base,key,0,attnum}', '9') || '{"ledger": "2"}'`;
  const half = ['up', '--workers', '1', '--chunk-size', '50'];
  const breaks = { BREAKS: '1', UMZUG_CLUSTER_LANES: '1' };

  it('that was recreated since is reported, until the migration has run again or was accepted', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const place = { cwd: makeProject({ 'a.ts': counting }).dir, url };
      expect((await run(['up'], place)).code).toBe(0);
      await client.query(recreate);
      for (const command of ['up', 'down', 'validate']) {
        const { code, stdout, stderr } = await run([command], place);
        expect(code, command).toBe(3);
        expect(stdout + stderr).toMatch(/^error: public\.people was recreated since a ran/m);
        expect(stdout + stderr).toContain('umzug-cluster up --rerun ALLOW --name a');
      }
      expect((await run(['status'], place)).stdout).toMatch(/its table was recreated since: .* repair a$/m);
      const json = await run(['status', '--json'], place);
      expect(JSON.parse(json.stdout)).toMatchObject({ migrations: [{ name: 'a', tableRecreated: true }] });
      expect((await run(['up', '--rerun', 'ALLOW', '--name', 'a'], place)).code).toBe(0);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 1 }]);
      expect((await run(['up'], place)).stdout).toBe('nothing is pending\n');
      await client.query(recreate);
      expect((await run(['up'], place)).code).toBe(3);
      expect((await run(['repair'], place)).stdout).toBe('a: accepted table public.people\n');
      expect((await run(['up'], place)).stdout).toBe('nothing is pending\n');
    });
  });

  it('that was recreated in the middle of a run is refused, and its run begins anew where that is asked for', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const place = { cwd: makeProject({ 'a.ts': counting }).dir, url };
      expect((await run(half, { ...place, env: breaks })).code).toBe(1);
      // The old one is still there: nobody knows whether its rows were copied.
      await client.query(`alter table people rename to old; ${table}`);
      const refused = await run(['up'], place);
      expect(refused.code).toBe(3);
      expect(refused.stderr).toMatch(/^error: public\.people was recreated since a ran/m);
      const again = await run(['up', '--rerun', 'ALLOW', '--name', 'a'], place);
      expect(again.code, again.stderr).toBe(0);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 1 }]);
    });
  });

  it('that a schema migration of the folder puts in the place of another is not reported', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = makeProject({ 'a.ts': counting });
      const place = { cwd: project.dir, url };
      expect((await run(['up'], place)).code).toBe(0);
      project.write(
        'b.ts',
        `export const up = (db) => db.raw(\`create table other (like people including all); insert into other select * from people;
          drop table people; alter table other rename to people\`);`,
      );
      expect((await run(['up'], place)).code).toBe(0);
      expect(await run(['up'], place)).toMatchObject({ code: 0, stdout: 'nothing is pending\n', stderr: '' });
      expect((await run(['down', '--name', 'a'], place)).code).toBe(0);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 0 }]);
    });
  });

  it('that was dumped and restored goes on in the middle of a run, and back', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const place = { cwd: makeProject({ 'a.ts': counting }).dir, url };
      expect((await run(half, { ...place, env: breaks })).code).toBe(1);
      await client.query(restore);
      const up = await run(['up'], place);
      expect(up.code, up.stderr).toBe(0);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 1 }]);
      await client.query(restore);
      expect((await run(['up'], place)).stdout).toBe('nothing is pending\n');
      const down = await run(['down'], place);
      expect(down.code, down.stderr).toBe(0);
      expect((await client.query('select distinct n from people')).rows).toEqual([{ n: 0 }]);
    });
  });

  it.each([
    [
      'its type',
      'alter column id type integer',
      /the key column "id" was of type .*int8.*, and is of type .*int4/,
    ],
    [
      'its key',
      'drop constraint people_pkey, add column no serial primary key',
      /the key was \(id\), and is \(no\)/,
    ],
    [
      'its key column',
      'drop column id, add column id bigserial primary key',
      /"id" was dropped and added again/,
    ],
  ])(
    'of which %s was changed in the middle of a run is refused with what differs',
    async (_what, change, says) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(table);
        const place = { cwd: makeProject({ 'a.ts': counting }).dir, url };
        expect((await run(half, { ...place, env: breaks })).code).toBe(1);
        await client.query(`alter table people ${change}`);
        const refused = await run(['up'], place);
        expect(refused.code, refused.stderr).toBe(3);
        expect(refused.stderr).toMatch(says);
      });
    },
  );

  it('of a ledger that a schema-only dump has brought along is an empty ledger', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const place = { cwd: makeProject({ 'a.ts': counting }).dir, url };
      expect((await run(['up'], place)).code).toBe(0);
      const { rows } = await client.query(
        `select string_agg(oid::regclass::text, ', ') as tables from pg_class
         where relnamespace = 'umzug_cluster'::regnamespace and relkind = 'r'`,
      );
      await client.query(
        `truncate ${String(rows[0]?.tables)}; alter table umzug_cluster.meta drop column only_row`,
      );
      expect((await run(['status'], place)).stdout).toMatch(/^a +data +pending/m);
      expect((await run(['up'], place)).code).toBe(0);
      expect((await run(['up'], place)).stdout).toBe('nothing is pending\n');
    });
  });
});

it('a name is the same in another Unicode form, and with the extension of its file', async () => {
  await withDatabase(async ({ url }) => {
    const place = { cwd: makeProject({ 'u\u0308ber.ts': schemaStep }).dir, url };
    expect((await run(['up', '--name', '\u00fcber.js'], place)).code).toBe(0);
    for (const name of ['u\u0308ber', '\u00fcber', '\u00fcber.ts']) {
      expect((await run(['status', name], place)).stdout, name).toMatch(/\u00fcber +schema +executed/);
    }
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
