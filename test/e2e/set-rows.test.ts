import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const rows = 300;
// every third row
const matching = rows / 3;

// Not the whole chunk matches, so neither its size nor what a SELECT returns is the number of rows updated.
const table = (name: string): string => `
  create table ${name} (id int primary key, part int not null, n int not null default 0);
  insert into ${name} select i, i % 3 from generate_series(1, ${rows}) as i;`;

const partitioned = `
  create table parted (id int primary key, part int not null, n int not null default 0) partition by hash (id);
  create table parted_0 partition of parted for values with (modulus 2, remainder 0);
  create table parted_1 partition of parted for values with (modulus 2, remainder 1);
  insert into parted select i, i % 3 from generate_series(1, ${rows}) as i;`;

const plain = `await chunk.update({ n: db.raw('n + 1') });`;
const inCte = (name: string, outer: string): string => `
  await db.raw('with done as (? returning id) ${outer}',
    [db('${name}').whereIn('id', chunk.select('id')).update({ n: db.raw('n + 1') })]);`;

/** What `update` does, by the name of its table. */
const updates: Readonly<Record<string, string>> = {
  alone: plain,
  answered: `${plain} return 7;`,
  before: `await db.raw('select generate_series(1, 1000)'); ${plain}`,
  behind: `${plain} await db('before').select();`,
  logged: `${plain} await db('log').insert({ what: 'done' });`,
  counted: inCte('counted', 'select count(*)::int from done'),
  noted: inCte('noted', `insert into log select count(*)::text from done`),
  parted: inCte('parted', 'select count(*)::int from done'),
  called: `await db.raw('select add_one(?::int[])', [db.raw('array(?)', [chunk.select('id')])]);`,
  untouched: `await db.raw('select generate_series(1, 1000)');`,
};

it('counts the rows that a set-based update writes, whatever else its statements return', async () => {
  await withDatabase(async ({ url, client }) => {
    const names = Object.keys(updates);
    for (const name of names) await client.query(name === 'parted' ? partitioned : table(name));
    await client.query(`
      create table log (what text);
      create function add_one(ids int[]) returns void language sql as
        'update called set n = n + 1 where id = any (ids)'`);
    const source = (name: string): string => `
      import { setBased } from 'umzug-cluster';
      export const select = (db) => db('${name}').where('part', 0);
      export const update = setBased(async (chunk, db) => { ${updates[name]} });`;
    const { dir } = makeProject(Object.fromEntries(names.map((name) => [`${name}.ts`, source(name)])));
    const flags = ['up', '--workers', '1', '--chunk-size', '200', '--json'];
    const { code, stdout, stderr } = await run(flags, { cwd: dir, url });
    expect(code, stderr).toBe(0);
    const { migrations } = JSON.parse(stdout) as { migrations: { name: string; rows: number }[] };
    const counted = Object.fromEntries(migrations.map(({ name, rows: times }) => [name, times]));
    const expected = Object.fromEntries(names.map((name) => [name, name === 'untouched' ? 0 : matching]));
    expect(counted).toEqual(expected);
    for (const name of names) {
      const { rows: sums } = await client.query(`select sum(n)::int as sum from ${name}`);
      expect(sums, name).toEqual([{ sum: expected[name] }]);
    }
  });
});
