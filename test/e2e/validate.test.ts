import path from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { contractRule } from '../../src/migration/lint/contracts.ts';
import { rules } from '../../src/migration/lint/rules.ts';
import { run, start } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const good = `
  export const select = (db) => db('t').select('id');
  export const update = (db, rows) => db('t').update({ n: 1 });`;
const schemaStep = `export const up = (db) => db.raw('select 1');`;

const files = {
  '1-good.ts': good,
  '2-limited.ts': good.replace(`select('id')`, `select('id').limit(3)`),
  '3-broken.ts': 'export const = 1;',
  '4-half.ts': `export const select = (db) => db('t');`,
  '5-back.ts': `${good} export const down = { select: (db) => db('t').select('id').offset(5), update };`,
  '6-awaits.ts': good.replace('(db) =>', 'async (db) => await'),
  '10-late.ts': schemaStep,
};

it('names everything that is wrong with the files at once, without a database', async () => {
  const place = { cwd: makeProject(files).dir, url: null };
  const { code, stdout, stderr } = await run(['validate'], place);
  expect(code).toBe(2);
  const errors = [...stdout.matchAll(/^error: (.*)$/gm)].map(([, message]) => message);
  expect(errors).toEqual([
    expect.stringMatching(/2-limited\.ts: select must not use limit/),
    expect.stringMatching(/^3-broken\.ts:1:\d+ syntax error/),
    '4-half.ts does not export update',
    expect.stringMatching(/5-back\.ts, down: select must not use offset/),
    expect.stringMatching(/6-awaits\.ts: select/),
  ]);
  expect(stdout).toMatch(/^warning: 10-late runs before 2-limited/m);
  expect(stdout).toMatch(/^7 migrations: 5 errors \(files only: no database was checked\)$/m);
  expect(stderr).toMatch(/^error: .*2-limited\.ts: select must not use limit.* \(and 4 more\)$/m);
  expect(stderr).not.toMatch(/^\s+at /m);
  const json = await run(['validate', '--json'], place);
  expect(json).toMatchObject({ code: 2, stderr: '' });
  expect(JSON.parse(json.stdout)).toMatchObject({
    migrations: 7,
    withDatabase: false,
    findings: [{}, {}, {}, {}, {}, { level: 'warning', code: 'ORDER' }],
    error: { code: 'SELECT_REFUSED' },
  });
});

it('compares the ledger with the files, unless it is told not to, and writes nothing', async () => {
  await withDatabase(async ({ url, client }) => {
    const project = makeProject({ 'b.ts': schemaStep, 'c.ts': schemaStep });
    const place = { cwd: project.dir, url };
    expect(await run(['validate'], place)).toMatchObject({
      code: 0,
      stdout: '2 migrations: valid (files and ledger)\n',
      stderr: '',
    });
    expect((await client.query(`select to_regnamespace('umzug_cluster') as there`)).rows).toEqual([
      { there: null },
    ]);
    expect((await run(['up'], place)).code).toBe(0);
    project.write('a.ts', schemaStep);
    const early = await run(['validate'], place);
    expect(early.code).toBe(3);
    expect(early.stderr).toMatch(/^error: a is new but sorts before c, which is executed$/m);
    expect((await run(['validate', '--offline'], place)).code).toBe(0);
    const other = makeProject({ 'c.ts': schemaStep });
    const missing = await run(['validate'], { cwd: other.dir, url });
    expect(missing.code).toBe(0);
    expect(missing.stdout).toMatch(/^warning: b is executed, but its file is missing$/m);
    writeFileSync(path.join(other.dir, 'migrations/c.js'), schemaStep);
    const twins = await run(['validate'], { cwd: other.dir, url });
    expect(twins.code).toBe(2);
    expect(twins.stderr).toMatch(/two files are the same migration: c\.js and c\.ts/);
  });
});

it('loads no file again that is executed and unchanged, unless there is no database to say so', async () => {
  await withDatabase(async ({ url }) => {
    const onceOnly = `
      import { existsSync as isThere } from 'node:fs';
      if (isThere(new URL('../executed', import.meta.url))) throw new Error('loaded again');
      ${schemaStep}`;
    const project = makeProject({ 'a.ts': onceOnly });
    const place = { cwd: project.dir, url };
    expect((await run(['up'], place)).code).toBe(0);
    writeFileSync(path.join(project.dir, 'executed'), '');
    project.write('b.ts', schemaStep);
    expect(await start(['validate'], place).outcome).toMatchObject({
      code: 0,
      stdout: '2 migrations: valid (files and ledger)\n',
    });
    for (const args of [['validate', '--offline'], ['validate']]) {
      // Of its own, which has not loaded the file before.
      const { code, stderr } = await start(args, place).outcome;
      expect(stderr).toMatch(/a\.ts.*loaded again/);
      expect(code).toBe(2);
      project.write('a.ts', `${onceOnly}\n// changed`);
    }
  });
});

it('says of an empty folder that it is empty', async () => {
  const place = { cwd: makeProject({}).dir, url: null };
  expect(await run(['validate'], place)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^no migrations found in .*migrations\n$/) as string,
  });
});

const page = readFileSync(path.join(import.meta.dirname, '../../docs/risky-statements.md'), 'utf8');
/** The migrations of the page, by their file's name. */
const shown = Object.fromEntries(
  [...page.matchAll(/```ts\n\/\/ migrations\/(\S+)\n([^]*?)```/g)].map(([text, name = '']) => [
    name,
    text.slice(6, -3),
  ]),
);
const risky = `export const up = async (db) => {
  await db.raw('alter table people alter name set not null, alter id type bigint');
  await db.schema.alterTable('people', (table) => table.integer('score').notNullable().alter());
};`;

it('warns of what is risky in schema migrations as its page shows, each rule of which is there', async () => {
  const [[name, text] = ['', '']] = Object.entries(shown);
  const example = await run(['validate', '--offline'], { cwd: makeProject({ [name]: text }).dir, url: null });
  const [, output] = /```console\n\$ umzug-cluster validate --offline\n([^]*?)```/.exec(page) ?? [];
  expect(example).toEqual({ code: 0, stdout: output, stderr: '' });
  const all = await run(['validate', '--json'], { cwd: makeProject(shown).dir, url: null });
  const { findings } = JSON.parse(all.stdout) as { findings: { file: string }[] };
  expect(findings).toMatchObject([
    { level: 'warning', code: 'RISK', rule: 'index-without-concurrently', line: 5 },
    { level: 'warning', code: 'RISK', rule: 'backfill-in-schema-migration', line: 6 },
  ]);
  expect(findings.map(({ file }) => path.basename(file))).toEqual([name, name]);
  const inTable = [...page.matchAll(/^\| `([\w-]+)` +\|/gm)].map(([, rule]) => rule);
  expect(inTable).toEqual([...Object.keys(rules), contractRule]);
});

it('fails on risky statements where it is told to, but for those of old files', async () => {
  const place = { cwd: makeProject({ '1-old.js': risky, '2-new.js': schemaStep }).dir, url: null };
  const strict = await run(['validate', '--strict'], place);
  expect(strict.code).toBe(3);
  expect(strict.stderr).toMatch(/^error: 1-old\.js:2 sets people\.name to not null .* \(and 2 more\)$/m);
  expect(await run(['validate', '--strict', '--after', 'old'], place)).toMatchObject({
    code: 0,
    stdout: '2 migrations: valid (files only: no database was checked)\n',
  });
  expect(await run(['validate', '--after', '1-gone'], place)).toMatchObject({ code: 2, stdout: '' });
  const calls = {
    '3-odd.js': `export const up = async (db) => { console.log('x'); await db.raw('lock a'); };`,
  };
  const odd = await run(['validate'], { cwd: makeProject(calls).dir, url: null });
  expect(odd.stdout).toMatch(/^not looked into, because their statements depend on more than db: 3-odd$/m);
});

it('asks the catalog what the statement does not say, and looks at no executed file', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`create table people (id int primary key, name text, score int);
      insert into people select n, 'a', n from generate_series(1, 1200) as n;
      analyze people`);
    const project = makeProject({ '1-a.js': schemaStep, '2-risky.js': risky });
    const place = { cwd: project.dir, url };
    const before = await run(['validate', '--json'], place);
    const found = (
      JSON.parse(before.stdout) as { findings: { rule: string; line: number; detail: string }[] }
    ).findings;
    expect(found.map(({ rule, line }) => `${line} ${rule}`)).toEqual([
      '2 set-not-null',
      '2 type-change',
      '3 set-not-null',
    ]);
    expect(found[0]?.detail).toMatch(/; in this database people has about 1,200 rows \(/);
    await client.query(`alter table people add constraint given check (name is not null), alter score type bigint,
      add check (score is not null)`);
    const after = await run(['validate', '--json'], place);
    expect(JSON.parse(after.stdout)).toMatchObject({
      findings: [
        { rule: 'type-change', line: 2 },
        { rule: 'type-change', line: 3 },
      ],
    });
    expect((await run(['up'], place)).code).toBe(0);
    expect(await run(['validate', '--strict'], place)).toMatchObject({ code: 0 });
  });
});
